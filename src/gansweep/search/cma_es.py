"""CMA-ES as a sweep's sampler: its state is read whole or not at all, and a retry keeps its own.

Optuna keeps the state of CMA-ES in attributes of the trials, piece by piece: the optimizer in parts
of 2,045 characters, then the number of the generation. A worker can be killed between two of them.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Container
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import CmaEsSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

_STATE = "cma:"  # how the names of these attributes begin
_OPTIMIZER = "cma:optimizer"
_GENERATION = "cma:generation"  # written last
# what a pickled optimizer consists of; a sweep's directory may come from anybody
_CLASSES = {
    ("cmaes._cma", "CMA"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *(
        (f"{numpy}.{module}", name)
        for numpy in ("numpy.core", "numpy._core")
        for module, name in (
            ("multiarray", "scalar"),
            ("multiarray", "_reconstruct"),
            ("numeric", "_frombuffer"),
        )
    ),
}


class RepeatableCmaEs(CmaEsSampler):
    """CMA-ES (Hansen and Ostermeier 2001) that draws for a trial what it drew before."""

    def __init__(self, seed: int, number: int, consider_pruned_trials: bool) -> None:
        super().__init__(
            seed=seed,
            consider_pruned_trials=consider_pruned_trials,
            warn_independent_sampling=False,
        )
        self._position = number

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        if _GENERATION in trial.system_attrs:  # a retry, which has its parameters too
            return {}
        trial = copy.copy(trial)  # it is the caller's
        trial.number = self._position  # Optuna seeds by the attempt
        return super().sample_relative(_WithWholeStates(study), trial, search_space)


class _WithWholeStates(Study):
    """A study whose trials show their part of CMA-ES's state where it is whole."""

    def __init__(self, study: Study) -> None:
        self.__dict__.update(study.__dict__)  # the same study: its storage is not read again

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = list(super()._get_trials(deepcopy, states, use_cache))
        for place in reversed(range(len(trials))):
            state = state_of(trials[place])
            if not any(key.startswith(_OPTIMIZER) for key in state):
                continue
            if _is_whole(state):
                if trials[place].state == TrialState.COMPLETE:
                    break  # Optuna goes on from the last optimizer
                continue
            trial = trials[place] = copy.copy(trials[place])  # it is the storage's
            trial.system_attrs = {k: v for k, v in trial.system_attrs.items() if k not in state}
        return trials


def state_of(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes in which a trial keeps its part of CMA-ES's state."""
    return {k: v for k, v in trial.system_attrs.items() if k.startswith(_STATE)}


def carried_state(trial: FrozenTrial) -> dict[str, Any]:
    """The attributes without which the next attempt at `trial` would teach CMA-ES nothing; none
    where it was killed before it had all of them."""
    state = state_of(trial)
    return state if _is_whole(state) else {}


def _is_whole(state: dict[str, Any]) -> bool:
    parts = {key: text for key, text in state.items() if key.startswith(_OPTIMIZER)}
    if _GENERATION not in state:
        return False
    if not parts:  # it was drawn by an optimizer that another trial keeps
        return True
    try:
        text = "".join(parts[f"{_OPTIMIZER}:{i}"] for i in range(len(parts)))
        _Unpickler(io.BytesIO(bytes.fromhex(text))).load()
    except Exception:  # pickle says what is torn by whatever its reading came to
        return False
    return True


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _CLASSES:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an optimizer")
        return super().find_class(module, name)
