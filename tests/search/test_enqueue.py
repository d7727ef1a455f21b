"""What a sweep tries first: the models' defaults, given settings, the best of an earlier sweep."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sweep_studies import (
    BLOCKS,
    NO_CONFIRMATION,
    ONE,
    begin,
    finish_with,
    make,
    run_grid,
    sampler,
)

from gansweep.config.compose import compose
from gansweep.engine.study import best_of
from gansweep.errors import UserError
from gansweep.search.enqueue import starting_points
from gansweep.search.space import Space


def points(
    entries: Sequence[Any], space: dict[str, Any], directory: Path = Path("here")
) -> tuple[list[dict[str, Any]], list[str]]:
    return starting_points(entries, Space.parse(space), compose, directory, best_of)


PAPERS = {
    "model": "choice(dcgan, wgan_gp, wgan)",
    "model.optimizer.generator.lr": "tag(log, interval(9e-5, 2e-3))",
    "model=wgan_gp": {"model.n_critic": "choice(1, 5)"},
    "model=dcgan": {"model.batch_size": "choice(64, 128)", "model.generator.width": 32},
}


def test_defaults_are_those_of_every_model_that_the_space_takes() -> None:
    found, skipped = points(["defaults"], PAPERS)
    assert found == [
        {
            "source": "defaults of dcgan",
            "params": {
                "model": "dcgan",
                "model.optimizer.generator.lr": 2e-4,
                "model.batch_size": 128,
            },
        },
        {
            "source": "defaults of wgan_gp",
            "params": {
                "model": "wgan_gp",
                "model.optimizer.generator.lr": 2e-4,
                "model.n_critic": 5,
            },
        },
    ]
    (line,) = skipped
    assert line.startswith("Not tried first: defaults of wgan. model.optimizer.generator.lr=5e-05 ")


def test_defaults_of_keys_that_the_configuration_lacks_are_drawn() -> None:
    found, skipped = points(["defaults"], {"+extra": "choice(1, 2)", "seed": "choice(0, 1)"})
    assert found == [{"source": "defaults", "params": {"seed": 0}}]
    assert skipped == []
    found, (line,) = points(["defaults"], {"+extra": "choice(1, 2)"})
    assert (found, line) == (
        [],
        "Not tried first: defaults. None of the searched keys has a value there.",
    )


def test_given_settings_are_pinned_under_the_names_of_the_blocks_that_may_hold() -> None:
    (found,), _ = points([{"lr": 0.01}], BLOCKS)
    assert found["params"] == {"lr [model=wgan]": 0.01, "lr": 0.01}
    (found,), _ = points([{"model": "gan", "lr": 1e-5, "steps": 8}], BLOCKS)
    assert found["params"] == {"model": "gan", "lr": 1e-5, "steps": 7}  # the eighth of range(1, 9)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"lr": 5}, "begin with {lr:5}: lr=5 is outside 'lr: .* in the block 'model=wgan'"),
        ({"lr": 1e-4}, "in the block 'model=wgan'"),  # wgan may be drawn, and does not take it
        ({"model": "gann"}, r"model=gann is outside 'model: choice\(gan,wgan\)'"),
        ({"model": "gan", "clip": 0.5}, "'clip' stands only in the block 'model=wgan'"),
        ({"stepps": 3}, "Did you mean 'steps'"),
        ({"steps": 2.5}, "steps=2.5 is outside"),
        ({"steps": True}, "steps=true is outside"),
        ("default", "Did you mean 'defaults'"),
        ("runs/none", "no sweep.yaml in it"),
    ],
)
def test_what_cannot_be_tried_first_is_refused_by_name(entry: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        points([entry], BLOCKS)


def test_best_of_an_earlier_sweep_is_tried_again_where_it_fits(tmp_path: Path) -> None:
    earlier = make(
        tmp_path / "earlier",
        n_trials=8,
        space={"lr": "range(0, 8)"},
        sampler=sampler("grid"),
        objective=ONE,
        confirm=NO_CONFIRMATION,
    )
    run_grid(earlier, {(lr,): {"fid": 10.0 - lr} for lr in range(8)})
    directory = str(tmp_path / "earlier")
    found, skipped = points(
        [directory, {"lr": 5}], {"lr": "interval(0, 6)", "steps": "range(1, 9)"}
    )
    assert [f["params"]["lr"] for f in found] == [6.0, 5.0, 4.0, 3.0, 2.0]  # 7 does not fit
    keys = {t.params["lr"]: t.user_attrs["key"] for t in earlier.trials.trials}
    assert found[0]["source"] == f"{directory}/{keys[6]}"
    named = f"Not tried first: {directory}/{keys[7]}. "
    assert skipped == [named + "lr=7 is outside 'lr: interval(0.0,6.0)'."]
    with pytest.raises(UserError, match="is this sweep itself"):
        points([directory], BLOCKS, tmp_path / "earlier")


def test_earlier_settings_of_a_key_that_is_no_longer_searched_fit_where_they_agree(
    tmp_path: Path,
) -> None:
    earlier = make(
        tmp_path / "earlier",
        n_trials=4,
        space={"model": "choice(dcgan, gan)", "model.n_critic": "choice(1, 2)"},
        sampler=sampler("grid"),
        objective=ONE,
    )
    scores = {("dcgan", 1): 3.0, ("dcgan", 2): 1.0, ("gan", 1): 2.0, ("gan", 2): 4.0}
    run_grid(earlier, {point: {"fid": fid} for point, fid in scores.items()})
    for path in (tmp_path / "earlier").glob("*/config.yaml"):
        path.write_text("model: {batch_size: 64}\n")
    found, (line,) = points(
        [str(tmp_path / "earlier")],
        {"model": "choice(gan, dcgan)", "model.batch_size": "choice(32, 64)"},
    )
    # n_critic is 1 in both here, and the record says what else the run had
    assert [f["params"]["model"] for f in found] == ["gan", "dcgan"]
    assert [f["params"]["model.batch_size"] for f in found] == [64, 64]
    assert "and 1 more. 'model.n_critic' is no entry of the search space." in line


def test_enqueued_settings_come_first_count_and_survive_a_retry(tmp_path: Path) -> None:
    entries = [{"lr": 0.5}, {"lr": 0.25, "steps": 3}]
    space = {"lr": "interval(0, 1)", "steps": "range(1, 9)"}
    study = make(
        tmp_path / "s",
        n_trials=3,
        space=space,
        objective=ONE,
        enqueue=points(entries, space)[0],
        sampler=sampler("tpe", startup=1),
    )
    first = begin(study)
    assert first.params["lr"] == 0.5
    study.finish(first, "killed")
    again = begin(study)
    assert (again.key, again.params) == ("t0000", first.params)
    entry = again.sweep_entry(study.settings, again.runs[0], study.directory)
    assert (entry["source"], entry["worker"]) == ("given", "me")
    finish_with(study, again, fid=1.0)
    second = begin(study)
    assert second.params == {"lr": 0.25, "steps": 3}
    finish_with(study, second, fid=1.0)
    third = begin(study)
    entry = third.sweep_entry(study.settings, third.runs[0], study.directory)
    assert "source" not in entry
    finish_with(study, third, fid=1.0)
    attrs = [t.user_attrs.get("source") for t in study.trials.trials]
    assert attrs == ["given", "given", "given", None]


def test_what_is_enqueued_later_is_tried_next(tmp_path: Path) -> None:
    space = {"lr": "interval(0, 1)"}
    for entries in ([{"lr": 0.5}], [{"lr": 0.125}, {"lr": 0.5}]):
        study = make(
            tmp_path / "s",
            n_trials=3,
            space=space,
            objective=ONE,
            enqueue=points(entries, space)[0],
        )
        attempt = begin(study)
        assert attempt.params == entries[0]
        finish_with(study, attempt, fid=1.0)
