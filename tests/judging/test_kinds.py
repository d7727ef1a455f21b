"""Runs whose numbers do not compare are kept apart, and names stay short."""

from pathlib import Path

from report_records import FID, part_of_sweep, protocol, write_run

from gansweep.judging.kinds import kinds_of
from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load


def test_translations_autoencoders_games_and_sweeps_are_kinds_of_their_own(tmp_path: Path) -> None:
    for name, score in (("game", FID), ("pairs", "psnr_100_test"), ("codes", "retrieval_100_test")):
        words = {score: protocol(score.split("_")[0], "maximize")}
        write_run(tmp_path / "runs" / name, model=name, scores={score: [1.0, 2.0]}, protocols=words,
                  objective=score)  # fmt: skip
    write_run(tmp_path / "s" / "t0", sweep=part_of_sweep("t0", {"lr": 1}), objective=FID)
    write_run(tmp_path / "s" / "t1", sweep=part_of_sweep("t1", {"lr": 2}), objective=FID)
    kinds = kinds_of(load([tmp_path]))
    assert [(one.kind, one.sweep, len(one.runs)) for one in kinds] == [
        ("game", True, 2),
        ("autoencoder", False, 1),
        ("game", False, 1),
        ("translation", False, 1),
    ]


def test_a_run_of_a_sweep_that_lost_its_result_stays_with_the_sweep(tmp_path: Path) -> None:
    config = {"choices": {"model": "dcgan", "data": "digits"}}
    write_run(tmp_path / "s" / "t0", sweep=part_of_sweep("t0", {"lr": 1}), objective=FID)
    write_run(tmp_path / "s" / "t1", status=None, config=config)
    (kind,) = kinds_of(load([tmp_path]))
    assert kind.sweep and len(kind.runs) == 2


def test_a_running_translation_is_known_by_its_model(tmp_path: Path) -> None:
    score = "l1_100_test"
    words = {score: protocol("l1", "minimize")}
    config = {"choices": {"model": "pix2pix", "data": "digits"}}
    write_run(tmp_path / "a", model="pix2pix", scores={score: [1.0]}, protocols=words,
              objective=score)  # fmt: skip
    write_run(tmp_path / "b", status=None, scores={}, config=config)
    (kind,) = kinds_of(load([tmp_path]))
    assert kind.kind == "translation"


def test_runs_that_differ_in_many_settings_are_named_by_their_directories(tmp_path: Path) -> None:
    for name, number in (("first", 1), ("second", 2)):
        settings = {f"a_rather_long_setting_{place}": number for place in range(9)}
        write_run(tmp_path / "runs" / name, config={"model": settings})
    board = leaderboard(load([tmp_path]))
    assert sorted(row.name for row in board.rows) == ["dcgan first", "dcgan second"]


def test_what_only_tests_and_searches_read_is_no_setting(tmp_path: Path) -> None:
    for number in (1, 2):
        blocks = {"tiny": {"width": number}, "search": {"lr": f"choice({number})"}}
        model = {"width": 8, "changeable": {"lr": number == 1}, **blocks}
        write_run(tmp_path / str(number), seed=number, config={"model": model})
    assert len(leaderboard(load([tmp_path])).rows) == 1
