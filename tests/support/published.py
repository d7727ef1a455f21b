"""The numbers of tests/models/fidelity/, and the models that they are about, without memory."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import torch
from loaded_scripts import script
from omegaconf import DictConfig
from torch.nn.utils import parametrizations

from gansweep.config import compose as config
from gansweep.models.adversarial import Adversarial

GUIDE = script("guide/parameters")
NUMBERS: dict[str, dict[str, Any]] = GUIDE.numbers()


@functools.cache
def composed(*words: str) -> DictConfig:
    return config.compose(words)


def built(stated: dict[str, Any], words: list[str], shape: list[int], device: str) -> Adversarial:
    cfg = composed(*words)
    source = stated.get("source")
    with torch.device(device):
        model: Adversarial = config.instantiate(
            config.model_node(cfg, is_points=len(shape) == 1),
            sample_shape=tuple(shape),
            n_classes=stated.get("classes", 10),
            source_shape=None if source is None else tuple(shape),
        )
    return model


@functools.cache
def full_size(name: str) -> Adversarial:
    """The model at the paper's size, without memory for its weights."""
    stated = NUMBERS[name]
    # the first spectral norms of no weights at all would take most of the time
    with mock.patch.object(parametrizations._SpectralNorm, "_power_method"):
        return built(stated, stated["words"], stated["shape"], "meta")


def narrow(name: str) -> Adversarial:
    """The model with weights, as narrow as its numbers of first weights say; seed 0."""
    stated = NUMBERS[name]
    init = stated["init"]
    small = {**stated, "classes": init.get("classes", stated.get("classes", 10))}
    torch.manual_seed(0)
    shape = init.get("shape", stated["shape"])
    return built(small, [*stated["words"], *init.get("words", [])], shape, "cpu")
