"""The entries of a search space before they are read: a model's own, and the command line's."""

from collections.abc import Callable, Mapping
from typing import Any

from omegaconf import OmegaConf

from gansweep.errors import UserError
from gansweep.search.domains import parse_condition, parse_entry
from gansweep.search.space import Condition, Space

OWN = "own"  # what `sweep.space` says for it


def own_space(searched: Mapping[str, str], compose: Callable[[list[str]], Any]) -> dict[str, Any]:
    """The entries of the chosen model's `search:` block; a block for each where several are tried.

    searched: the keys that the command line names several values for.
    compose: overrides -> configuration.
    Raises: UserError if a model has no such block.
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


def with_command_line(entries: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`entries` with the values `given` for keys that it searches or that its blocks depend on."""
    asked = set(entries) | {parse_condition(heading)[0] for heading in _headings(entries)}
    return {**entries, **{key: value for key, value in given.items() if key in asked}}


def narrowed(entries: Mapping[str, Any], searched: Mapping[str, Any]) -> dict[str, Any]:
    """`entries`, searched as the command line says, without blocks for choices that it left out. A
    block for an unknown choice stays, so that it is refused."""
    left_out: dict[str, set[Any]] = {}
    for key in entries.keys() & searched.keys():
        before, now = (parse_entry(key, each[key])[2].options() for each in (entries, searched))
        left_out[key] = set(before or ()) - set(now or ()) if now else set()
    return {**_kept(entries, left_out), **searched}


def _kept(entries: Mapping[str, Any], left_out: Mapping[str, set[Any]]) -> dict[str, Any]:
    kept = {}
    for key, value in entries.items():
        if not (isinstance(value, Mapping) and "=" in str(key)):
            kept[str(key)] = value
            continue
        of, values = parse_condition(str(key))
        if stays := tuple(v for v in values if v not in left_out.get(of, ())):
            heading = str(key) if stays == values else str(Condition(of, stays))
            kept[heading] = _kept(value, left_out)
    return kept


def _headings(entries: Mapping[str, Any]) -> list[str]:
    blocks = {str(k): v for k, v in entries.items() if isinstance(v, Mapping) and "=" in str(k)}
    return [*blocks, *(heading for block in blocks.values() for heading in _headings(block))]
