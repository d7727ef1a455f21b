"""CMA-ES as a sweep's sampler: its state is read only if it is complete.

Optuna keeps the state of CMA-ES in attributes of the trials, piece by piece: the optimizer in parts
of 2,045 characters, then the number of the generation. A worker can be killed between two of them.
"""

import copy
import io
import pickle
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import CmaEsSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from gansweep.search.trials import CMA_GENERATION, CMA_STATE, StudyView

_OPTIMIZER = "cma:optimizer"
# what a pickled optimizer consists of; other classes could run code, and a sweep may be foreign
_ARRAY = ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
_CLASSES = {
    *("cmaes._cma.CMA", "numpy.dtype", "numpy.ndarray"),
    *(f"{numpy}.{name}" for numpy in ("numpy.core", "numpy._core") for name in _ARRAY),
}


class CmaEs(CmaEsSampler):
    """CMA-ES (Hansen and Ostermeier 2001) for trial `number`, counted by keys."""

    def __init__(self, seed: int, number: int, consider_pruned_trials: bool) -> None:
        super().__init__(
            seed=seed,
            consider_pruned_trials=consider_pruned_trials,
            warn_independent_sampling=False,
        )
        self._number = number

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """As Optuna's, over a view with each trial once. A continued trial draws nothing."""
        view = StudyView(study, with_whole_states)
        fixed = trial.system_attrs.get("fixed_params", {})
        seen = view._get_trials(deepcopy=False, use_cache=True)
        drawn = any(t.number == trial.number and CMA_GENERATION in t.system_attrs for t in seen)
        if drawn and search_space.keys() <= fixed.keys():
            return {}  # it continues with what it drew at its start
        trial = copy.copy(trial)  # the original is the caller's
        trial.number = self._number  # Optuna seeds by it
        return super().sample_relative(view.as_study(), trial, search_space)


def with_whole_states(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """The trials, each with its part of CMA-ES's state only if that is whole."""
    trials = list(trials)
    for place in reversed(range(len(trials))):
        state = state_of(trials[place])
        if not any(key.startswith(_OPTIMIZER) for key in state):
            continue
        if _is_whole(state):
            if trials[place].state == TrialState.COMPLETE:
                break  # Optuna continues from the last optimizer
            continue
        trial = trials[place] = copy.copy(trials[place])  # the original is the storage's
        trial.system_attrs = {k: v for k, v in trial.system_attrs.items() if k not in state}
    return trials


def state_of(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes in which a trial keeps its part of CMA-ES's state."""
    return {k: v for k, v in trial.system_attrs.items() if k.startswith(CMA_STATE)}


def _is_whole(state: dict[str, Any]) -> bool:
    """state: with a part of an optimizer at least."""
    count = sum(key.startswith(_OPTIMIZER) for key in state)
    try:
        text = "".join(state[f"{_OPTIMIZER}:{i}"] for i in range(count))
        _Unpickler(io.BytesIO(bytes.fromhex(text))).load()
    except Exception:  # torn content makes pickle raise anything
        return False
    return CMA_GENERATION in state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}" not in _CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an optimizer")
        return super().find_class(module, name)
