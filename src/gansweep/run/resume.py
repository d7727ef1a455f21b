"""Which options may change when a run is continued."""

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gansweep.config.options import CONTINUED
from gansweep.config.permissions import is_package_option
from gansweep.errors import UserError
from gansweep.metrics.protocol import comparable
from gansweep.records.plain_values import DamagedError, mapping
from gansweep.records.record import TRACKED, RunRecord
from gansweep.records.run_config import read_config
from gansweep.records.stored_yaml import yaml_mapping

LATE_SECONDS = 60.0  # a checkpoint that is due waits for the start, a step and an evaluation


def resumed(
    cfg: DictConfig, overrides: list[str], config_dir: str | None
) -> tuple[DictConfig, list[str] | None, str | None]:
    """The configuration of the run `cfg.resume`, with the changes of the command line.

    cfg: composed from the command line.   overrides: its words.   config_dir: its --config-dir.
    Returns: also the overrides and the config_dir that train the whole run from the start; None
        where those of the run are not known, as its configuration was changed in Python.
    Raises: UserError if the directory has no run, if an override would change the networks, the
        data or the precision, or if a new budget is spent already.
    """
    record = RunRecord(str(cfg.resume))
    saved = read_config(record, cfg.extra_packages)
    result = record.result() or {}
    given = [w for w in result.get("overrides", []) if not is_package_option(w)]
    precision, budget = saved.trainer.precision, saved.budget_kimg
    changes = [word for word in overrides if word.split("=")[0] != "resume"]
    for word in changes:
        key = word.split("=")[0].lstrip("+~")
        if is_package_option(word):
            continue
        # they change other groups and have none of their own
        if key in ("experiment", "debug", "term") and word not in given:
            raise UserError(
                f"'{word}' would change more of {cfg.resume} than a continued run can: that is "
                f"{', '.join(CONTINUED)}. Leave it out, or start a new run."
            )
        if key.split(".")[0] in CONTINUED:
            _copy(cfg, saved, key)
        elif OmegaConf.select(saved, key) != OmegaConf.select(cfg, key):
            raise UserError(
                f"'{word}' does not fit {cfg.resume}, which was trained with "
                f"model={saved.choices.model} data={saved.choices.data}. A continued run can only "
                f"change {', '.join(CONTINUED)}. Start a new run for other settings."
            )
    if saved.trainer.precision != precision:
        raise UserError(
            f"{cfg.resume} was trained with trainer.precision={precision}, and a continued run "
            f"must keep it: add trainer.precision={precision}."
        )
    refuse_to_erase(record)
    if saved.budget_kimg != budget and saved.budget_kimg <= (kimg := result.get("kimg") or 0.0):
        raise UserError(
            f"{cfg.resume} is already at {kimg:g} kimg: give budget_kimg= more than that."
        )
    replaced = {word.split("=")[0] for word in changes}
    kept = [word for word in given if word.split("=")[0] not in replaced]
    unknown = result.get("no_command") and not given
    words = None if unknown else [*kept, *changes]
    return saved, words, config_dir or result.get("config_dir")


def refuse_to_erase(record: RunRecord) -> None:
    """Raises: UserError if training in this directory would erase what an earlier run recorded.

    That is a run without a checkpoint, which would start anew over its own history, and a record of
    `gansweep.track`. A run that was killed before its first checkpoint starts anew: what it
    recorded comes again.
    """
    settings = _settings(record)
    if TRACKED in settings:
        raise UserError(
            f"{record.directory} was recorded by gansweep.track, so it cannot be trained. Choose "
            "another directory, or continue it from its own loop."
        )
    if record.last.exists() or record.previous.exists():
        return
    kimg = (record.result() or {}).get("kimg") or 0.0  # a run that is killed leaves it at 0
    if not kimg and _killed_early(record, settings):
        return
    if kimg := max(kimg, seen_kimg(record)):
        raise UserError(
            f"{record.directory} has no checkpoint: it saved none, or 'gansweep prune' removed it. "
            f"So it cannot be continued, and to start again there would erase its {kimg:g} kimg of "
            "history. Start a new run; 'gansweep report' shows the command."
        )


def seen_kimg(record: RunRecord) -> float:
    """The newest clock of the history and the samples; 0.0 if no step has left anything."""
    rows = [row.get("kimg", 0.0) for row in record.history()]
    return max([0.0, *rows, *(kimg for kimg, _ in record.sample_grids())])


def _killed_early(record: RunRecord, settings: Mapping[str, Any]) -> bool:
    """Whether the whole history is from the time before the first checkpoint was due."""
    callback = mapping(mapping(settings.get("callbacks")).get("checkpoint"))
    due = callback.get("every_seconds")
    if not isinstance(due, (int, float)):
        return False
    return all(float(row.get("seconds") or 0.0) <= due + LATE_SECONDS for row in record.history())


def _settings(record: RunRecord) -> dict[str, Any]:
    try:
        return yaml_mapping(record.config_path)
    except (OSError, DamagedError):
        return {}


def sweep_of(result: Mapping[str, Any], budget_kimg: float) -> dict[str, Any] | None:
    """What the record of a sweep's run keeps of its sweep when it is continued by hand; None for
    other runs, and with another budget, with which it does not compare with the sweep's others."""
    entry = mapping(result.get("sweep"))
    same = result.get("budget_kimg") == budget_kimg
    return entry if same and isinstance(entry.get("params"), dict) else None


def refuse_other_scores(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raises: UserError for other training images, or another protocol under the same name.

    before, now: full name of a score -> its protocol.
    """
    if _trained_on(before) and _trained_on(now) and not _trained_on(before) & _trained_on(now):
        raise UserError(
            "This run was trained on other images so far. Either the images have changed, or "
            "another version of gansweep ordered or split them in another way. Continue the run "
            "on the machine and with the version where it started, and with the same "
            "data.n_validation (0 if it had none), or start a new run."
        )
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if comparable(old, new):
            continue
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        raise UserError(
            f"This run's {name} was measured in another way so far ({', '.join(differing)} "
            "differ): by another version of gansweep, or with a classifier that another machine "
            "trained. One curve cannot have both. Continue the run where it started, or start a "
            "new run; 'gansweep evaluate' measures the existing one."
        )


def _trained_on(protocols: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The fingerprints of the training images that the scores compare with."""
    return {str(p["data_fingerprint"]) for p in protocols.values() if p.get("split") == "train"}


def _copy(source: DictConfig, target: DictConfig, key: str) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(source, parent) if parent else source
    # unresolved: a record keeps ${oc.env:NAME} unchanged
    raw = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else {}
    assert isinstance(raw, dict)
    OmegaConf.update(target, key, raw.get(name), merge=False, force_add=True)
    if key in target.choices:
        target.choices[key] = source.choices[key]
