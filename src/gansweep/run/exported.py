"""An exported model: its folder, written by `gansweep export` and read without data.

FOLDER/
  gansweep.json       what else is needed: shapes, classes, how pictures are scaled, the run
  config.yaml         the settings of the run that the networks are built from
  model.safetensors   the networks, their averages and what else the next sample depends on
  model.onnx or model.pt2, where asked for;  README.md, the model card
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.source import Arrays, DataSource, Share, Split
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config

FACTS = "gansweep.json"
WEIGHTS = "model.safetensors"
PARTS = ("players", "averages", "memory")


def is_export(directory: Path) -> bool:
    return (directory / FACTS).is_file() and (directory / WEIGHTS).is_file()


class DescribedData(DataSource):
    """What a model needs to know of its data, where the data themselves are not there.

    facts: of gansweep.json.   Anything that asks for samples is refused.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        self._facts = facts
        self.name = str(facts["data"])
        self.resize = facts.get("resize")

    def prepare(self) -> None:
        """Nothing is read."""

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._facts["sample_shape"])

    @property
    def source_shape(self) -> tuple[int, ...] | None:
        found = self._facts.get("source_shape")
        return None if found is None else tuple(found)

    @property
    def class_names(self) -> list[str] | None:
        found = self._facts.get("class_names")
        return None if found is None else [str(one) for one in found]

    def count(self, split: Split) -> int:
        return 0

    def labels_of(self, split: Split) -> Tensor | None:
        """As many of each class as in a million training samples, sorted."""
        shares = self._facts.get("class_shares")
        if shares is None:
            return None
        counts = torch.tensor(shares, dtype=torch.float64).mul(1e6).round().long()
        return torch.arange(len(counts)).repeat_interleave(counts)

    def arrays(self, split: Split, limit: int | None = None) -> Iterator[Arrays]:
        raise UserError(
            f"This is an exported model: the images of data={self.name} are not in it. Use the "
            "run itself for what needs them."
        )

    def _drawn(self, share: Share) -> Iterator[Batch]:
        raise UserError("An exported model is not trained on. Use init=RUN with the run itself.")

    def fingerprint(self, split: Split) -> str:
        return str(self._facts.get("data_fingerprint", ""))


def facts_of(directory: Path) -> dict[str, Any]:
    """The content of gansweep.json.   Raises: UserError where it is not as it was written."""
    path = directory / FACTS
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        shapes = [facts["sample_shape"], facts.get("source_shape") or [1]]
        shapes.append([facts.get("resize") or 1])
        whole = all(isinstance(n, int) and 0 < n < 65_536 for shape in shapes for n in shape)
        if not (whole and isinstance(facts["data"], str)):
            raise ValueError("a shape or the name of the data is wrong")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is damaged ({error}). Export the model again.") from error
    return dict(facts)


def load_exported(
    directory: Path, extra_packages: Sequence[str] = ()
) -> tuple[Adversarial, DictConfig, DescribedData]:
    """The model of an exported folder, on the CPU; its configuration; what is known of its data.

    Raises: UserError where a file is missing or damaged.
    """
    from gansweep.run.build import build_model

    facts = facts_of(directory)
    cfg = read_config(RunRecord(directory), extra_packages)
    data = DescribedData(facts)
    module = build_model(cfg, data)
    state = read_state(directory / WEIGHTS)
    try:
        module.load_networks(state)
    except (KeyError, RuntimeError) as error:
        raise UserError(
            f"{directory / WEIGHTS} does not fit its config.yaml ({str(error)[:200]}). Export the "
            "model again."
        ) from error
    return module, cfg, data


def read_state(path: Path) -> dict[str, Any]:
    """What `load_networks` takes, of a safetensors file.   Raises: UserError."""
    state: dict[str, Any] = {part: {} for part in PARTS}
    try:
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                part, player, tensor = name.split("/", 2)
                state[part].setdefault(player, {})[tensor] = file.get_tensor(name)
            facts = file.metadata() or {}
        numbers = {key: int(facts[key]) for key in ("images_seen", "steps")}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise UserError(f"{path} is damaged ({error}). Export the model again.") from error
    return state | numbers


def tensors_of(module: Adversarial) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a model by the names that `read_state` takes, and the numbers beside them."""
    state = module.game_state()
    found = {
        f"{part}/{player}/{name}": tensor.detach().cpu().contiguous().clone()
        for part in PARTS
        for player, tensors in state[part].items()
        for name, tensor in tensors.items()
    }
    return found, {key: str(state[key]) for key in ("images_seen", "steps")}
