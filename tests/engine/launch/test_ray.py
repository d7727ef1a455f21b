"""launcher=ray on a real Ray of two nodes on this machine, with trials without torch."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from processes import wait_until
from ray_nodes import LOCALHOST, RayNodes
from sweep_fakes import HELD_AT
from sweep_processes import (
    UNCONFIRMED,
    assert_refused,
    ends,
    held,
    lines,
    pid_of,
    steps,
    steps_at_start,
    sweep,
    words_of_a_sweep,
)
from tables_on_clusters import TABLES, assert_complete_though_a_node_dies

from gansweep.cli.cancel import cancel
from gansweep.cli.status import text_of
from gansweep.engine.launch.ray import RayLauncher
from gansweep.engine.lease.workers import launching, workers_of
from gansweep.engine.status import status_of
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.records.record import RunRecord

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("importable_fakes")]
KEYS = [f"t{i:04d}" for i in range(4)]


@pytest.fixture(scope="module")
def nodes() -> Iterator[RayNodes]:
    services = pytest.importorskip("ray._private.services")
    with pytest.MonkeyPatch.context() as patch:
        # Ray takes 127.0.0.1 for the address of this machine in its network
        patch.setattr(services, "get_node_ip_address", lambda *_: LOCALHOST)
        started = RayNodes()
        yield started
        started.close()


@pytest.fixture
def words(nodes: RayNodes, tmp_path: Path) -> list[str]:
    """Of a sweep on the two nodes and their GPUs, whose trials wait when they have saved some
    steps."""
    held(tmp_path, *KEYS)
    where = ["launcher=ray", f"launcher.address={nodes.address}", "trainer.accelerator=auto"]
    return words_of_a_sweep(tmp_path, UNCONFIRMED, *where, "workers=auto")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "s"


@pytest.fixture
def once_held(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Callable[..., None]:
    """`once_held(n, does)`: in the next sweep, as soon as its first n trials wait."""

    def arrange(n: int, does: Callable[[], object]) -> None:
        left, run = [does], RayLauncher.run

        def running(launcher: RayLauncher, tick: Callable[[], None]) -> bool:
            def watching() -> None:
                tick()
                if left and all(steps(directory).get(key) == HELD_AT for key in KEYS[:n]):
                    left.pop()()

            return run(launcher, watching, every_seconds=0.1)

        monkeypatch.setattr(RayLauncher, "run", running)

    return arrange


def let_go(directory: Path) -> None:
    (directory.parent / "held").unlink()


def test_trials_of_a_dead_node_are_taken_up_by_another(
    nodes: RayNodes,
    words: list[str],
    directory: Path,
    once_held: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "secret" * 7)
    on_second: list[str] = []

    def kill() -> None:
        on_second.extend(k for k in KEYS if pid_of(directory, k) in nodes.at_work_on_second())
        shown = text_of(status_of(directory))
        assert "at work" in shown and "ray3" in shown
        nodes.kill_second()
        let_go(directory)

    once_held(4, kill)
    try:
        assert sweep([*words, "launcher.gpus_per_worker=0.5"]) == directory
    finally:
        nodes.start_second()
    assert SweepStudy(directory).finished()
    assert ends(directory) == [["finished"]] * 4
    assert len(on_second) == 2
    for key in KEYS:
        again = key in on_second
        assert steps_at_start(directory, key) == ([0, HELD_AT] if again else [0])
        assert set(lines(directory / key / "visible")) == {"0"}, "a half of each node's GPU"
    assert "trainer.threads=1" in lines(directory / "t0000" / "given")[0]
    assert wait_until(lambda: not workers_of(directory))
    written = [path for path in nodes.folder.rglob("*") if path.is_file()]
    assert written and not any(b"secretsecret" in path.read_bytes() for path in written)


def test_ctrl_c_saves_and_the_same_command_continues(
    words: list[str], directory: Path, once_held: Callable[..., None]
) -> None:
    once_held(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        sweep([*words, "n_trials=2"])
    results = [RunRecord(directory / key).result() or {} for key in KEYS[:2]]
    assert [result.get("status") for result in results] == ["interrupted"] * 2
    assert not workers_of(directory)
    let_go(directory)
    sweep([*words, "n_trials=2"])
    assert SweepStudy(directory).finished()
    assert [lines(directory / key / "ends") for key in KEYS[:2]] == [["finished"]] * 2
    assert [steps_at_start(directory, key) for key in KEYS[:2]] == [[0, HELD_AT]] * 2


def test_cancel_ends_workers_that_run_and_those_that_wait(
    words: list[str],
    directory: Path,
    once_held: Callable[..., None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    once_held(2, lambda: cancel(directory))
    with pytest.raises(SystemExit, match="4"):
        sweep([*words, "workers=3"])  # one more than has a GPU
    assert "Cancelled. The same command continues" in capsys.readouterr().out
    assert status_of(directory).trials["interrupted"] == 2


def test_sweep_whose_workers_wait_for_a_place_is_queued(words: list[str], directory: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RayLauncher, "run", lambda *_: True)
        sweep(words)
    assert status_of(directory).state == "idle"
    with launching(directory):
        assert status_of(directory).state == "queued"


def test_worker_that_cannot_work_is_reported_with_its_host(
    nodes: RayNodes, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gansweep.__version__", "9.9")
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    with pytest.raises(UserError, match=r"worker ray\d cannot work: .* on .* has gansweep 0.*9\.9"):
        sweep([*words, "workers=1", "launcher.address=auto"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("launcher.gpus_per_worker=2", r"what a worker needs \(1 CPU, 2 GPUs\).*2 CPUs and 1 GPUs"),
        ("+launcher.resources.tpu=1", r"1 tpu\).*resources="),
        ("launcher.gpus_per_worker=1.5", "neither a part of one GPU nor whole ones. Use 1, say"),
    ],
)
def test_need_that_no_node_meets_is_refused(words: list[str], more: str, message: str) -> None:
    (given,) = (word for word in words if word.startswith("runs_dir="))
    Path(given.partition("=")[2], "held").unlink()
    Path(given.partition("=")[2]).rmdir()
    assert_refused([*words, more], message)


@pytest.mark.parametrize("table", TABLES)
def test_table_is_complete_though_a_node_dies(
    nodes: RayNodes, command: Callable[..., Any], table: str
) -> None:
    words = ["launcher=ray", f"launcher.address={nodes.address}"]
    try:
        assert_complete_though_a_node_dies(
            command,
            table,
            RayLauncher,
            lambda worker: worker.pid in nodes.at_work_on_second(),
            nodes.kill_second,
            words,
        )
    finally:
        nodes.start_second()
