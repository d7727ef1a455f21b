"""Continuing a run: what is refused, and how a run continues after a kill or a full disk."""

import contextlib
import errno
import json
import logging
import os
import pty
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import PATIENCE_SECONDS, Processes, wait_until

from gansweep import compose, train
from gansweep.callbacks.checkpoint import Checkpoint, read_checkpoint
from gansweep.records import writer
from gansweep.records.record import RunRecord
from gansweep.signals import stop_signals

Command = Callable[..., Any]
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["budget_kimg=0.1", "tracker=none", "metrics=none", "trainer=cpu"]


@pytest.fixture
def run(command: Command, tmp_path: Path) -> RunRecord:
    assert command("train", *TINY, "name=run").code == 0
    return RunRecord(tmp_path / "runs" / "digits" / "run")


@pytest.mark.parametrize(
    "change", ["model=wgan", "model.generator.width=8", "data=ring", "batch_size=64", "seed=1"]
)
def test_continuing_with_other_networks_or_data_is_refused(
    command: Command, run: RunRecord, change: str
) -> None:
    before = run.result_path.read_bytes(), run.config_path.read_bytes()
    done = command("train", f"resume={run.directory}", change)
    done.is_refused_with(change, "model=dcgan data=digits", "Start a new run")
    assert before == (run.result_path.read_bytes(), run.config_path.read_bytes())


@pytest.mark.parametrize("word", ["term=r1", "experiment=digits_r3gan", "debug=overfit"])
def test_what_changes_several_groups_is_refused(
    command: Command, run: RunRecord, word: str
) -> None:
    done = command("train", f"resume={run.directory}", word)
    done.is_refused_with(f"'{word}' would change more", "budget_kimg", "start a new run")


def test_new_budget_that_is_spent_already_is_refused(command: Command, run: RunRecord) -> None:
    before = run.result_path.read_bytes(), run.config_path.read_bytes()
    done = command("train", f"resume={run.directory}", "budget_kimg=0.05")
    done.is_refused_with(f"{run.directory} is already at 0.128 kimg", "budget_kimg= more")
    assert before == (run.result_path.read_bytes(), run.config_path.read_bytes())
    assert command("train", f"resume={run.directory}", "budget_kimg=0.1").code == 0, "its own"


def test_checkpoint_of_other_networks_is_refused(command: Command, run: RunRecord) -> None:
    """The configuration was edited by hand."""
    text = run.config_path.read_text()
    run.config_path.write_text(text.replace("width: 4", "width: 8"))
    before = (run.checkpoints / "last.pt").read_bytes()
    done = command("train", f"resume={run.directory}", "budget_kimg=1")
    done.is_refused_with("has other networks", "start a new run")
    assert (run.checkpoints / "last.pt").read_bytes() == before


def test_torn_checkpoint_is_refused_with_its_name(command: Command, run: RunRecord) -> None:
    path = run.checkpoints / "last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    done = command("train", f"resume={run.directory}", "budget_kimg=9")
    done.is_refused_with("last.pt", "no other one of the run")


