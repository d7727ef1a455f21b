"""How far a sweep's journal can be trusted: up to the first line that cannot be true.

Optuna ignores lines that do not fit. After a line that is missing or repeated, every line may be
about another trial, so nothing after it counts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from optuna.distributions import json_to_distribution
from optuna.storages.journal._storage import JournalOperation, JournalStorageReplayResult
from optuna.trial import FixedTrial, TrialState

from gansweep.engine.storage.storage import log_in
from gansweep.judging.statuses import ENDED_WELL, KILLED
from gansweep.search.space import Space

TRIAL = re.compile(r"t(\d{4,})")  # the keys of the trials, which are numbered without a gap


@dataclass
class _Trial:
    study: str
    has_begun: bool
    attrs: dict[str, Any]
    fixed: dict[str, Any]  # name -> value
    params: dict[str, Any] = field(default_factory=dict)
    distributions: dict[str, Any] = field(default_factory=dict)
    drawn_at: int | None = None  # the line of its first parameter


@dataclass(frozen=True)
class Recorded:
    """What the records of a trial's runs say.   None, and no values: nothing."""

    params: dict[str, Any] | None = None  # name -> stored value
    values: tuple[float, ...] = ()  # of the objectives, if it ended well


class JournalCheck:
    """Follows a journal line by line."""

    def __init__(self, space: Space, recorded: Callable[[str], Recorded]) -> None:
        """recorded: the key of a trial -> its records."""
        self._space, self._recorded = space, recorded
        self.good = 0  # lines
        self._replayed = JournalStorageReplayResult("")
        self._studies: list[str] = []  # by their ids
        self._trials: list[_Trial] = []
        self._distributions: dict[tuple[str, str], Any] = {}
        self._identities: dict[str, tuple[int, Any]] = {}  # study -> (line, its search)
        self._attempts: dict[tuple[str, str], int] = {}  # (study, key) -> the last attempt
        self._reads: dict[int, Callable[[dict[str, Any]], str]] = {
            JournalOperation.CREATE_STUDY: self._create_study,
            JournalOperation.DELETE_STUDY: self._of_study,
            JournalOperation.SET_STUDY_USER_ATTR: self._of_study,
            JournalOperation.SET_STUDY_SYSTEM_ATTR: self._of_study,
            JournalOperation.CREATE_TRIAL: self._create_trial,
            JournalOperation.SET_TRIAL_PARAM: self._set_param,
            JournalOperation.SET_TRIAL_STATE_VALUES: self._set_state,
            JournalOperation.SET_TRIAL_INTERMEDIATE_VALUE: self._report,
            JournalOperation.SET_TRIAL_USER_ATTR: self._set_user_attr,
            JournalOperation.SET_TRIAL_SYSTEM_ATTR: self._set_system_attr,
        }

    def fault(self, line: bytes) -> str:
        """Why the next line cannot be true; "" if it can. Then `good` counts the good lines."""
        log = log_in(line)
        if log is None:
            return "it cannot be read"
        read = self._reads.get(log.get("op_code", -1))
        if read is None:
            return "it has no operation that a study knows"
        try:
            fault = read(log)
            if not fault:
                self._replayed.apply_logs([log])
        except (AssertionError, AttributeError, LookupError, TypeError, ValueError):
            return "it is about something that no line before it has made"
        self.good += not fault
        return fault

    def fault_of_search(self, identity: Mapping[str, Any]) -> str:
        """As `fault`, after the last line: why the studies cannot be of this search."""
        wrong = [line for line, found in self._identities.values() if found != identity]
        self.good = min([self.good, *wrong])
        return "it names another search than sweep.yaml" if wrong else ""

    def _create_study(self, log: dict[str, Any]) -> str:
        if log["study_name"] not in self._studies:  # made twice it is one, as by a second worker
            self._studies.append(log["study_name"])
        return ""

    def _of_study(self, log: dict[str, Any]) -> str:
        name = self._studies[log["study_id"]]
        if "identity" in log.get("user_attr", ()):
            self._identities[name] = self.good, log["user_attr"]["identity"]
        if log["op_code"] == JournalOperation.DELETE_STUDY:
            self._studies[log["study_id"]] = ""  # its id is not given again
            self._identities.pop(name, None)
            self._attempts = {k: n for k, n in self._attempts.items() if k[0] != name}
        return ""

    def _create_trial(self, log: dict[str, Any]) -> str:
        study, attrs = self._studies[log["study_id"]], dict(log["user_attrs"])
        key, attempt = attrs["key"], attrs["attempt"]
        before = self._attempts.get((study, key), 0)
        if attempt <= before:
            return f"attempt {attempt} at {key} was there before"
        numbered = TRIAL.fullmatch(key) if before == 0 else None
        if numbered and int(numbered[1]) != sum(of == study for of, _ in self._attempts):
            return f"{key} is out of turn"
        if attempt > before + 1:
            return f"attempt {before + 1} at {key} is missing"
        self._attempts[study, key] = attempt
        has_begun = TrialState(log["state"]) != TrialState.WAITING
        fixed = dict(log["system_attrs"]).get("fixed_params", {})
        self._trials.append(_Trial(study, has_begun, attrs, fixed))
        return ""

    def _begun(self, log: dict[str, Any]) -> _Trial:
        """The trial of a line. Raises: ValueError if it has not begun."""
        trial = self._trials[log["trial_id"]]
        if not trial.has_begun:
            raise ValueError("a line is missing")
        return trial

    def _set_param(self, log: dict[str, Any]) -> str:
        trial, name = self._begun(log), log["param_name"]
        stored = log["param_value_internal"]
        distribution = json_to_distribution(log["distribution"])
        value = distribution.to_external_repr(stored)
        if distribution != self._distributions.setdefault((trial.study, name), distribution):
            return f"{name} had another range before"
        if name in trial.fixed and trial.fixed[name] != value:
            return f"{name} of {trial.attrs['key']} was to be {trial.fixed[name]}"
        if trial.drawn_at is None:
            trial.drawn_at = self.good
        trial.params[name] = value
        trial.distributions[name] = distribution
        return ""

    def _set_state(self, log: dict[str, Any]) -> str:
        state = TrialState(log["state"])
        if state == TrialState.RUNNING:
            self._trials[log["trial_id"]].has_begun = True
            return ""
        trial = self._begun(log)
        key, attempt = trial.attrs["key"], trial.attrs["attempt"]
        if "status" not in trial.attrs:
            return f"how {key} ended is missing"
        status = trial.attrs["status"]
        if status == "interrupted" and self._attempts[trial.study, key] == attempt:
            return f"the next attempt at {key} is missing"
        if (status in (*ENDED_WELL, "paused")) != (state == TrialState.COMPLETE):
            return f"{key} cannot both be {status} and {state.name.lower()}"
        # a killed attempt may lack parameters, and a retry may draw others
        killed = status == "interrupted" or trial.attrs.get("failure") == KILLED
        fault = self._of_params(trial) if trial.study == "trials" and not killed else ""
        if fault and trial.drawn_at is not None:
            self.good = trial.drawn_at  # it must not continue with these parameters
        return fault or self._of_values(key, state, log["values"])

    def _of_params(self, trial: _Trial) -> str:
        """Why a trial that ended cannot have had these parameters; "" if it can."""
        key, whole = trial.attrs["key"], FixedTrial(trial.params)
        try:
            self._space.suggest(whole)
        except ValueError:
            return f"parameters of {key} are missing"
        if whole.distributions != trial.distributions:
            return f"the parameters of {key} are not those of the space"
        if self._recorded(key).params not in (None, trial.params):
            return f"the record of {key} has other parameters"
        return ""

    def _of_values(self, key: str, state: TrialState, values: Sequence[float] | None) -> str:
        measured = self._recorded(key).values
        if state != TrialState.COMPLETE or not measured:
            return ""
        return "" if tuple(values or ()) == measured else f"the record of {key} has another value"

    def _report(self, log: dict[str, Any]) -> str:
        self._begun(log)
        return ""

    def _set_user_attr(self, log: dict[str, Any]) -> str:
        self._trials[log["trial_id"]].attrs.update(log["user_attr"])
        return ""

    def _set_system_attr(self, log: dict[str, Any]) -> str:
        trial = self._trials[log["trial_id"]]
        trial.fixed = log["system_attr"].get("fixed_params", trial.fixed)
        return ""
