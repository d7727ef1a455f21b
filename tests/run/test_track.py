"""`gansweep.track`: a run's record from a loop of one's own."""

import errno
import math
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gansweep
from gansweep.cli import doctor
from gansweep.cli.diagnoses import examined
from gansweep.cli.ls import listing
from gansweep.cli.shelf import Shelf
from gansweep.diagnosis.evidence import evidence_of
from gansweep.diagnosis.gaps import gaps
from gansweep.errors import UserError
from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load, read_run
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config
from gansweep.records.writer import SupersededError, claim
from gansweep.report.frames import Runs

FID = {"score": "fid", "direction": "minimize", "n_fake": 1000}


def loop(top: Path, seed: int = 0, values: tuple[float, ...] = (30.0, 12.0, 20.0)) -> Path:
    with gansweep.track(
        {"lr": 2e-4, "net": {"width": 8}}, model="mine", data="digits", seed=seed, runs_dir=top
    ) as run:
        for kimg, value in enumerate(values, 1):
            run.log(
                kimg,
                {"loss/generator": torch.tensor(0.5 * kimg, requires_grad=True)},
                d=np.float32(1),
            )
            run.score(kimg, "fid_1k", value, **FID)
            run.samples(kimg, np.zeros((6, 8, 8)))
    return run.directory


def test_the_record_is_read_like_any_other(tmp_path: Path) -> None:
    directory = loop(tmp_path)
    assert directory == tmp_path / "digits" / "mine-001"
    (run,) = load([tmp_path])
    assert (run.status, run.model, run.data, run.seed, run.kimg) == (
        *("finished", "mine", "digits", 0),
        3.0,
    )
    assert run.config["net"] == {"width": 8} and run.config["lr"] == 2e-4
    assert run.curves["loss/generator"].values == [0.5, 1.0, 1.5]
    assert run.protocols["fid_1k"] == {**FID, "data": "digits"}
    assert run.best("fid_1k").value == 12.0 and run.last("fid_1k").value == 20.0  # type: ignore[union-attr]
    assert [kimg for kimg, _ in run.grids] == [1.0, 2.0, 3.0]
    assert run.notes == []


def test_it_stands_beside_ours_everywhere(tmp_path: Path) -> None:
    for seed in range(3):
        loop(tmp_path, seed, (30.0, 20.0 + seed))
    runs = gansweep.runs(tmp_path)
    board = leaderboard(runs)
    (row,) = board.ranked
    assert (row.name, row.seeds, board.metric) == ("mine", 3, "fid_1k")
    assert "mine-003" in listing(Shelf([tmp_path]).lines(), 80)
    assert examined(runs[0]) is not None
    page = gansweep.write_report([tmp_path], tmp_path / "page.html")
    assert "fid_1k" in page.read_text()


def test_its_end_is_recorded(tmp_path: Path) -> None:
    def ended(error: BaseException | None, *said: str) -> RunRecord:
        with (
            pytest.raises(type(error)) if error else pytest.MonkeyPatch.context(),
            gansweep.track(model="m", runs_dir=tmp_path) as run,
        ):
            assert RunRecord(run.directory).result()["status"] == "running"  # type: ignore[index]
            if said:
                run.end(*said)
            if error:
                raise error
        return RunRecord(run.directory)

    def status(*given: Any) -> tuple[str, str]:
        result = ended(*given).result()
        assert result is not None
        return result["status"], result["reason"]

    assert status(None) == ("finished", "the loop ended")
    assert status(None, "diverged", "nan") == ("diverged", "nan")
    assert status(KeyboardInterrupt()) == ("interrupted", "the program was stopped")
    assert status(SystemExit(0)) == ("finished", "the loop ended")
    assert status(SystemExit(1))[0] == "interrupted"
    assert status(RuntimeError("boom"), "collapsed", "one sample") == ("collapsed", "one sample")
    record = ended(RuntimeError("boom"))
    assert record.result()["reason"] == "RuntimeError: boom"  # type: ignore[index]
    assert "raise error" in record.traceback_path.read_text()
    with pytest.raises(UserError, match="status=done"), gansweep.track(runs_dir=tmp_path) as run:
        run.end("done")


