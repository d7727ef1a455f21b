"""What may change when a run is continued, and what must stay."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gansweep.config.permissions import is_package_option
from gansweep.errors import UserError
from gansweep.metrics.protocol import comparable
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config

CHANGEABLE = ("budget_kimg", "trainer", "callbacks", "tracker")


def resumed(
    cfg: DictConfig, overrides: list[str], config_dir: str | None
) -> tuple[DictConfig, list[str], str | None]:
    """The configuration of the run that `cfg.resume` names, with the command line's changes.

    Returns: the configuration, and the words and the config_dir that make the whole run from
    nothing.
    Raises: UserError where the directory holds no run, or where an override would change what
    the run trained with so far.
    """
    record = RunRecord(Path(str(cfg.resume)))
    if not record.exists:
        raise UserError(
            f"resume={cfg.resume} holds no run: it has no config.yaml. Name a run's directory, "
            "such as resume=runs/digits/dcgan-001."
        )
    saved = read_config(record, cfg.extra_packages)
    precision = saved.trainer.precision
    changes = [word for word in overrides if word.split("=")[0] != "resume"]
    for word in changes:
        key = word.split("=")[0].lstrip("+~")
        if is_package_option(word):
            continue
        if key.split(".")[0] in CHANGEABLE:
            _copy(cfg, saved, key)
        elif OmegaConf.select(saved, key) != OmegaConf.select(cfg, key):
            raise UserError(
                f"'{word}' does not fit {cfg.resume}, whose networks and data were "
                f"{_chosen(saved)}: a continued run may change {', '.join(CHANGEABLE)} only. "
                "Start a new run for other settings."
            )
    if saved.trainer.precision != precision:
        raise UserError(
            f"{cfg.resume} was trained with trainer.precision={precision}, which a continued run "
            f"keeps: add trainer.precision={precision}."
        )
    result = record.result() or {}
    given = [w for w in result.get("overrides", []) if not is_package_option(w)]
    kept = [w for w in given if not _replaced(w, changes)]
    return saved, [*kept, *changes], config_dir or result.get("config_dir")


def refuse_other_scores(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> None:
    """Raises: UserError where a continued run would train on other images, or measure otherwise
    under the same name.

    before, now: full name of a score -> its protocol.
    """
    if _trained_on(before) and _trained_on(now) and not _trained_on(before) & _trained_on(now):
        raise UserError(
            "This run was trained on other images so far: they changed, or their order and split "
            "did with another version of gansweep. Continue it where it was begun, with the "
            "data.n_validation that it had (0 before there was one), or start a new run."
        )
    for name in before.keys() & now.keys():
        old, new = before[name], now[name]
        if comparable(old, new):
            continue
        differing = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        raise UserError(
            f"This run's {name} was measured otherwise so far ({', '.join(differing)} differ): by "
            "another version of gansweep, or with a classifier that another machine trained. One "
            "curve cannot hold both. Continue it where it was begun, or start a new run; 'gansweep "
            "evaluate' measures the one that is there."
        )


def _trained_on(protocols: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The fingerprints of the training images that scores were measured against."""
    return {str(p["data_fingerprint"]) for p in protocols.values() if p.get("split") == "train"}


def _copy(source: DictConfig, target: DictConfig, key: str) -> None:
    parent, _, name = key.rpartition(".")
    node = OmegaConf.select(source, parent) if parent else source
    # unresolved: a record keeps ${oc.env:NAME} as it is
    raw = OmegaConf.to_container(node, resolve=False) if isinstance(node, DictConfig) else {}
    assert isinstance(raw, dict)
    OmegaConf.update(target, key, raw.get(name), merge=False, force_add=True)
    if key in target.choices:
        target.choices[key] = source.choices[key]


def _chosen(saved: DictConfig) -> str:
    return f"model={saved.choices.model} data={saved.choices.data}"


def _replaced(word: str, changes: list[str]) -> bool:
    return word.split("=")[0] in {change.split("=")[0] for change in changes}
