"""The samplers of a sweep: what they find, and that no worker and no interruption changes it."""

from __future__ import annotations

import json
import logging
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from scipy.stats import qmc
from sweep_studies import (
    BLOCKS,
    ONE,
    TWO,
    begin,
    finish_with,
    make,
    record,
    sampler,
    settings,
)

from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.search import samplers
from gansweep.search.samplers import make_sampler
from gansweep.search.space import Space
from gansweep.search.trials import trials_of

VALLEY = {
    "lr": "tag(log, interval(1e-5, 1e-1))",
    "weight": "tag(log, interval(1e-2, 1e2))",
    "rate": "interval(0, 1)",
}


def best_of(name: str, seed: int, n_trials: int) -> float:
    """The least value that a sampler finds on a bowl of three parameters, two in decades."""
    chosen, space = settings(space=VALLEY, sampler=sampler(name, seed)), Space.parse(VALLEY)
    study = optuna.create_study()
    found = []
    for number in range(n_trials):
        study.sampler = make_sampler(chosen, space, number)
        study.enqueue_trial({}, user_attrs={"key": f"t{number:04d}"})  # as the queue does
        trial = study.ask()
        at = space.suggest(trial)
        decades = math.log10(at["lr"] / 3e-4) ** 2 + math.log10(at["weight"] / 3) ** 2
        found.append(decades + 4 * (at["rate"] - 0.3) ** 2)
        study.tell(trial, found[-1])
    return min(found)


@pytest.mark.parametrize(
    ("name", "n_trials", "repeats"), [("tpe", 40, 5), ("cmaes", 40, 5), ("gp", 16, 1)]
)
def test_sampler_that_learns_comes_much_closer_than_random(
    name: str, n_trials: int, repeats: int
) -> None:
    at_random = statistics.median(best_of("random", seed, n_trials) for seed in range(9))
    learned = statistics.median(best_of(name, seed, n_trials) for seed in range(repeats))
    assert learned < at_random / 2


def test_quasi_random_points_are_more_even_than_random_ones() -> None:
    space = Space.parse({"a": "interval(0, 1)", "b": "interval(0, 1)", "c": "interval(0, 1)"})
    study = optuna.create_study()

    def unevenness(name: str, seed: int) -> float:
        points = []
        for number in range(32):
            chosen = settings(sampler=sampler(name, seed))
            study.sampler = make_sampler(chosen, space, number)
            points.append(list(space.suggest(study.ask()).values()))
        return float(qmc.discrepancy(np.array(points)))

    even = [unevenness("qmc", seed) for seed in range(4)]
    assert max(even) < min(unevenness("random", seed) for seed in range(4)) / 2
    assert len(set(even)) == 4  # scrambled by the seed


def test_quasi_random_points_give_every_choice_its_share() -> None:
    entries = {"a": "choice(x, y, z, w)", "b": "int(interval(1, 4))", "c": "choice(32, 64)"}
    space, study = Space.parse(entries), optuna.create_study()
    taken = []
    for number in range(64):
        study.sampler = make_sampler(settings(sampler=sampler("qmc")), space, number)
        taken.append(space.suggest(study.ask()))
    for key, count in (("a", 16), ("b", 16), ("c", 32)):
        values = [t[key] for t in taken]
        assert all(abs(values.count(value) - count) <= 1 for value in set(values))


def test_grid_tries_every_point_once(tmp_path: Path) -> None:
    entries = {"model": "choice(gan, wgan)", "lr": "range(0, 3)"}
    study = make(
        tmp_path / "s",
        n_trials=100,
        space=entries,
        sampler={"name": "grid", "seed": 0, "startup_trials": 0},
        confirm={"top": 0, "per": "config", "seeds": 1},
    )
    seen = []
    while (attempt := study.claim("me")) is not None:
        study.suggest(attempt)
        seen.append(tuple(attempt.params.values()))
        record(study, attempt.key, "finished", 1.0)
        study.finish(attempt, "itself")
    assert sorted(seen) == [(m, i) for m in ("gan", "wgan") for i in range(3)]
    assert study.finished()


@pytest.mark.parametrize("name", ["random", "tpe"])
def test_proposals_follow_from_the_trial_not_from_the_worker(tmp_path: Path, name: str) -> None:
    sampler = {"name": name, "seed": 0, "startup_trials": 2}
    proposed = []
    for directory in ("a", "b"):
        make(tmp_path / directory, sampler=sampler)
        for _ in range(4):
            study = SweepStudy(tmp_path / directory)  # a worker that has just been started
            attempt = study.claim("me")
            assert attempt is not None
            study.suggest(attempt)
            proposed.append(attempt.params)
            record(study, attempt.key, "finished", attempt.params["lr"])
            study.finish(attempt, "itself")
    assert proposed[:4] == proposed[4:]
    assert len({json.dumps(p) for p in proposed}) == 4


@pytest.mark.parametrize("drawn", [0, 1, 2])
def test_interruption_changes_no_proposal(tmp_path: Path, drawn: int) -> None:
    """drawn: how many of its two parameters the first attempt had when it was killed."""
    plain = make(tmp_path / "plain")
    expected = [begin(plain).params for _ in range(4)]
    study = make(tmp_path / "s")
    first = study.claim("me")
    assert first is not None
    for parameter in study.space.parameters[:drawn]:
        parameter.domain.suggest(first.trial, parameter.name)
    study.finish(first, "killed")
    assert [begin(study).params for _ in range(4)] == expected


