"""A run's config.yaml, read back as data: the run may be somebody else's."""

from __future__ import annotations

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gansweep.config.environment import check_foreign
from gansweep.config.permissions import allowed_packages
from gansweep.errors import UserError
from gansweep.records.plain_values import DamagedError
from gansweep.records.record import RunRecord
from gansweep.records.stored_yaml import yaml_text

PARTS = ("data", "model", "trainer", "callbacks", "metrics", "tracker", "choices")
NUMBERS = ("seed", "batch_size", "budget_kimg")


def read_config(record: RunRecord, extra_packages: Sequence[str] = ()) -> DictConfig:
    """A run's configuration, as data: its own word on what it may call or read counts for nothing.

    extra_packages: what the caller allows instead, beside what the user allows for the process.
    Raises: UserError where the directory holds no run, or its config.yaml is damaged or reads
        what it may not.
    """
    cfg = stored_settings(record)
    lacking = _lacking(OmegaConf.to_container(cfg, resolve=False))
    if lacking:
        raise UserError(
            f"{record.config_path} is no configuration of a run: {lacking} is missing or of "
            "another kind. Bring the file back, or train the run again."
        )
    cfg.extra_packages = list(dict.fromkeys([*extra_packages, *allowed_packages()]))
    return cfg


def stored_settings(record: RunRecord) -> DictConfig:
    """What stands in a run's config.yaml, whole or not.   Raises: UserError as `read_config`."""
    if not record.exists:
        raise UserError(f"{record.directory} holds no run: it has no config.yaml.")
    path = record.config_path
    try:
        cfg = OmegaConf.create(yaml_text(path))
        content = OmegaConf.to_container(cfg, resolve=False)
    except (DamagedError, OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(
            f"{path} cannot be read: {reason}. Bring the file back, or train the run again."
        ) from error
    if not isinstance(cfg, DictConfig):
        raise UserError(f"{path} is no configuration of a run. Bring the file back.")
    check_foreign(content, str(path))
    return cfg


def _lacking(content: object) -> str:
    """The first of the keys of every run that a file lacks, or has no fitting value of; or ""."""
    if not isinstance(content, dict):
        return "its mapping"
    kinds: dict[str, type | tuple[type, ...]] = dict.fromkeys(PARTS, dict)
    kinds |= dict.fromkeys(NUMBERS, (int, float))
    return next((key for key, kind in kinds.items() if not isinstance(content.get(key), kind)), "")
