"""Whether a command continues the sweep in its directory. If it does not, it is refused, or the old
sweep is set aside if none of its trials finished."""

import contextlib
import itertools
import re
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import TrialState

from gansweep.engine import failures
from gansweep.engine.lease.locks import is_alive
from gansweep.engine.lease.workers import workers_of
from gansweep.engine.storage.storage import Storage, keep_name, open_storage
from gansweep.errors import UserError, tell
from gansweep.judging.statuses import FAILED_TRAINING
from gansweep.search.settings import Settings
from gansweep.search.space import difference
from gansweep.search.trials import trials_of

STUDIES = ("trials", "confirm")  # of a sweep, by the ends of their names
RUN = re.compile(r"t\d{4,}(-s\d+)?")  # the directories of trials' runs
FINISHED = ("pruned", *FAILED_TRAINING)


def refuse_another_storage(directory: Path, settings: Settings) -> None:
    """Raises: UserError if the sweep was started with another `storage=`."""
    exists = (directory / "sweep.yaml").exists()
    kept = Settings.load(directory).storage if exists else settings.storage
    if kept != settings.storage:
        raise UserError(
            f"The sweep {directory} keeps its study in storage={kept}, not in {settings.storage}. "
            f"Give storage={kept}, or start a new sweep with {_other_name(settings)}."
        )


def refuse_another_sample(directory: Path, settings: Settings) -> None:
    """Raises: UserError if trials were confirmed with another number of samples."""
    if not any(directory.glob("c-*/result.json")):
        return
    kept = Settings.load(directory).confirm.get("n_fake")
    if kept != settings.confirm.get("n_fake"):
        value = "null" if kept is None else kept
        raise UserError(
            f"The sweep {directory} has confirmed trials with sweep.confirm.n_fake={value}, and "
            "scores of other numbers of samples do not compare. Give "
            f"sweep.confirm.n_fake={value}, or start a new sweep with {_other_name(settings)}."
        )


def make_room(
    storage: Storage, directory: Path, settings: Settings, identity: Mapping[str, Any]
) -> None:
    """Remove a study of another search from the way; call it under the sweep's lock.

    A study without trials is deleted. One that differs only in its fixed overrides is set aside if
    none of its trials finished or could continue.
    Raises: UserError if it must stay.
    """
    try:
        study = optuna.load_study(study_name=f"{storage.prefix}trials", storage=storage.optuna)
    except KeyError:
        return
    if storage.is_shared:
        keep_name(study, directory)
    old = study.user_attrs.get("identity")
    if old is None or old == identity:
        return
    changes = difference(old, identity)
    if study.get_trials(deepcopy=False):
        why = _why_kept(study, directory, old, identity)
        if why:
            raise UserError(
                f"The sweep {directory} exists with another search: {changes}. {why} Start a new "
                f"one with {_other_name(settings)}, or give the old values to continue the old one."
            )
        aside = _set_aside(storage, directory)
        tell(
            f"The sweep {directory} was begun with other options ({changes}), and none of its "
            f"trials finished. They are set aside in {aside}, and it starts again.",
            sys.stdout,
        )
    for name in STUDIES:
        with contextlib.suppress(KeyError):  # a process was killed here before
            optuna.delete_study(study_name=storage.prefix + name, storage=storage.optuna)


def _why_kept(study: Study, directory: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Why a begun study of another search is not set aside; "" if it may be."""
    trials = trials_of(study)
    ended = [t for t in trials if t.state.is_finished()]
    if any(t.state == TrialState.COMPLETE or t.user_attrs.get("status") in FINISHED for t in ended):
        return "Results of two searches do not belong into one study."
    if {**old, "overrides": ""} != {**new, "overrides": ""}:
        return "Only its fixed options may change while none of its trials finished."
    leases = (directory / "leases" / f"trials-{t.number}" for t in trials)
    if workers_of(directory) or any(map(is_alive, leases)):
        return (
            "None of its trials finished, but its workers are still at it: after `gansweep cancel "
            f"{shlex.quote(str(directory))}` this command sets them aside."
        )
    names = [t.user_attrs["key"].partition("-")[0] for t in trials if t not in ended]
    saved = [n for n in names if any(directory.glob(f"{n}*/checkpoints/*.pt"))]
    if saved:
        return f"Its {saved[0]} has a checkpoint to continue from, which must not be lost."
    return ""


def _set_aside(storage: Storage, directory: Path) -> Path:
    """Move the runs of a sweep, with a copy of its study, into a directory beside its own, where
    `gansweep status` and `gansweep report` read it; that directory."""
    shared, here = storage.is_shared, directory.resolve()
    places = (here.with_name(f"{here.name}-set-aside-{i}") for i in itertools.count(1))
    # a shared storage may know a sweep whose directory was removed
    known = optuna.get_all_study_names(storage.optuna) if shared else []
    aside = next(p for p in places if not p.exists() and f"{p.name}/{STUDIES[0]}" not in known)
    aside.mkdir()
    settings = Settings.load(directory)
    settings.name = aside.name
    settings.command += " " + shlex.quote(f"name={aside.name}")  # of two the last one counts
    settings.save(aside)
    # we hold the lock of a shared storage already
    target = storage.optuna if shared else open_storage(aside, settings.storage).optuna
    prefix = f"{aside.name}/" if shared else ""
    for name in STUDIES:
        with contextlib.suppress(KeyError):  # a process was killed after it had deleted only one
            optuna.copy_study(
                from_study_name=storage.prefix + name,
                from_storage=storage.optuna,
                to_storage=target,
                to_study_name=prefix + name,
            )
            copied = optuna.load_study(study_name=prefix + name, storage=target)
            copied.set_user_attr("directory", str(aside))
    for path in directory.iterdir():
        if RUN.fullmatch(path.name) or path.name == failures.STOPPED:
            path.rename(aside / path.name)
    return aside


def _other_name(settings: Settings) -> str:
    return shlex.quote(f"name={settings.name}-2")