@pytest.fixture
def no_handler() -> Iterator[None]:
    """As in a new process: an earlier test may have left a handler."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def test_sigterm_is_recorded(tmp_path: Path, no_handler: None) -> None:
    with pytest.raises(SystemExit) as ended, gansweep.track(name="x", runs_dir=tmp_path) as run:
        run.log(1, loss=2)
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    found = read_run(RunRecord(tmp_path / "own" / "x"))
    assert found.status == "interrupted" and found.curves["loss"].values == [2.0]


def test_a_run_is_continued_where_its_loop_says(tmp_path: Path) -> None:
    directory = loop(tmp_path)
    with gansweep.track({"lr": 2e-4}, resume=directory, kimg=2) as run:
        assert run.kimg == 2.0
        run.score(3, "fid_1k", 11.0, **FID)
    with (
        pytest.raises(UserError, match=r"lr=0.0002, not 0.5"),
        gansweep.track({"lr": 0.5}, resume=directory),
    ):
        pass
    again = read_run(RunRecord(directory))
    assert again.curves["fid_1k"].values == [30.0, 12.0, 11.0]
    assert again.best("fid_1k").value == 11.0 and again.result["objective"] == "fid_1k"  # type: ignore[union-attr]
    assert again.config["lr"] == 2e-4 and again.number("seconds") > 0  # type: ignore[operator]


def test_a_record_is_closed_where_its_context_ends(tmp_path: Path) -> None:
    """Also while another writer continues it."""
    with gansweep.track(runs_dir=tmp_path) as run:
        run.log(1, loss=1)
    late = [
        lambda: run.log(2, loss=2),
        lambda: run.score(2, "fid_1k", 3.0, **FID),
        lambda: run.samples(2, np.zeros((4, 8, 8))),
        lambda: run.end("diverged"),
    ]

    def refused() -> None:
        before = {path: path.read_bytes() for path in run.directory.rglob("*") if path.is_file()}
        for write in late:
            with pytest.raises(UserError, match=r"`with` has ended.*resume="):
                write()
        assert all(path.read_bytes() == content for path, content in before.items())
        assert len(before) == sum(path.is_file() for path in run.directory.rglob("*"))

    refused()
    with gansweep.track(resume=run.directory):
        refused()
    with pytest.raises(UserError, match="inside `with"):
        gansweep.track(runs_dir=tmp_path).log(1, loss=1)


@pytest.mark.parametrize(
    "given", [{"model": "other"}, {"data": "x"}, {"name": "a"}, {"group": "b"}]
)
def test_a_continued_run_keeps_its_names(tmp_path: Path, given: dict[str, str]) -> None:
    directory = loop(tmp_path)
    ((key, value),) = given.items()
    with (
        pytest.raises(UserError, match=f"{key}=.*, not {value}: .* keeps its settings"),
        gansweep.track(resume=directory, **given),  # type: ignore[arg-type]
    ):
        pass
    same = {"model": "mine", "data": "digits", "name": directory.name, "group": "digits"}
    with gansweep.track(resume=directory, **same):  # type: ignore[arg-type]
        pass
    assert read_run(RunRecord(directory)).model == "mine"


def test_an_objective_that_was_never_scored_is_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for objective in ("fid_lk", "fid_1k", None):
        with gansweep.track(runs_dir=tmp_path, objective=objective) as run:
            run.score(1, "fid_1k", 3.0, **FID)
        said = capsys.readouterr().err
        assert ("Did you mean 'fid_1k'?" in said) == (objective == "fid_lk")
    with gansweep.track(runs_dir=tmp_path, objective="fid_1k"):
        pass
    assert "no score at all" in capsys.readouterr().err


def test_what_is_taken_foreign_or_damaged_is_refused(tmp_path: Path) -> None:
    directory = loop(tmp_path)
    cases: list[tuple[dict[str, Any], str]] = [
        (
            {"name": "mine-001", "group": "digits"},
            "already contains a run. Continue it with resume",
        ),
        ({"resume": tmp_path / "nothing"}, "is not a run"),
        ({"name": "../x"}, "cannot be the name"),
        ({"kimg": 3.0}, "resume="),
        ({"config": {"callbacks": 1}}, "'callbacks' has a meaning"),
    ]
    for options, words in cases:
        with pytest.raises(UserError, match=words):  # noqa: SIM117
            with gansweep.track(**{"runs_dir": tmp_path, **options}):
                pass
    with claim(directory), pytest.raises(UserError, match="cannot load"):
        read_config(RunRecord(directory))
    (directory / "config.yaml").write_text("seed: 1\n")
    with pytest.raises(UserError, match="gansweep itself"), gansweep.track(resume=directory):
        pass


def test_a_run_that_was_taken_over_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(SupersededError), gansweep.track(runs_dir=tmp_path) as run:
        lines = (run.directory / ".writer").read_text()
        (run.directory / ".writer").write_text(lines.replace('"number": 1', '"number": 2'))
        run.log(1, loss=1)
    assert RunRecord(run.directory).result()["status"] == "running"  # type: ignore[index]
    (run.directory / ".writer").write_text(lines)


def test_mistakes_are_sentences(tmp_path: Path) -> None:
    with gansweep.track(runs_dir=tmp_path, data="d") as run:
        mistakes = [
            (lambda: run.log(math.nan, loss=1), "kimg=nan"),
            (lambda: run.log(1, loss="low"), "'loss' is no number"),
            (lambda: run.log(1, loss=torch.zeros(3)), "'loss' is no number"),
            (lambda: run.log(1, seconds=3), "a column of the record"),
            (lambda: run.score(1, "f", 1, score="f", direction="down"), "direction=down"),
            (lambda: run.samples(1, np.zeros((4, 2))), "no sheet"),
            (lambda: run.samples(1, np.zeros((4, 2, 8, 8))), "no sheet"),
        ]
        for wrong, words in mistakes:
            with pytest.raises(UserError, match=words):
                wrong()
        run.score(1, "f", 1, score="f", direction="minimize", n_fake=10)
        with pytest.raises(UserError, match="another protocol"):
            run.score(2, "f", 1, score="f", direction="minimize", n_fake=20)
        run.score(2, "f", math.inf, score="f", direction="minimize", n_fake=10)
    assert read_run(RunRecord(run.directory)).lost("f")


def test_hostile_settings_are_data(tmp_path: Path) -> None:
    shared = [0.5, 0.999]
    config = {"a": shared, "b": shared, "p": Path("/x"), "n": np.float64(2), "s": "${oc.env:HOME}"}
    config |= {"\x1b[2J": "\x1b", "t": torch.tensor(3), "w": {"seed": 9}, "big": 10**30}
    with gansweep.track(config, runs_dir=tmp_path, name="x") as run:
        pass
    found = read_run(RunRecord(run.directory))
    assert found.status == "finished" and found.config["b"] == shared
    assert (found.config["p"], found.config["n"], found.config["t"]) == ("/x", 2.0, 3)
    assert found.config["s"] == "${oc.env:HOME}"
    assert "\\x1b[2J" in found.config
    with pytest.raises(UserError, match="control characters"), gansweep.track(model="\x07"):
        pass


def test_a_full_disk_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "history.jsonl")

    with (
        pytest.raises(UserError, match="No space left"),
        gansweep.track(runs_dir=tmp_path) as run,
        monkeypatch.context() as patch,
    ):
        patch.setattr(RunRecord, "append", full)
        run.log(1, loss=1)
    assert RunRecord(run.directory).result()["status"] == "failed"  # type: ignore[index]


def test_frames_have_a_row_for_each_run_and_each_number(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    for seed in range(2):
        loop(tmp_path, seed)
    frame = gansweep.runs(tmp_path).to_frame()
    assert list(frame["seed"]) == [0, 1] and list(frame["config.net.width"]) == [8, 8]
    assert list(frame["last.fid_1k"]) == list(frame["objective"]) == [20.0, 20.0]
    assert list(frame["best.fid_1k"]) == [12.0, 12.0]
    curves = gansweep.runs(tmp_path).where("seed = 1").curves()
    assert list(curves.columns) == ["run", "kimg", "column", "value"]
    fid = curves[curves["column"] == "fid_1k"]
    assert list(fid["value"]) == [30.0, 12.0, 20.0] and list(fid["kimg"]) == [1.0, 2.0, 3.0]
    assert Runs([]).to_frame().empty and Runs([]).curves().empty


def test_without_pandas_a_frame_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match=r"pip install 'gansweep\[pandas\]'"):
        Runs([]).to_frame()


def test_the_doctor_advises_without_a_command_of_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with gansweep.track(model="mine", runs_dir=tmp_path, budget_kimg=100) as run:
        for kimg in range(1, 101):
            run.score(kimg, "fid_1k", 10.0 + 4 * kimg, **FID)
        run.end("diverged", "the loss is not finite")
    assert doctor.main([str(run.directory)]) == 0
    said = capsys.readouterr().out
    assert "worth trying" in said and "gansweep train" not in said


def test_a_run_that_was_killed_is_at_its_last_row(tmp_path: Path) -> None:
    tracked = gansweep.track(name="x", runs_dir=tmp_path)
    with tracked as run:
        run.log(7.5, loss=2)
        assert read_run(RunRecord(run.directory)).kimg == 7.5, "its result says 0 until it ends"


def test_the_doctor_offers_no_command_that_cannot_load_a_loop_of_ones_own(tmp_path: Path) -> None:
    with gansweep.track({"lr": 1e-3}, name="x", runs_dir=tmp_path, budget_kimg=10) as run:
        for kimg in range(11):
            run.log(kimg, {"loss/generator": 1.0})
    found = gaps(evidence_of(read_run(RunRecord(run.directory))))
    assert {gap.rule for gap in found} >= {"mode_collapse", "discriminator_overpowers"}
    assert not [gap.fix for gap in found if "gansweep evaluate" in gap.fix or "Train" in gap.fix]


def test_samples_after_the_moment_of_continuation_are_removed(tmp_path: Path) -> None:
    """Else the page shows sheets of steps that the run no longer has."""
    with gansweep.track({"lr": 1.0}, runs_dir=tmp_path) as run:
        for kimg in (1, 2, 3):
            run.log(kimg, {"loss/generator": 1.0})
            run.samples(kimg, np.zeros((4, 8, 8), np.float32))
    with gansweep.track(resume=run.directory, kimg=2):
        pass
    assert [kimg for kimg, _ in RunRecord(run.directory).sample_grids()] == [1.0, 2.0]


def test_settings_that_a_record_keeps_in_another_form_do_not_refuse_its_continuation(
    tmp_path: Path,
) -> None:
    settings = {"clip": math.inf, "betas": (0.0, math.nan), "word": "a\x07"}
    with gansweep.track(settings, runs_dir=tmp_path) as run:
        run.log(1.0, {"loss/generator": 1.0})
    with gansweep.track(settings, resume=run.directory) as run:
        run.log(2.0, {"loss/generator": 1.0})
    with pytest.raises(UserError, match="keeps its settings"):
        gansweep.track({**settings, "clip": 1.0}, resume=run.directory).__enter__()
