"""What a sweep tries first: the models' defaults, an earlier sweep's best, or what is given."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import OmegaConf

from gansweep.errors import UserError, nearest
from gansweep.search.domains import override_text
from gansweep.search.settings import Settings
from gansweep.search.space import ABSENT, Space

DEFAULTS = "defaults"
BEST = 5  # of an earlier sweep
Compose = Callable[[list[str]], Any]
Plain = Callable[[str | None, str], Any]


class Earlier(NamedTuple):
    """A trial of an earlier sweep that ran to its end."""

    key: str
    searched: dict[str, Any]  # key -> value
    cfg: Any  # the whole configuration of its run, empty if that is gone


BestOf = Callable[[Path], Iterator[Earlier]]  # the trials of the sweep in a directory, best first


def starting_points(
    entries: Sequence[Any], space: Space, compose: Compose, directory: Path, best_of: BestOf
) -> tuple[list[dict[str, Any]], list[str]]:
    """(what `Settings.enqueue` keeps, a line for each entry that is not tried as it is named).

    entries: "defaults", the directory of an earlier sweep, or a mapping from searched keys to
        values; the sampler draws the keys that a mapping leaves out.
    compose: overrides -> the configuration of a trial with them.
    directory: of the sweep itself.   best_of: reads an earlier one.
    Each point is {"source": what it was taken from, "params": Optuna's name -> stored value}.
    Raises: UserError for an entry that is none of these, and for a mapping outside the space.
    """
    plain = _plain_values(compose)
    points: dict[str, dict[str, Any]] = {}
    remarks = []
    for entry in entries:
        fitting, misfits = 0, []
        for source, values in _configurations(entry, space, plain, directory, best_of):
            try:
                params, why = space.pinned(values), "None of the searched keys has a value there."
            except UserError as error:
                if isinstance(entry, Mapping):
                    shown = override_text(dict(entry))
                    raise UserError(f"sweep.enqueue cannot begin with {shown}: {error}") from error
                params, why = {}, str(error)
            if not params:
                misfits.append((source, why))
                continue
            fitting += 1
            text = json.dumps(params, sort_keys=True)  # twice the same is tried once
            points.setdefault(text, {"source": source, "params": params})
            if fitting == BEST and entry != DEFAULTS:
                break
        if misfits:
            more = f" and {len(misfits) - 1} more" if misfits[1:] else ""
            remarks.append(f"Not tried first: {misfits[0][0]}{more}. {misfits[0][1]}")
        elif not fitting:
            remarks.append(f"Not tried first: {entry}. None of its trials ran to its end.")
    return list(points.values()), remarks


def refuse_too_many(settings: Settings) -> None:
    """Raises: UserError if the trials cannot start with what is enqueued."""
    count = len(settings.enqueue)
    if count and settings.sampler["name"] == "grid":
        raise UserError(
            "sweep.enqueue names what to try first, and sweep.sampler.name=grid tries every point "
            "anyway. Drop one of the two."
        )
    if count > settings.n_trials:
        raise UserError(
            f"sweep.enqueue names {count} configurations to try first, and n_trials="
            f"{settings.n_trials} has no room for all. Use n_trials={count} or more."
        )


def _configurations(
    entry: Any, space: Space, plain: Plain, directory: Path, best_of: BestOf
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(source, key -> value) of each configuration that an entry stands for."""
    if isinstance(entry, Mapping):
        yield "given", {str(key): value for key, value in entry.items()}
    elif entry == DEFAULTS:
        yield from _defaults(space, plain)
    elif ((earlier := Path(str(entry))) / "sweep.yaml").is_file():
        if earlier.resolve() == directory.resolve():
            raise UserError(
                f"sweep.enqueue={earlier} is this sweep itself. Name an earlier one, or drop it."
            )
        for trial in best_of(earlier):
            yield f"{earlier}/{trial.key}", _as_here(trial.searched, trial.cfg, space, plain)
    else:
        raise UserError(
            f"sweep.enqueue: {override_text(entry)} is no sweep's directory, for there is no "
            f"sweep.yaml in it.{nearest(str(entry), [DEFAULTS])} Use {DEFAULTS}, the directory of "
            "an earlier sweep, or a mapping {KEY: VALUE}."
        )


def _defaults(space: Space, plain: Plain) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The values that a run without the sweep would have; once for every model that is tried."""
    for model in space.values("model") or [None]:
        source = DEFAULTS if model is None else f"{DEFAULTS} of {model}"
        yield source, space.with_defaults(partial(plain, model))


def _as_here(
    searched: Mapping[str, Any], cfg: Any, space: Space, plain: Plain
) -> Mapping[str, Any]:
    """The values of an earlier trial for the keys of this search.

    searched: what the earlier sweep searched. A key that this sweep does not search is left out
        if every trial here has the same value.
    cfg: the whole configuration of the earlier run, which has the other keys of this search.
    """
    here = space.with_defaults(lambda k: searched[k] if k in searched else _value_in(cfg, k))
    model = here.get("model") if here.get("model") in space.values("model") else None
    differing = {k: v for k, v in searched.items() if k in here or plain(model, k) != v}
    return {**here, **differing}


def _plain_values(compose: Compose) -> Plain:
    """A function of a model (None: that of the overrides) and a key: the key's value if nothing is
    searched, ABSENT if there is no such key."""

    @cache
    def composed(model: str | None) -> Any:
        return compose([] if model is None else [f"model={override_text(model)}"])

    return lambda model, key: _value_in(composed(model), key)


def _value_in(cfg: Any, key: str) -> Any:
    if key in (cfg.get("choices") or {}):  # a group, such as model
        return cfg.choices[key]
    found = OmegaConf.select(cfg, key, default=ABSENT)
    return OmegaConf.to_container(found) if OmegaConf.is_config(found) else found
