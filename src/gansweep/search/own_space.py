"""The search space that a model brings itself: the `search:` block of its file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf

from gansweep.errors import UserError
from gansweep.search.space import Space

OWN = "own"  # what `sweep.space` says for it


def own_space(searched: Mapping[str, str], compose: Callable[[list[str]], Any]) -> dict[str, Any]:
    """The entries of the chosen model's `search:` block; a block for each where several are tried.

    searched: the keys that the command line names several values for.
    compose: overrides -> configuration.
    Raises: UserError where a model has no such block.
    """
    if "model" not in searched:
        return _entries(compose([]))
    choices = Space.parse({"model": searched["model"]}).values("model")
    return {f"model={choice}": _entries(compose([f"model={choice}"])) for choice in choices}


def _entries(cfg: Any) -> dict[str, Any]:
    model: Any = OmegaConf.to_container(cfg.model)
    block = model.get("search")
    if not block:
        raise UserError(
            f"sweep=own searches what conf/model/{cfg.choices.model}.yaml lists under `search:`, "
            "and it lists nothing. Use sweep=random or sweep=tpe, or add the block: option of the "
            "model: values, as in 'n_critic: choice(1, 5)'."
        )
    return {f"model.{key}": value for key, value in block.items()}
