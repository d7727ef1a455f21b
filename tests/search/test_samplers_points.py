"""Which points of a finite space are tried, and how often."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from optuna.trial import FixedTrial
from sweep_studies import NO_CONFIRMATION, ONE, make, record, sampler, settings

from gansweep.engine.attempt import Attempt
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.search import samplers
from gansweep.search.space import Space
from gansweep.search.trials import trials_of

NESTED: dict[str, Any] = {
    "model": "choice(a, b, c)",
    "n": "range(1, 4)",
    "model=a": {"x": "choice(1, 2)", "x=2": {"y": "int(interval(1, 3))"}},
    "model=b,c": {"z": "choice(null, 0.5)"},
}
POINTS = 3 * (1 + 3) + 2 * 3 * 2  # of a: x=1, and x=2 with three y; of b and c: two z


def befall(study: SweepStudy, attempt: Attempt, fate: float) -> None:
    """End an attempt: killed before or after it has its settings, diverged, or finished."""
    if fate > 0.2:
        study.suggest(attempt)
    if fate < 0.4:
        study.finish(attempt, "killed")
        return
    diverged = fate < 0.6
    record(study, attempt.key, "diverged" if diverged else "finished", None if diverged else fate)
    study.finish(attempt, "itself")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grid_takes_every_point_once_whatever_befalls_its_trials(tmp_path: Path, seed: int) -> None:
    first = make(
        tmp_path / "s",
        n_trials=999,
        space=NESTED,
        sampler=sampler("grid"),
        objective=ONE,
        max_retries=99,
        confirm=NO_CONFIRMATION,
    )
    rng = random.Random(seed)
    workers = [first, *(SweepStudy(tmp_path / "s") for _ in range(7))]
    busy: dict[int, Attempt] = {}
    while not first.finished():
        place = rng.randrange(len(workers))
        if place in busy:
            befall(workers[place], busy.pop(place), rng.random())
            if rng.random() < 0.1:  # by a worker that starts again
                workers[place] = SweepStudy(tmp_path / "s")
        elif (attempt := workers[place].claim(f"w{place}")) is not None:
            busy[place] = attempt
    tried = [first.space.suggest(FixedTrial(t.params)) for t in trials_of(first.trials)]
    assert len(tried) == POINTS == len({json.dumps(point, sort_keys=True) for point in tried})


def test_more_trials_than_points_are_said_to_repeat_some() -> None:
    def said(space: dict[str, Any], n_trials: int, name: str = "random") -> list[str]:
        chosen = settings(space=space, n_trials=n_trials, sampler=sampler(name))
        return samplers.remarks(chosen, Space.parse(space))

    (line,) = said(NESTED, POINTS + 1)
    assert line.startswith(f"The space has {POINTS} points: some of {POINTS + 1} trials will be")
    assert said(NESTED, POINTS) == []  # none needs to
    assert said(NESTED, 99, "grid") == []
    assert said({"x": "interval(0, 1)"}, 99) == []
    # neither is counted to its end
    assert said({"x": "int(interval(1, 1000000000))"}, 99) == []
    assert said({f"x{i}": "choice(1, 2, 3, 4)" for i in range(20)}, 99) == []


@pytest.mark.parametrize("text", ["choice(1, 1.0)", "choice(0, false)", "choice(a, b, a)"])
def test_choice_of_equal_values_is_refused(text: str) -> None:
    """Optuna would keep the first in place of both."""
    with pytest.raises(UserError, match="names a value twice"):
        Space.parse({"x": text})
