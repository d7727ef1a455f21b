"""`gansweep ls`, `tag` and `note`: finding runs in the terminal."""

import errno
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from command_line import Finished
from report_records import FID, MODES, part_of_sweep, write_run

from gansweep.cli.ls import listing
from gansweep.cli.shelf import Shelf
from gansweep.records.record import RunRecord

Command = Callable[..., Finished]
MODEL = "dcgan"


def ago(**time: float) -> str:
    return (datetime.now(timezone.utc) - timedelta(**time)).isoformat(timespec="seconds")


def write_sweep(folder: Path) -> None:
    for number, status in enumerate(["finished", "pruned", "diverged"]):
        part = part_of_sweep(f"t{number:04d}", {"model.n_critic": number}, at="last")
        scores = {FID: [40.0, 30.0 - number]}  # the best value is that of a failed trial
        directory = folder / f"t{number:04d}"
        write_run(directory, status=status, sweep=part, scores=scores, ended=ago(hours=5))
    (folder / "sweep.yaml").write_text("n_trials: 3\n")


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Three plain runs and a sweep, in `runs`."""
    runs = tmp_path / "runs"
    write_run(runs / "digits" / "gan-001", model="gan", seed=3, objective=FID, ended=ago(days=2))
    write_run(
        runs / "digits" / "dcgan-001",
        objective=FID,
        scores={FID: [12.5]},
        ended=ago(minutes=3),
        status="failed",
        reason="ValueError: no",
        budget_kimg=80,
    )
    write_run(runs / "digits" / "killed", status="running")
    write_sweep(runs / "demo")
    return runs


def test_runs_and_sweeps_are_listed_newest_first(shelf: Path, command: Command) -> None:
    done = command("ls")
    assert done.code == 0, done
    rows = [line.split() for line in done.out.splitlines()]
    assert rows[0] == ["status", "age", "kimg", "objective", "seed", "model"]
    assert rows[1][:2] == ["runs/digits/killed", "killed"] and rows[1][-2:] == ["0", "dcgan"]
    assert " ".join(rows[2]) == "its process has ended without a result"
    assert rows[3] == ["runs/digits/dcgan-001", "failed", "3", "min", "1/80", "12.5", "0", "dcgan"]
    assert " ".join(rows[4]) == "ValueError: no"
    assert rows[5] == ["runs/demo", "finished", "5", "h", "6", "30", "0"]
    assert " ".join(rows[6]) == "1 finished, 1 pruned, 1 diverged"
    assert rows[7] == ["runs/digits/gan-001", "finished", "2", "d", "2", "20", "3", "gan"]
    assert done.out.splitlines()[-2:] == [f"objective: {FID}, lower is better", "1 sweep, 3 runs"]


def test_trials_are_listed_where_the_sweep_is_named(shelf: Path, command: Command) -> None:
    done = command("ls", "runs/demo", "--sort", "objective")
    names = [line.split()[0] for line in done.out.splitlines() if line.startswith("runs/")]
    assert names == ["runs/demo/t0002", "runs/demo/t0001", "runs/demo/t0000"]
    assert command("ls", "-a").out.count("runs/demo/t") == 3
    by_setting = command("ls", "runs/demo", "--sort", "n_critic", "--reverse").out
    assert by_setting.index("t0002") < by_setting.index("t0000")


def test_trials_say_in_what_those_of_a_model_differ(shelf: Path) -> None:
    lines = Shelf([shelf / "demo"]).lines("name")
    assert [line.params for line in lines] == [{"model.n_critic": k} for k in range(3)]
    wide = listing(lines, 200).splitlines()
    assert [row.split("  ")[-1].strip() for row in wide[:2]] == ["model", f"{MODEL}, n_critic 0"]
    lines[0].params = {}  # it has not begun
    narrow = listing(lines, max(map(len, wide)) - 1).splitlines()
    assert narrow[1].endswith("0") and narrow[2].strip() == MODEL
    assert narrow[4].strip() == f"{MODEL}, n_critic 1"


def test_a_filter_lists_runs_one_by_one(shelf: Path, command: Command) -> None:
    done = command("ls", "--where", "n_critic >= 1 and status != pruned", "--json")
    assert [Path(line["directory"]).name for line in json.loads(done.out)] == ["t0002"]
    assert command("ls", "--where", "model = stylegan2").out == "No run fits the filter.\n"
    command("ls", "--where", "model >").is_refused_with("cannot be read", "lr > 1e-4")
    command("ls", "--where", "modle = gan").is_refused_with("Did you mean 'model'?")
    command("ls", "--sort", "sied").is_refused_with("--sort sied", "Did you mean 'seed'?")
    nothing = command("ls", "--where", "seed = 987654", "--sort", "generator.lr")
    assert nothing.code == 0 and "No run fits the filter" in nothing.out


def test_each_of_several_objectives_is_named(shelf: Path, command: Command) -> None:
    write_run(shelf / "ring" / "gan-001", scores={MODES: [7.0]}, objective=MODES)
    out = command("ls", "--sort", "objective").out
    assert f"a: {FID}, lower is better\nb: {MODES}, higher is better" in out
    assert " 12.5 a " in out and " 7 b " in out


def test_json_has_every_field(shelf: Path, command: Command) -> None:
    lines = {line["directory"]: line for line in json.loads(command("ls", "--json").out)}
    assert lines["runs/demo"]["runs"] == {"finished": 1, "pruned": 1, "diverged": 1}
    run = lines["runs/digits/dcgan-001"]
    assert run["objective"] == {"score": FID, "value": 12.5, "direction": "minimize"}
    assert 175 < run["age_seconds"] < 240 and run["seeds"] == [0] and run["model"] == "dcgan"


@pytest.mark.parametrize(
    ("wanted", "board", "state"),
    [(3, None, "finished"), (5, None, "stopped"), (5, 5, "finished"), (5, 3, "stopped")],
)
def test_a_sweep_that_was_given_more_trials_since_its_leaderboard_is_not_finished(
    shelf: Path, wanted: int, board: int | None, state: str
) -> None:
    (shelf / "demo" / "sweep.yaml").write_text(f"n_trials: {wanted}\n")
    if board is not None:
        (shelf / "demo" / "leaderboard.json").write_text(f'{{"n_trials": {board}}}')
    (line,) = [line for line in Shelf([shelf]).lines() if line.kind == "sweep"]
    assert line.status == state


def test_a_run_that_is_written_is_running(shelf: Path) -> None:
    record = RunRecord(shelf / "digits" / "killed")
    record.write_result({"status": "running"})
    with record.claimed():
        (line,) = Shelf([record.directory]).lines()
        assert line.status == "running" and line.kimg == 2
        assert line.objective == {"score": FID, "value": 20.0, "direction": "minimize"}
    (line,) = Shelf([record.directory]).lines()
    assert line.status == "killed"


def test_tags_and_notes_are_shown_and_found(shelf: Path, command: Command) -> None:
    assert command("tag", "runs/digits", "old").out == "'old' given to 3 runs.\n"
    done = command("tag", "runs/digits/gan-001", "old")
    assert done.out == "'old' given to 0 runs (1 had it before).\n"
    command("tag", "runs/digits/killed", "old", "--remove")
    assert command("note", "runs/digits/gan-001", "class 8 is missing").code == 0
    assert command("note", "runs/digits/gan-001").out == "class 8 is missing\n"
    out = command("ls", "--where", "tag = old and note ~ MISSING").out
    assert "#old" in out and "class 8 is missing" in out and "dcgan" not in out
    assert command("note", "runs/digits/gan-001", "--remove").code == 0
    assert command("ls", "--where", "note ~ missing").out == "No run fits the filter.\n"


def test_calls_without_a_run_or_a_tag_are_refused(shelf: Path, command: Command) -> None:
    command("tag", "runs/digits/gan-001").is_refused_with("and then the tag")
    command("tag", "runs/digits/gan-001", "runs/demo").is_refused_with("is no tag")
    command("tag", "runs/nothing", "good").is_refused_with("does not exist")
    command("note").is_refused_with("the note in quotes")
    command("note", "runs/digits", "good").is_refused_with("is a group of runs")
    command("note", "runs/digits/gan-001", "two", "words").is_refused_with("in quotes")
    command("ls", "runs/nothing").is_refused_with("does not exist")
    command("ls", "--watch").is_refused_with("terminal")


def test_a_full_disk_and_a_read_only_run_are_sentences(
    shelf: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = errno.ENOSPC

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code), "remarks.jsonl")

    monkeypatch.setattr("gansweep.records.writer._opened", refuse)
    command("tag", "runs/digits/gan-001", "x").is_refused_with("No space left", "free some space")
    code = errno.EACCES
    command("note", "runs/digits/gan-001", "x").is_refused_with("Permission denied", "owner")
    monkeypatch.setattr(RunRecord, "append", refuse)
    assert command("ls").code == 0  # it writes nothing


def test_watching_shows_new_runs_until_it_is_stopped(
    shelf: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[float] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt
        write_run(shelf / "digits" / "appeared")

    monkeypatch.setattr("gansweep.cli.ls.time.sleep", sleep)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "12")
    done = command("ls", "--watch", "0.5")
    assert done.code == 0 and looks[0] >= 0.5
    assert "appeared" in done.out and "more lines" in done.out


def test_hostile_and_damaged_runs_are_lines(tmp_path: Path, command: Command) -> None:
    top = tmp_path / "runs"
    evil = top / "g\x1b[2J" / "a\u202eb"
    write_run(evil, status="failed", reason="\x1b]0;title\x07")
    (top / "half" / "r").mkdir(parents=True)
    (top / "half" / "r" / "config.yaml").write_text("a: [1,")
    record = write_run(top / "torn" / "r")
    record.result_path.write_bytes(b'{"status": "fin')
    deep = write_run(top / "deep" / "r", ended="9999999999-01-01", started=None)
    deep.remarks_path.write_bytes(b'{"note": "\\u001b[31m"}\n\xff\n')
    done = command("ls")
    assert done.code == 0 and not {"\x1b", "\u202e", "\x07"} & {*done.out}
    assert done.out.count("damaged") >= 2 and "4 runs" in done.out
    assert json.loads(command("ls", "--json").out)


def test_80_columns_hold_every_line_whole(tmp_path: Path, command: Command) -> None:
    long = "runs/a_group_with_a_long_name/dcgan-with-many-words-in-its-name-that-says-what-differs"
    write_run(tmp_path / long, seed=123456, objective=FID, budget_kimg=25000, status="interrupted")
    command("note", long, "word " * 40)
    out = command("ls").out
    assert long in out.splitlines()
    assert "word" in out and "2/25000" in out and "123456" in out
    assert all(len(line) <= 80 for line in out.splitlines() if line != long)


def test_a_run_that_vanishes_while_it_is_listed_is_left_out(shelf: Path) -> None:
    board = Shelf([shelf])
    before = len(board.lines())
    for path in sorted((shelf / "digits" / "gan-001").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert len(board.lines()) == before - 1


def test_only_changed_runs_are_read_again(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Shelf([shelf], every=True)
    board.lines()
    read: list[str] = []
    real = RunRecord.read_result

    def counted(record: RunRecord) -> object:
        read.append(record.directory.name)
        return real(record)

    monkeypatch.setattr(RunRecord, "read_result", counted)
    board.lines()
    assert read == ["killed"]  # it may go on


@pytest.mark.slow
def test_a_thousand_runs_are_listed_within_seconds(tmp_path: Path) -> None:
    made = write_run(tmp_path / "r0" / "gan", objective=FID, scores={FID: [30.0] * 200})
    files = {p.name: p.read_bytes() for p in made.directory.iterdir() if p.is_file()}
    for number in range(1, 1000):
        folder = tmp_path / f"r{number}" / "gan"
        (folder / "samples").mkdir(parents=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
    started = time.process_time()
    text = listing(Shelf([tmp_path]).lines(), 80)
    assert "1000 runs" in text and time.process_time() - started < 5