def test_finished_run_has_nothing_left_and_says_how_to_train_more(
    command: Command, run: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = run.result_path.read_bytes()
    monkeypatch.setattr("gansweep.run.train.train", None)  # it is not called
    done = command("train", f"resume={run.directory}")
    assert done.code == 0 and not done.err
    assert done.out.startswith("Nothing is left to train: ") and "budget_kimg=0.256" in done.out
    assert run.result_path.read_bytes() == before


def test_trial_that_is_continued_by_hand_stays_its_sweeps(tmp_path: Path) -> None:
    """Else its parameters were lost; with another budget it does not compare with the others."""
    part = {"name": "s", "key": "t0000", "role": "trial", "params": {"batch_size": 32}}
    record, cfg = RunRecord(tmp_path / "s" / "t0000"), compose(TINY)
    train(cfg.copy(), run_dir=record.directory, progress=False, sweep=part, until_kimg=0.05)
    train(cfg.copy(), run_dir=record.directory, progress=False)
    result = record.result() or {}
    assert (result["status"], result["sweep"]) == ("finished", part)
    train(compose([*TINY, "budget_kimg=0.2"]), run_dir=record.directory, progress=False)
    assert "sweep" not in (record.result() or {})


def test_name_of_a_run_that_exists_is_refused(command: Command, run: RunRecord) -> None:
    before = run.result_path.read_bytes()
    done = command("train", *TINY, "name=run")
    done.is_refused_with("already contains a run", "resume=", "name=")
    assert run.result_path.read_bytes() == before


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    call = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(call, capture_output=True).returncode:
        pytest.skip("needs to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path) -> Path:
    ballast = disk / "ballast"
    with open(ballast, "ab", buffering=0) as file:
        try:
            while file.write(b"\0" * 4096) == 4096:
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return ballast


def test_disk_that_is_full_at_the_start(command: Command, small_disk: Path) -> None:
    fill(small_disk)
    done = command("train", *TINY, f"runs_dir={small_disk}/runs")
    done.is_refused_with("No space is left", str(small_disk), "runs_dir=")
    assert not list(small_disk.rglob("dcgan-001"))


@pytest.mark.parametrize("tracker", ["none", "csv", "wandb"])
def test_disk_that_fills_before_the_first_checkpoint(
    command: Command, small_disk: Path, monkeypatch: pytest.MonkeyPatch, tracker: str
) -> None:
    from gansweep.callbacks.losses import Losses

    def look(self: Losses, module: Any) -> None:
        fill(small_disk)
        logging.getLogger("wandb").info("x" * 8192)  # more than fits into a page begun
        self.journal.log(module.images_seen, {"loss/generator": 0.0})

    monkeypatch.setattr(Losses, "look", look)
    words = [*TINY, f"tracker={tracker}", "callbacks.losses.every_steps=1"]
    done = command("train", *words, f"runs_dir={small_disk}/runs")
    done.is_refused_with("No space is left", "had no checkpoint yet", "runs_dir=", after="kimg")
    assert not list(small_disk.rglob("dcgan-001"))


def test_disk_that_fills_later_keeps_the_checkpoint_and_the_run_goes_on(
    command: Command, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*TINY, "callbacks.losses.every_steps=1", "callbacks.checkpoint.every_seconds=0"]
    words += ["budget_kimg=0.96"]
    saves = Checkpoint.save

    def save(self: Checkpoint, trainer: Any, module: Any, name: str) -> None:
        saves(self, trainer, module, name)
        if module.images_seen == 320:
            fill(small_disk)

    monkeypatch.setattr(Checkpoint, "save", save)
    run = small_disk / "runs" / "digits" / "dcgan-001"
    done = command("train", *words, f"runs_dir={small_disk}/runs")
    done.is_refused_with("No space is left", f"resume={run}", "last checkpoint with", after="kimg")
    assert read_checkpoint(run / "checkpoints" / "last.pt")["game"]["images_seen"] == 320
    assert {p.name for p in (run / "checkpoints").iterdir()} == {"last.pt", "previous.pt"}

    (small_disk / "ballast").unlink()
    monkeypatch.setattr(Checkpoint, "save", saves)
    assert command("train", f"resume={run}").code == 0
    assert command("train", *words, f"runs_dir={tmp_path}/whole").code == 0
    whole = RunRecord(tmp_path / "whole" / "digits" / "dcgan-001")
    assert losses(RunRecord(run)) == losses(whole) and len(losses(whole)) == 30
    result = RunRecord(run).result()
    assert result is not None and result["status"] == "finished"


def test_history_that_cannot_grow_stops_the_run(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's own full device, where no file system can be mounted."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    create = RunRecord.create

    def full(directory: Path, config_yaml: str) -> RunRecord:
        record = create(directory, config_yaml)
        record.history_path = Path("/dev/full")
        record.truncate_history = lambda kimg: None  # type: ignore[method-assign]
        return record

    monkeypatch.setattr(RunRecord, "create", full)
    done = command("train", *TINY, "callbacks.losses.every_steps=1")
    done.is_refused_with("No space is left", "runs_dir=", after="kimg")
    assert not list(tmp_path.rglob("dcgan-001"))


def test_run_that_another_process_takes_over_stops_and_changes_nothing(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.callbacks.losses import Losses

    record = RunRecord(tmp_path / "runs" / "digits" / "dcgan-001")
    left: dict[Path, bytes] = {}

    def files() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in record.directory.rglob("*") if p.is_file()}

    def look(self: Losses, module: Any) -> None:
        if module.images_seen == 64:
            with monkeypatch.context() as patch:
                patch.setattr(writer, "_held", {})  # as in another process
                with record.claimed(take=True):
                    record.write_result({"status": "finished"})
            left.update(files())
        self.journal.log(module.images_seen, {"loss/generator": 0.0})

    monkeypatch.setattr(Losses, "look", look)
    done = command("train", *TINY, "callbacks.losses.every_steps=1")
    done.is_refused_with("dcgan-001 was taken over by process", after="kimg")
    assert left and files() == left


def test_means_go_on_over_a_run_that_was_continued_between_two_rows(
    command: Command, tmp_path: Path
) -> None:
    words = [*TINY, "callbacks.losses.every_steps=4"]
    assert command("train", *words, "name=whole", "budget_kimg=0.384").code == 0
    assert command("train", *words, "name=parts", "budget_kimg=0.192").code == 0  # 6 steps
    runs = tmp_path / "runs" / "digits"
    assert command("train", f"resume={runs / 'parts'}", "budget_kimg=0.384").code == 0
    whole, parts = (losses(RunRecord(runs / name)) for name in ("whole", "parts"))
    assert whole == parts and [kimg for kimg, _ in whole] == [0.128, 0.256, 0.384]


# Killed


def losses(record: RunRecord) -> list[tuple[float, float]]:
    return [
        (row["kimg"], row["loss/generator"]) for row in record.history() if "loss/generator" in row
    ]


def assert_consistent(record: RunRecord) -> None:
    """The history is ordered by kimg and has each number only once."""
    rows = [json.loads(line) for line in record.history_path.read_text().splitlines()]
    kimg = [row["kimg"] for row in rows]
    assert kimg == sorted(kimg)
    numbers = [(row["kimg"], key) for row in rows for key in row.keys() - {"kimg", "seconds"}]
    assert len(numbers) == len(set(numbers))


@pytest.mark.slow
@pytest.mark.parametrize("every_seconds", [0.3, 1000], ids=["after", "before"])
def test_killed_run_continues_as_if_it_had_not_been(
    command: Command, tmp_path: Path, processes: Processes, every_seconds: float
) -> None:
    """SIGKILL after the first checkpoint, and before it."""
    words = [*TINY, "callbacks.losses.every_steps=1", "name=run", "metrics=auto"]
    words += ["metrics.n_fake=100", "metrics.scores=[fid]", "callbacks.quality.every_kimg=0.3"]
    words += [f"callbacks.checkpoint.every_seconds={every_seconds}", "budget_kimg=10000"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = processes.forked("-m", "gansweep", "train", *words, **quiet, cwd=tmp_path)
    record = RunRecord(tmp_path / "runs" / "digits" / "run")

    def far_enough() -> bool:
        assert process.poll() is None
        saved = record.last.exists() or every_seconds > 1
        return saved and written(record.history_path) > 12000

    wait_until(far_enough)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (record.checkpoints / "last.pt").exists() == (every_seconds < 1)
    result = record.result()
    assert result is not None and result["status"] == "running"

    seen = record.history()[-1]["kimg"]
    done = command("train", f"resume={record.directory}", f"budget_kimg={seen + 0.5}")
    assert done.code == 0, done.err
    assert_consistent(record)
    steps = [round(kimg * 1000) for kimg, _ in losses(record)]
    assert steps == list(range(32, steps[-1] + 1, 32)) and steps[-1] >= 1000 * seen
    assert command("train", *words, "name=whole", f"budget_kimg={seen + 0.5}").code == 0
    assert losses(record) == losses(RunRecord(tmp_path / "runs" / "digits" / "whole"))


def written(path: Path) -> int:
    """The bytes of a file that may not be there yet."""
    return path.stat().st_size if path.exists() else 0


# A terminal that is closed

ON_ITS_TERMINAL = (  # a session leader gets the first terminal that it opens
    "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR))\n"
    "from gansweep.cli.main import main; sys.exit(main(sys.argv[1:]))"
)


@pytest.mark.slow
def test_closed_terminal_saves_the_run(tmp_path: Path, processes: Processes) -> None:
    words = [*TINY, "name=run", "budget_kimg=10000", "callbacks.losses.every_steps=1"]
    ours, theirs = pty.openpty()
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    training = processes.forked(
        *("-c", ON_ITS_TERMINAL, "train", *words), **streams, cwd=tmp_path, start_new_session=True
    )
    os.close(theirs)
    record = RunRecord(tmp_path / "runs" / "digits" / "run")
    os.set_blocking(ours, False)

    def at_work() -> bool:
        with contextlib.suppress(BlockingIOError):
            os.read(ours, 65536)  # otherwise the process waits for a reader
        return written(record.history_path) > 3000

    wait_until(at_work)
    assert not record.last.exists()
    os.close(ours)
    assert training.wait(PATIENCE_SECONDS) == 130
    result = record.result()
    assert result is not None
    assert (result["status"], result["reason"].split()[0]) == ("interrupted", "SIGHUP")
    checkpoint = read_checkpoint(record.last)
    assert checkpoint["game"]["images_seen"] == round(1000 * record.history()[-1]["kimg"])


def test_signals_that_stop_are_without_the_hangup_that_nohup_ignores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = (signal.SIGINT, signal.SIGTERM)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    assert stop_signals() == (*asked, signal.SIGHUP)
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_IGN)
    assert stop_signals() == asked