def test_parameters_outlive_an_attempt_that_did_not_come_to_read_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "gansweep.engine.attempt.make_sampler", lambda *_: optuna.samplers.RandomSampler()
    )
    study = make(tmp_path / "s", n_trials=1)
    first = begin(study)
    study.finish(first, "interrupted")
    second = study.claim("me")
    assert second is not None
    study.finish(second, "interrupted")
    assert begin(study).params == first.params


@pytest.mark.parametrize("name", ["random", "qmc", "tpe", "cmaes"])
def test_workers_at_once_draw_different_points_and_a_retry_draws_its_own(
    tmp_path: Path, name: str
) -> None:
    drawn: dict[str, list[Any]] = {}
    space = VALLEY if name == "cmaes" else BLOCKS
    drawn_already = Space.parse(space).parameters[0]
    for folder in ("plain", "interrupted"):
        chosen = sampler(name, startup=2)
        make(tmp_path / folder, n_trials=9, space=space, sampler=chosen, objective=ONE)
        workers = [SweepStudy(tmp_path / folder) for _ in range(3)]
        for worker in workers:  # reported before the point of interest
            finish_with(worker, begin(worker), fid=1.0)
        attempts = [worker.claim("me") for worker in workers]
        for worker, attempt in zip(workers, attempts, strict=True):
            assert attempt is not None
            if folder == "interrupted":
                drawn_already.domain.suggest(attempt.trial, drawn_already.name)
                worker.finish(attempt, "killed")
                attempt = worker.claim("me")
                assert attempt is not None
                assert attempt.number == 2
            worker.suggest(attempt)
            drawn.setdefault(folder, []).append((attempt.key, attempt.params))
    assert len({json.dumps(params) for _, params in drawn["plain"]}) == 3
    if name != "tpe":  # which looks at what runs beside it
        assert drawn["interrupted"] == drawn["plain"]


def test_retry_of_a_trial_still_counts_in_its_generation_of_cma_es(tmp_path: Path) -> None:
    study = make(tmp_path / "s", n_trials=30, space=VALLEY, sampler=sampler("cmaes"), objective=ONE)
    other = SweepStudy(tmp_path / "s")  # another worker, which sees only what the storage keeps
    for position in range(14):
        worker = (study, other)[position % 2]
        attempt = begin(worker)
        if position % 3 == 1:
            worker.finish(attempt, "interrupted")
            again = begin(worker)
            assert (again.key, again.params) == (attempt.key, attempt.params)
            attempt = again
        finish_with(worker, attempt, fid=math.log10(attempt.params["lr"] / 3e-4) ** 2)
    generations = [t.system_attrs.get("cma:generation") for t in trials_of(study.trials)]
    assert generations == [None, *[0] * 7, *[1] * 6]  # seven make a generation in three dimensions


@pytest.mark.parametrize("name", ["gp", "tpe", "cmaes", "qmc"])
def test_blocks_and_choices_are_searched_by_every_sampler_without_a_word_per_trial(
    tmp_path: Path,
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger("optuna"), "propagate", True)
    study = make(
        tmp_path / "s", n_trials=8, space=BLOCKS, sampler=sampler(name, startup=3), objective=ONE
    )
    models = set()
    for _ in range(8):
        attempt = begin(study)
        models.add(attempt.params["model"])
        assert ("clip" in attempt.params) == (attempt.params["model"] == "wgan")
        finish_with(study, attempt, fid=float(attempt.params["steps"]))
    assert models == {"gan", "wgan"}
    assert [r.message for r in caplog.records if r.name.startswith("optuna")] == []


def test_sampler_says_once_what_it_leaves_to_chance() -> None:
    space = Space.parse(BLOCKS)
    (line,) = samplers.remarks(settings(sampler=sampler("cmaes")), space)
    assert line.startswith("cmaes searches steps; model, lr and clip are drawn at random")
    (line,) = samplers.remarks(settings(sampler=sampler("gp")), space)
    assert line.startswith("gp searches model and steps; lr and clip are drawn at random")
    assert samplers.remarks(settings(sampler=sampler("tpe")), space) == []
    (line,) = samplers.remarks(
        settings(sampler=sampler("qmc"), constraints=["seconds <= 1"]), space
    )
    assert "as if there were no constraints" in line


def test_gp_of_an_old_optuna_is_refused_for_several_objectives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(samplers, "__version__", "4.3.0")
    chosen = settings(sampler=sampler("gp"), objective=TWO)
    with pytest.raises(UserError, match="pip install --upgrade optuna"):
        samplers.refuse_unfit(chosen, Space.parse(chosen.space))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"sampler": sampler("cmaes"), "objective": TWO}, "cmaes follows one objective"),
        ({"sampler": sampler("cmaes"), "space": {"m": "choice(a, b)"}}, "Use .*name=tpe"),
        (
            {
                "sampler": sampler("gp"),
                "space": {"m": "a,b", "m=a": {"x": "1,2"}, "m=b": {"m2": 1}},
            },
            None,
        ),
    ],
)
def test_sampler_that_cannot_search_the_space_is_refused(
    words: dict[str, Any], said: str | None
) -> None:
    chosen = settings(**words)
    if said is None:  # one choice that every trial has is enough
        samplers.refuse_unfit(chosen, Space.parse(chosen.space))
        return
    with pytest.raises(UserError, match=said):
        samplers.refuse_unfit(chosen, Space.parse(chosen.space))
