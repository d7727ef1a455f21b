import math
from pathlib import Path
from typing import Any

import pytest
from report_records import FID, MODES, part_of_sweep, protocol, write_run

from gansweep.errors import UserError
from gansweep.judging.leaderboard import Board, leader, leaderboard
from gansweep.judging.statistics import summarize
from gansweep.judging.verdict import verdict
from gansweep.records.notation import (
    duration,
    mean_and_std,
    number,
    probability,
    short_names,
    spread_words,
)
from gansweep.records.read import load

OTHER_DATA = protocol("fid", "minimize", data_fingerprint="ffff")


def seeds(directory: Path, model: str, values: list[float], **more: Any) -> None:
    for seed, value in enumerate(values):
        write_run(
            directory / f"{model}-{seed}", model=model, seed=seed, scores={FID: [value]}, **more
        )


def test_mean_std_and_standard_error_of_two_four_nine() -> None:
    # mean 5; squared distances 9 + 1 + 16 = 26; 26 / (3 - 1) = 13
    summary = summarize([2.0, 4.0, 9.0])
    assert summary and summary.mean == 5.0 and summary.n == 3
    assert summary.std == pytest.approx(math.sqrt(13))
    assert summary.error == pytest.approx(math.sqrt(13 / 3))


def test_one_seed_has_no_spread_and_none_has_no_summary() -> None:
    summary = summarize([3.0])
    assert summary and (summary.mean, summary.std, summary.error) == (3.0, None, None)
    assert summarize([]) is None


def test_the_interval_of_the_mean_is_students() -> None:
    # t of 2 degrees of freedom at 97.5 %: 4.302653; 4.302653 * sqrt(13 / 3) = 8.956686
    summary = summarize([2.0, 4.0, 9.0])
    assert summary and summary.interval == pytest.approx((5 - 8.956686, 5 + 8.956686))
    assert summary.interval_text == "[-4.0, 14.0]"
    same, alone = summarize([7.0, 7.0]), summarize([7.0])
    assert same and same.interval is None and same.interval_text == "", "nothing to tell it from"
    assert alone and alone.interval is None and alone.interval_text == ""


def test_a_spread_of_rounding_size_is_none() -> None:
    # one FID of three samples of grey static, as three sums of the same numbers give it
    fid = 62.2865
    summary = summarize([fid, fid, math.nextafter(math.nextafter(fid, 99), 99)])
    assert summary and (summary.std, summary.error, summary.interval) == (0.0, 0.0, None)
    assert (str(summary), summary.interval_text) == ("62.29 ± 0", "")
    close = summarize([fid, fid + 1e-4, fid - 1e-4])
    assert close and str(close) == "62.2865 ± 0.0001"
    assert close.interval_text == "[62.28625, 62.28675]", "bounds that differ"
    small = summarize([1e-3, 1.1e-3])
    assert small and small.std, "small is not equal"
    zero = summarize([0.0, 0.0])
    assert zero and str(zero) == "0 ± 0"


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path: Path) -> None:
    seeds(tmp_path, "dcgan", [2.0, 4.0, 9.0])
    seeds(tmp_path, "wgan", [3.0, 3.0])
    first, second = leaderboard(load([tmp_path])).rows
    assert (first.model, first.seeds, first.rank) == ("wgan", 2, 1)
    assert (second.model, second.seeds, second.best[FID].mean) == ("dcgan", 3, 5.0)


def test_runs_that_differ_in_a_setting_are_two_rows_named_by_it(tmp_path: Path) -> None:
    for width in (8, 16):
        write_run(tmp_path / f"w{width}", config={"model": {"generator": {"width": width}}})
    labels = [row.label for row in leaderboard(load([tmp_path])).rows]
    assert labels == ["dcgan (width 16)", "dcgan (width 8)"]


def test_a_seed_that_was_run_twice_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a", scores={FID: [9.0]}, ended="2026-01-01T00:00:00+00:00")
    write_run(tmp_path / "b", scores={FID: [5.0]}, ended="2026-01-02T00:00:00+00:00")
    (row,) = leaderboard(load([tmp_path])).rows
    assert (row.seeds, row.best[FID].values) == (1, (5.0,))


