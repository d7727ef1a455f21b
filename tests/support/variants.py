"""The files of conf/model/, read without Hydra, which would delay each collection of tests."""

from __future__ import annotations

import functools

from hydra.utils import get_class

from gansweep.config.choices import conf_dir
from gansweep.models.adversarial import Adversarial
from gansweep.records.stored_yaml import yaml_mapping

VARIANTS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))


@functools.cache
def class_of(variant: str) -> type[Adversarial]:
    """The class of a variant's `_target_`, its own or that of a file that it builds on."""
    kind = get_class(_target_of(f"{variant}.yaml"))
    assert issubclass(kind, Adversarial)
    return kind


def _target_of(file: str) -> str:
    node = yaml_mapping(conf_dir() / "model" / file)
    if "_target_" in node:
        return str(node["_target_"])
    others = [one.partition("@")[0] for one in node["defaults"] if one != "_self_"]
    return next(_target_of(f"{other.removeprefix('/model/')}.yaml") for other in others)
