"""Winners are confirmed with seeds that the search has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_studies import ONE, begin, finish_with, make, record_scores

from gansweep.search.population import PlannedRun


def seeds_of(run: PlannedRun, base: int) -> tuple[int, int]:
    """(seed of the training, seed of the noise) of a run."""
    given = dict(word.split("=", 1) for word in run.overrides)
    return int(given.get("seed", base)), int(given.get("metrics.noise_seed", 0))


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("base", [0, 99, 101, 102, 5000])
def test_seeds_of_search_and_confirmation_have_none_in_common(
    tmp_path: Path, base: int, seeds: int
) -> None:
    study = make(
        tmp_path / "s",
        n_trials=3,
        base_seed=base,
        seeds=seeds,
        max_retries=2,
        objective=ONE,
        confirm={"top": 2, "per": "config", "seeds": 4},
    )
    searched: set[int] = set()
    confirmed: dict[str, set[int]] = {}
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        for run in attempt.runs:
            training, noise = seeds_of(run, base)
            if attempt.role == "confirm":
                assert training == noise
                confirmed.setdefault(attempt.key.partition("-s")[0], set()).add(training)
            else:
                searched |= {training, noise}
        if attempt.number <= 2:  # two deaths, then the third attempt ends well
            study.finish(attempt, "killed")
            continue
        for run in attempt.runs:
            record_scores(study, run.name, fid=float(attempt.key[4:5] or 1))
        study.finish(attempt, "itself")
    assert searched == {0, *range(base, base + seeds)}
    assert [len(found) for found in confirmed.values()] == [4, 4]
    assert searched.isdisjoint(set.union(*confirmed.values()))


@pytest.mark.parametrize(
    ("words", "searched"),
    [
        ({"space": {"lr": "interval(1, 2)", "seed": "range(100, 104)"}}, {100, 101, 102, 103}),
        ({"space": {"metrics.noise_seed": "choice(101, 102)"}}, {101, 102}),
        ({"overrides": ["+metrics.noise_seed=102", "budget_kimg=9"]}, {102}),
    ],
)
def test_seeds_that_the_search_varied_or_was_given_confirm_no_winner(
    tmp_path: Path, words: dict[str, Any], searched: set[int]
) -> None:
    """Also those of trials other than the winner: every trial was compared with it."""
    study = make(
        tmp_path / "s",
        n_trials=24,
        objective=ONE,
        confirm={"top": 1, "per": "config", "seeds": 3},
        **words,
    )
    for number in range(24):
        attempt = begin(study)
        finish_with(study, attempt, fid=float(number))
    found = [c.seed for c in study.confirmations()]
    assert len(found) == 3 and searched.isdisjoint(found)
