"""Read a run's config.yaml as data. The run may be somebody else's."""

from collections.abc import Sequence

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gansweep.config.environment import check_foreign
from gansweep.config.old_names import with_new_targets
from gansweep.config.options import GROUPS
from gansweep.config.permissions import allowed_packages
from gansweep.errors import UserError
from gansweep.records.find import existing_run
from gansweep.records.plain_values import DamagedError, mapping
from gansweep.records.record import TRACKED, RunRecord
from gansweep.records.stored_yaml import yaml_text

NUMBERS = ("seed", "batch_size", "budget_kimg")


def read_config(record: RunRecord, extra_packages: Sequence[str] = ()) -> DictConfig:
    """A run's configuration as data. The packages that the file itself allows are ignored.

    extra_packages: allowed packages, in addition to those that the user allows for the process.
    Raises: UserError if the directory holds no run, or if its config.yaml is damaged or refers to
        variables that it may not read.
    """
    cfg = stored_settings(record)
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    if TRACKED in content:
        raise UserError(
            f"{record.directory} was recorded by gansweep.track: its networks and checkpoints are "
            f"those of {content[TRACKED]}, which gansweep cannot load. Continue it from there."
        )
    kinds: dict[str, type | tuple[type, ...]] = dict.fromkeys(GROUPS, dict)
    kinds |= dict.fromkeys(NUMBERS, (int, float))
    lacking = [key for key, kind in kinds.items() if not isinstance(content.get(key), kind)]
    if lacking:
        raise UserError(
            f"{record.config_path} is not the configuration of a run: {lacking[0]} is missing or "
            "has a wrong type. Restore the file, or train the run again."
        )
    cfg.extra_packages = list(dict.fromkeys([*extra_packages, *allowed_packages()]))
    return cfg


def stored_settings(record: RunRecord) -> DictConfig:
    """The content of a run's config.yaml, complete or not.   Raises: UserError as `read_config`."""
    path = existing_run(record.directory).config_path
    try:
        cfg = OmegaConf.create(yaml_text(path))
        content = with_new_targets(OmegaConf.to_container(cfg, resolve=False))
        cfg = OmegaConf.create(content)
    except (DamagedError, OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        reason = error.strerror if isinstance(error, OSError) else " ".join(str(error).split())
        raise UserError(
            f"{path} cannot be read: {reason}. Restore the file, or train the run again."
        ) from error
    if not isinstance(cfg, DictConfig):
        raise UserError(
            f"{path} is not the configuration of a run. Restore the file, or train the run again."
        )
    check_foreign(content, str(path))
    return cfg


def revisions_of(record: RunRecord) -> dict[str, int]:
    """Of the networks, as of the version that began the run: none before these were written."""
    found = mapping((record.result() or {}).get("revisions"))
    return {home: n for home, n in found.items() if isinstance(n, int)}