def test_best_and_last_are_summed_up_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "a", seed=0, scores={FID: [10.0, 30.0]})
    write_run(tmp_path / "b", seed=1, scores={FID: [20.0, 50.0]})
    (row,) = leaderboard(load([tmp_path])).rows
    assert (row.best[FID].mean, row.last[FID].mean) == (15.0, 40.0)


def test_a_score_to_maximize_ranks_from_the_top(tmp_path: Path) -> None:
    write_run(tmp_path / "a", model="gan", scores={MODES: [8.0]})
    write_run(tmp_path / "b", model="wgan", scores={MODES: [10.0]})
    board = leaderboard(load([tmp_path]))
    assert [row.model for row in board.rows] == ["wgan", "gan"]
    assert leader(board, MODES) is board.rows[0]


def test_equal_means_share_their_rank(tmp_path: Path) -> None:
    for model, value in (("a", 5.0), ("b", 5.0), ("c", 6.0)):
        write_run(tmp_path / model, model=model, scores={FID: [value]})
    assert [row.rank for row in leaderboard(load([tmp_path])).rows] == [1, 1, 3]


def sweep_board(runs: Path, at: str) -> Board:
    """A trial of 10 that was confirmed at 13 and 15, and one of 12 that was not."""
    chosen, other = {"model.n_critic": 5}, {"model.n_critic": 1}
    trial = part_of_sweep("t0000", chosen, at=at)
    write_run(runs / "demo" / "t0000", scores={FID: [10.0, 30.0]}, sweep=trial)
    write_run(
        runs / "demo" / "t0001",
        scores={FID: [12.0, 12.0]},
        sweep=part_of_sweep("t0001", other, at=at),
    )
    for seed, value in ((101, 13.0), (102, 15.0)):
        confirm = part_of_sweep(f"c-t0000-s{seed}", chosen, "confirm", at)
        directory = runs / "demo" / f"c-t0000-s{seed}"
        write_run(directory, seed=seed, scores={FID: [value, 40.0]}, sweep=confirm)
    return leaderboard(load([runs]))


def test_a_confirmed_row_leaves_out_the_trial_that_chose_it(tmp_path: Path) -> None:
    first, second = sweep_board(tmp_path, at="best").rows
    assert (first.stage, first.seeds, first.best[FID].mean) == ("confirmed", 2, 14.0)
    assert (second.stage, second.best[FID].mean, second.rank) == ("trial", 12.0, 2)


def test_a_sweep_that_reads_the_last_value_is_ranked_by_it(tmp_path: Path) -> None:
    board = sweep_board(tmp_path, at="last")
    assert board.at == "last"
    assert "40 ± 0" in verdict(board)


def test_a_sweep_is_ranked_by_its_own_objective_not_by_what_its_runs_are_judged_by(
    tmp_path: Path,
) -> None:
    coverage = "coverage_digitsnet_2k_train"
    for key, fid, share in (("t0000", 10.0, 0.2), ("t0001", 30.0, 0.8)):
        part = part_of_sweep(key, {"lr": fid}, at="last")
        part["objective"] = {"metric": "coverage", "direction": "maximize", "at": "last"}
        scores = {FID: [fid], coverage: [share]}
        write_run(tmp_path / key, scores=scores, sweep=part, objective=FID)
    board = leaderboard(load([tmp_path]))
    assert (board.metric, board.direction_of(board.metric)) == (coverage, "maximize")
    assert [row.runs[0].directory.name for row in board.rows] == ["t0001", "t0000"]


@pytest.mark.parametrize("at", ["last", "best"])
def test_a_sweep_by_a_cost_is_ranked_by_it(tmp_path: Path, at: str) -> None:
    for key, fid, speed in (("t0000", 10.0, 100.0), ("t0001", 30.0, 900.0)):
        part = part_of_sweep(key, {"lr": fid}, at=at)
        part["objective"] = {"metric": "images_per_second", "direction": "maximize", "at": at}
        confirm = {**part, "role": "confirm", "key": f"c-{key}-s101"}
        for one, seed, more in ((part, 0, 0.0), (confirm, 101, 1.0), (confirm, 102, 2.0)):
            name = key if seed == 0 else f"c-{key}-s{seed}"
            run = {"seed": seed, "images_per_second": speed + more, "sweep": one}
            write_run(tmp_path / name, scores={FID: [fid]}, objective=FID, **run)
    board = leaderboard(load([tmp_path]))
    assert (board.metric, board.trial_metric) == ("images_per_second", "images_per_second")
    first, second = board.rows
    assert first.settings["lr"] == 30.0 and first.scores(at)["images_per_second"].mean == 901.5
    assert first.scores(at)[FID].mean == 30.0
    assert "leads with images_per_second 901.50 ± 0.71 over 2 seeds (higher is" in verdict(board)
    assert leader(board, "images_per_second") is first


