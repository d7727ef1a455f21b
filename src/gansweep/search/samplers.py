"""Where a trial's parameters come from: Optuna's samplers, made for every trial.

A sampler is seeded by the trial and not by the worker: workers that restart would draw the same
again, and a second attempt at a trial draws what the first did.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

from optuna import __version__
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from gansweep.errors import UserError
from gansweep.judging.constraints import excesses, optuna_stores_constraints
from gansweep.records.notation import plural, short_names
from gansweep.search.cma_es import CmaEs
from gansweep.search.domains import Choice, Fixed, Interval
from gansweep.search.failed_as_worst import FailedAsWorst
from gansweep.search.space import Parameter, Space

if TYPE_CHECKING:
    from gansweep.search.settings import Settings

SamplerName = Literal["random", "tpe", "gp", "cmaes", "qmc", "population", "grid"]
SAMPLERS: tuple[str, ...] = get_args(SamplerName)
# these take constraints into account; the others search as if there were none
KNOWS_CONSTRAINTS = ("tpe", "gp")


def make_sampler(settings: Settings, space: Space, number: int) -> BaseSampler:
    """The sampler of trial `number`, counted by keys."""
    options = settings.sampler
    name, startup = options["name"], int(options["startup_trials"])
    seed = (int(options["seed"]) * 1_000_003 + number) % 2**32
    # Optuna 4 asks for the constraints, Optuna 5 finds them with the trial
    asks = settings.constraints and not optuna_stores_constraints()
    asked: dict[str, Any] = {"constraints_func": excesses} if asks else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if name == "tpe":
            tpe = TPESampler(
                n_startup_trials=startup,
                multivariate=True,
                group=True,  # conditional parameters are modelled with their companions
                constant_liar=True,  # two workers do not try the same point at once
                seed=seed,
                **asked,
            )
            return FailedAsWorst(tpe)
        if name == "gp":
            # it says once in each worker that greenlet would save it some tenths of a second
            logging.getLogger("optuna._gp.batched_lbfgsb").setLevel(logging.ERROR)
            gp = GPSampler(n_startup_trials=startup, seed=seed, **asked, **_quietly(GPSampler))
            return FailedAsWorst(gp, pruned=True)
        if name == "cmaes":
            # by Optuna's benchmarks, as the documentation of the option says: with Hyperband the
            # stopped trials inform the search, with the median they mislead it
            halving = settings.pruner["name"] in ("asha", "hyperband")
            return CmaEs(seed, number, consider_pruned_trials=halving)
        if name == "qmc":
            return QuasiRandom(space, int(options["seed"]), number)
        # a grid's points are fixed when the trial is created, whatever the sampler, and so is what
        # a population's members continue with: only its first settings are drawn
        return RandomSampler(seed=seed)


class QuasiRandom(BaseSampler):
    """The points of a scrambled Sobol sequence, trial by trial (Owen 1998).

    Trial `number` takes the point of that number, and a second attempt takes it again. Optuna's
    sampler counts in the study, which two workers may read at once, and draws conditional
    parameters at random. Here every entry of the space has an axis of its own.
    """

    def __init__(self, space: Space, seed: int, number: int) -> None:
        from scipy.stats import qmc  # slow to import

        domains = {p.name: p.domain for p in space.parameters if not isinstance(p.domain, Fixed)}
        engine = qmc.Sobol(max(1, len(domains)), scramble=True, seed=seed)
        if number > 0:
            engine.fast_forward(number)
        point = zip(domains.items(), engine.random(1)[0].tolist(), strict=False)
        self._point = {name: domain.at(position) for (name, domain), position in point}

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        return self._point[param_name]


def refuse_unfit(settings: Settings, space: Space) -> None:
    """Raises: UserError if the sampler cannot search this space for these objectives."""
    name, metrics = settings.sampler["name"], [o.metric for o in settings.objectives]
    if name == "cmaes" and len(metrics) > 1:
        raise UserError(
            f"sweep.sampler.name=cmaes follows one objective, and this sweep has {len(metrics)} "
            f"({', '.join(metrics)}). Use tpe, gp, qmc or random, or make all but one of them "
            "constraints, as in sweep.constraints=['coverage >= 0.5']."
        )
    version = tuple(map(int, __version__.split(".")[:2]))
    if name == "gp" and len(metrics) > 1 and version < (4, 5):
        raise UserError(
            f"sweep.sampler.name=gp takes several objectives from Optuna 4.5 on, and {__version__} "
            "is installed. Use tpe, or pip install --upgrade optuna."
        )
    if name in ("gp", "cmaes") and not _modelled(name, space):
        kind = "numbers" if name == "cmaes" else "parameters"
        raise UserError(
            f"sweep.sampler.name={name} searches {kind} that every trial has, and this space "
            "has none: it would draw everything at random. Use sweep.sampler.name=tpe."
        )


def remarks(settings: Settings, space: Space) -> list[str]:
    """What a person should hear once about how the sampler treats this sweep."""
    name, found = settings.sampler["name"], []
    if name in ("gp", "cmaes"):
        inside = {p.key for p in _modelled(name, space)}
        short = short_names(space.keys())
        keys = dict.fromkeys(p.key for p in space.parameters if not isinstance(p.domain, Fixed))
        searched = [short[k] for k in keys if k in inside]
        outside = [short[k] for k in keys if k not in inside]
        if outside:
            verb = "is" if len(outside) == 1 else "are"
            kind = "a number" if name == "cmaes" else "a value"
            found.append(
                f"{name} searches {_listed(searched)}; {_listed(outside)} {verb} drawn at random, "
                f"since not every trial has {kind} there. tpe searches all."
            )
    count = _size(space, settings.n_trials)
    if count is not None and name not in ("grid", "population"):
        found.append(
            f"The space has {plural(count, 'point')}: some of {settings.n_trials} trials will be "
            "repeated, seed and all. sweep.sampler.name=grid takes each point once."
        )
    if settings.constraints and name not in KNOWS_CONSTRAINTS:
        found.append(
            f"{name} searches as if there were no constraints; they decide who may win. "
            "tpe and gp follow them."
        )
    return found


def _size(space: Space, limit: int) -> int | None:
    """How many points a space has; None for `limit` or more."""
    domains = [parameter.domain for parameter in space.parameters]
    if any(isinstance(d, Interval) and not d.spans_less_than(limit) for d in domains):
        return None
    count = sum(1 for _ in itertools.islice(space.points(), limit))
    return count if count < limit else None


def _modelled(name: str, space: Space) -> list[Parameter]:
    """The parameters that the sampler models; Optuna draws the others at random."""
    left_out: tuple[type, ...] = (Fixed, Choice) if name == "cmaes" else (Fixed,)

    def is_modelled(p: Parameter) -> bool:
        everywhere = not p.conditions and space.entries_of(p.key) == 1
        options = p.domain.options()
        varies = options is None or len(options) > 1
        return everywhere and varies and not isinstance(p.domain, left_out)

    return list(filter(is_modelled, space.parameters))


def _listed(words: Sequence[str]) -> str:
    return " and ".join([*filter(None, [", ".join(words[:-1])]), words[-1]])


def _quietly(sampler: type[BaseSampler]) -> Mapping[str, Any]:
    """Keeps Optuna from warning of each parameter that it draws at random: we say so once."""
    option = "warn_independent_sampling"  # Optuna 4.3 has no such option for GP, and no warning
    return {option: False} if option in inspect.signature(sampler).parameters else {}