def test_trials_are_ranked_in_the_direction_of_their_own_score(tmp_path: Path) -> None:
    def write(name: str, fid: float, modes: float, part: dict[str, Any]) -> None:
        write_run(tmp_path / part["name"] / name, scores={FID: [fid], MODES: [modes]}, sweep=part)

    for key, fid in (("t0000", 10.0), ("t0001", 30.0)):
        part = part_of_sweep(key, {"lr": fid}, at="last") | {"name": "by-fid"}
        part["objective"] = {"metric": "fid", "direction": "minimize", "at": "last"}
        write(key, fid, 5.0, part)
    part = part_of_sweep("c-t0000-s101", {"lr": 1.0}, "confirm", at="last") | {"name": "by-modes"}
    part["objective"] = {"metric": "modes", "direction": "maximize", "at": "last"}
    write(part["key"], 20.0, 9.0, part)
    board = leaderboard(load([tmp_path]))
    assert (board.metric, board.trial_metric) == (MODES, FID)
    assert [row.runs[0].directory.name for row in board.rows] == ["c-t0000-s101", "t0000", "t0001"]


def test_runs_outside_a_sweep_count_with_their_last_value(tmp_path: Path) -> None:
    write_run(tmp_path / "a", model="gan", scores={FID: [1.0, 30.0]})
    write_run(tmp_path / "b", model="wgan", scores={FID: [20.0, 20.0]})
    board = leaderboard(load([tmp_path]))
    assert (board.at, board.rows[0].model) == ("last", "wgan")
    assert leader(board, FID) is board.rows[0]


def test_a_configuration_is_named_by_what_differs_within_its_model_alone(tmp_path: Path) -> None:
    trials = [
        ("wgan_gp", {"model.width": 16, "model.penalties.gradient.weight": 1.0}),
        ("wgan_gp", {"model.width": 16, "model.penalties.gradient.weight": 10.0}),
        ("r3gan", {"model.width": 8, "model.penalties.r1.weight": 0.2}),
        ("r3gan", {"model.width": 8, "model.penalties.r1.weight": 1.0}),
        ("gan", {"model.width": 256, "model.optimizer.generator.lr": 1e-3}),
    ]
    for place, (model, params) in enumerate(trials):
        part = part_of_sweep(f"t{place}", {"model": model, **params})
        write_run(tmp_path / f"t{place}", model=model, sweep=part)
    assert {row.label for row in leaderboard(load([tmp_path])).rows} == {
        "wgan_gp (gradient.weight 1)",
        "wgan_gp (gradient.weight 10)",
        "r3gan (r1.weight 0.2)",
        "r3gan (r1.weight 1)",
        "gan",
    }


def test_unfinished_runs_are_in_no_mean(tmp_path: Path) -> None:
    for seed, status in enumerate(["finished", "equilibrium", "diverged", "pruned", "running"]):
        value = 10.0 if seed < 2 else 1.0
        write_run(tmp_path / status, seed=seed, status=status, scores={FID: [value]})
    board = leaderboard(load([tmp_path]))
    assert (board.rows[0].seeds, board.rows[0].best[FID].mean) == (2, 10.0)
    assert [run.status for run in board.early] == ["diverged", "pruned", "running"]


def test_a_row_that_lost_a_seed_comes_after_those_that_kept_all(tmp_path: Path) -> None:
    seeds(tmp_path, "steady", [20.0, 21.0])
    seeds(tmp_path, "lucky", [10.0])
    write_run(tmp_path / "lucky-1", model="lucky", seed=1, status="collapsed")
    assert [row.model for row in leaderboard(load([tmp_path])).rows] == ["steady", "lucky"]


def test_a_configuration_with_no_finished_run_is_kept_apart(tmp_path: Path) -> None:
    write_run(tmp_path / "a", status="diverged")
    board = leaderboard(load([tmp_path]))
    assert (board.rows, len(board.open_rows)) == ([], 1)
    assert verdict(board) == "There is no winner yet: no run has finished."


def test_mixed_protocols_are_refused_with_both_named(tmp_path: Path) -> None:
    write_run(tmp_path / "a", scores={FID: [5.0], MODES: [9.0]})
    write_run(tmp_path / "b", model="wgan", scores={FID: [6.0]}, protocols={FID: OTHER_DATA})
    board = leaderboard(load([tmp_path]))
    assert FID not in board.scores and board.metric == MODES
    assert board.refused[0].differing == ["data_fingerprint"]
    for word in ("0123456789abcdef", "ffff", "2 protocols"):
        assert word in board.refused[0].reason
    with pytest.raises(UserError, match=f"(?s)ffff.*--metric {MODES}"):
        leaderboard(load([tmp_path]), metric=FID)


def test_a_score_without_a_protocol_is_not_mixed_with_one_that_has_it(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", model="wgan", protocols={FID: {}})
    (refusal,) = leaderboard(load([tmp_path])).refused
    assert "no protocol recorded" in refusal.reason


def test_a_metric_may_be_named_by_its_kind_and_a_typo_is_explained(tmp_path: Path) -> None:
    write_run(tmp_path / "a", scores={FID: [5.0], MODES: [9.0]})
    assert leaderboard(load([tmp_path]), metric="modes").metric == MODES
    with pytest.raises(UserError, match=f"Did you mean '{FID}'"):
        leaderboard(load([tmp_path]), metric="fid_digitnet_2k_train")


def test_a_word_of_several_scores_lists_these_alone(tmp_path: Path) -> None:
    other = "fid_digitsnet_1k_train"
    fid, modes = protocol("fid", "minimize"), protocol("modes", "maximize")
    protocols = {FID: fid, other: {**fid, "n_fake": 1000}, MODES: modes}
    write_run(tmp_path / "a", scores={name: [5.0] for name in protocols}, protocols=protocols)
    with pytest.raises(UserError) as refused:
        leaderboard(load([tmp_path]), metric="fid")
    said = f"'fid' stands for 2 scores: {other}, {FID}. Choose one with --metric."
    assert str(refused.value) == said


def verdict_of(directory: Path, **configurations: list[float]) -> str:
    for model, values in configurations.items():
        seeds(directory, model, values)
    return verdict(leaderboard(load([directory])))


def test_there_is_no_clear_winner_where_the_test_tells_no_difference(tmp_path: Path) -> None:
    near = verdict_of(tmp_path / "near", a=[10.0, 14.0], b=[14.0, 12.0])
    assert near.startswith("No clear winner: a has the best mean")
    assert "b follows with" in near and "run more seeds" in near and " leads" not in near
    # the second is clear of the first, but the third has seeds that are as good
    third = verdict_of(tmp_path / "third", a=[10.0, 10.1], b=[20.0, 20.1], c=[9.0, 50.0])
    assert third.startswith("No clear winner") and "c follows with" in third
    assert "It is clear of b (p " in third


def test_there_is_no_clear_winner_among_equals_or_single_seeds(tmp_path: Path) -> None:
    single = verdict_of(tmp_path / "single", a=[10.0], b=[11.0])
    assert single.startswith("No clear winner") and "order may be chance" in single
    equal = verdict_of(tmp_path / "equal", a=[2.0, 2.0], b=[2.0, 2.0], c=[2.0, 2.0])
    assert "b has the same. The same holds for c." in equal and " leads" not in equal
    board = leaderboard(load([tmp_path / "equal"]))
    assert leader(board, FID) is None, "no value is bold where several are the best"
    many = verdict_of(tmp_path / "many", **{name: [10.0, 12.0] for name in "abcde"})
    assert "The same holds for 3 others." in many


def test_the_verdict_says_when_the_leaders_saw_unequal_numbers_of_images(tmp_path: Path) -> None:
    write_run(tmp_path / "a", model="gan", scores={FID: [9.0, 5.0]})
    write_run(tmp_path / "b", model="wgan", scores={FID: [6.0]})
    assert "2 and 1 kimg" in verdict(leaderboard(load([tmp_path])))


@pytest.mark.parametrize(
    ("mean", "std", "text"),
    [
        (12.3456, 0.4123, "12.35 ± 0.41"),
        (123.4, 56.7, "123 ± 57"),
        (10.0, 0.0, "10 ± 0"),
        (7.5, None, "7.5"),
        (0.001234, 0.000056, "0.001234 ± 5.6e-05"),
    ],
)
def test_a_mean_has_the_digits_its_spread_supports(
    mean: float, std: float | None, text: str
) -> None:
    assert mean_and_std(mean, std) == text


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.2134, "p = 0.21"),
        (0.0503, "p = 0.0503"),  # no verdict rests on it, and one rests on the next
        (0.0497, "p = 0.0497"),
        (0.05, "p = 0.05"),
        (1.0, "p = 1"),
        (0.0, "p < 0.0001"),
    ],
)
def test_a_probability_tells_on_which_side_of_its_level_it_is(p: float, text: str) -> None:
    assert probability(p) == text


@pytest.mark.parametrize(
    ("std", "interval", "words"),
    [
        (None, None, ""),
        (0.0812, None, "± 0.081"),
        (8.7e-15, None, "± 0"),
        (None, (62.2865, 62.2865), "± 0"),
        (0.1, (61.9, 62.7), "61.90 to 62.70"),
        (None, (62.2855, 62.2875), "62.2855 to 62.2875"),
    ],
)
def test_the_error_of_a_measurement_is_0_where_it_is_rounding(
    std: float | None, interval: tuple[float, float] | None, words: str
) -> None:
    assert spread_words(62.2865, std, interval) == words


def test_numbers_and_durations_are_written_for_people() -> None:
    assert number(18034.6) == "18035"
    assert [number(v) for v in (None, math.nan, 3.0, 0.12345, 1234.5)] == [
        "–", "–", "3", "0.1235", "1234"
    ]  # fmt: skip
    assert [duration(s) for s in (None, 6.43, 48.2, 200, 7500)] == [
        "–", "6.43 s", "48 s", "3 min 20 s", "2 h 05 min"
    ]  # fmt: skip


def test_names_are_as_short_as_they_can_be_told_apart() -> None:
    names = short_names(["m.g.lr", "m.d.lr", "m.n_critic", "model"])
    assert short_names(["m.penalties.r1.weight"]) == {"m.penalties.r1.weight": "r1.weight"}
    assert names == {"m.g.lr": "g.lr", "m.d.lr": "d.lr", "m.n_critic": "n_critic", "model": "model"}


def test_a_long_label_gives_way_to_the_name_of_its_trial(tmp_path: Path) -> None:
    for key, lr in (("t0000", 0.001), ("t0001", 0.002)):
        params = {"model.optimizer.generator.lr": lr, "model.a_long_name_of_a_setting": lr}
        for role, prefix, seed in (("trial", "", 0), ("confirm", "c-", 101)):
            part = part_of_sweep(f"{prefix}{key}", params, role)
            write_run(tmp_path / "one" / f"{prefix}{key}", seed=seed, sweep=part)
    first = leaderboard(load([tmp_path / "one"])).rows[0]
    assert first.name == "dcgan t0000" and first.label == f"dcgan ({first.detail})"
    assert first.detail == "lr 0.001, a_long_name_of_a_setting 0.001"
    sweep = part_of_sweep("t0000", {"model.optimizer.generator.lr": 0.004, **params})
    write_run(tmp_path / "two" / "t0000", sweep={**sweep, "name": "other"})
    names = {row.name for row in leaderboard(load([tmp_path])).rows}
    assert {"dcgan demo/t0000", "dcgan other/t0000"} <= names, "one name for one configuration"


def test_what_watches_a_run_is_no_setting_of_it_but_what_may_end_it_is(tmp_path: Path) -> None:
    quality, rule = {"quality": {"every_kimg": 10}}, {"stop_on_plateau": {"patience_kimg": 50}}
    write_run(tmp_path / "a", config={"callbacks": quality})
    write_run(tmp_path / "b", seed=1, config={"callbacks": {}})
    write_run(tmp_path / "c", seed=2, config={"callbacks": quality | rule})
    board = leaderboard(load([tmp_path]))
    assert {row.label: row.seeds for row in board.rows} == {
        "dcgan": 2,
        "dcgan (stop_on_plateau on)": 1,
    }
