"""NVIDIA's MPS for trials that share a GPU, with a control program of the test's own on PATH."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fake_programs import put_on_path

from gansweep.engine.launch import local
from gansweep.engine.lease import mps
from gansweep.engine.lease.gpus import GpuShare, GpuTurns
from gansweep.errors import UserError

GPU = "GPU-aaaa0000-1111"
SHARED = GpuShare(slots=4, mps=True)
CONTROL = """#!/bin/sh
if [ "$1" = -d ]; then
    [ -e "$NOTES.broken" ] && { echo "no device" >&2; exit 1; }
    echo "start $CUDA_VISIBLE_DEVICES" >> "$NOTES"
    : > "$CUDA_MPS_PIPE_DIRECTORY/control"
    exit
fi
read -r command
[ -e "$CUDA_MPS_PIPE_DIRECTORY/control" ] || exit 1
[ "$command" != quit ] || { rm "$CUDA_MPS_PIPE_DIRECTORY/control"; echo quit >> "$NOTES"; }
"""
SMI = f"""#!/bin/sh
case $1 in
-L) echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: {GPU})" ;;
*) echo "{GPU}, $(cat "$NOTES.mode")" ;;
esac
"""


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A machine with a GPU; what its control program did, a line each."""
    programs = {"nvidia-cuda-mps-control": CONTROL, "nvidia-smi": SMI}
    put_on_path(tmp_path / "bin", programs, monkeypatch)
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("GANSWEEP_GPU_LOCKS", str(tmp_path / "locks"))
    for name in (mps.PIPE, mps.LOG, "CUDA_VISIBLE_DEVICES", "GANSWEEP_HELD_FILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(mps, "PLACE", str(tmp_path / "mps"))
    monkeypatch.setattr(mps, "CONTAINERS", ())
    Path(f"{tmp_path}/notes.mode").write_text("Default")
    yield tmp_path / "notes"


def ends(notes: Path, lines: list[str]) -> bool:
    """Whether the notes become `lines` within a minute."""
    deadline = time.monotonic() + 60
    while (found := notes.read_text().splitlines()) != lines and time.monotonic() < deadline:
        time.sleep(0.02)
    return found == lines


def test_one_daemon_serves_all_users_of_a_gpu_and_ends_with_the_last(notes: Path) -> None:
    first, variables = mps.joined(GPU)
    second, same = mps.joined(GPU)
    assert variables == same and Path(variables[mps.PIPE], "control").exists()
    assert first is not None and second is not None
    os.close(first)
    third, _ = mps.joined(GPU)  # as a trial that begins when another has ended
    os.close(second)
    assert third is not None and notes.read_text() == f"start {GPU}\n"
    os.close(third)
    assert ends(notes, [f"start {GPU}", "quit"])
    again, _ = mps.joined(GPU)
    assert again is not None
    os.close(again)
    assert ends(notes, [f"start {GPU}", "quit", f"start {GPU}", "quit"])


def test_daemon_ends_also_when_its_last_user_is_killed(notes: Path) -> None:
    program = f"from gansweep.engine.lease import mps; mps.PLACE = {mps.PLACE!r}\n"
    program += f"held = mps.joined({GPU!r}); print('joined', flush=True); input()"
    user = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert user.stdin is not None and user.stdout is not None
    assert user.stdout.readline() == b"joined\n"
    user.kill()
    user.wait()
    user.stdin.close()
    user.stdout.close()
    assert ends(notes, [f"start {GPU}", "quit"])


def test_trials_on_a_shared_gpu_compute_under_its_daemon(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    turns = GpuTurns(SHARED, tmp_path, uses_gpus=True)
    assert turns.take() and turns.held is not None
    turns.held.pass_on()
    assert Path(os.environ[mps.PIPE], "control").exists()
    turns.held.touch()
    turns.give_back()
    assert ends(notes, [f"start {GPU}", "quit"])


def test_daemon_of_the_user_is_used_and_left_alone(
    notes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mps, "CONTAINERS", (tmp_path,))  # it may be the host's
    (tmp_path / "control").touch()
    monkeypatch.setenv(mps.PIPE, str(tmp_path))
    mps.refuse([GPU])
    assert mps.joined(GPU) == (None, {mps.PIPE: str(tmp_path)}) and not notes.exists()


def broken(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(f"{notes}.broken").touch()
    mps.joined(GPU)


def without_program(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mps, "CONTROL", "no-such-program")
    local.worker_count(4, 4, SHARED)


def in_a_container(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mps, "CONTAINERS", (notes.parent,))
    local.worker_count(4, 4, SHARED)


def prohibited(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(f"{notes}.mode").write_text("Prohibited")
    local.worker_count(4, 4, SHARED)


def without_gpu(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    local.worker_count(4, 4, SHARED)


def with_one_slot(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    GpuShare.of({"name": "local", "mps": True})


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (without_gpu, "no NVIDIA GPU is visible"),
        (without_program, "which the driver brings, is not on PATH"),
        (in_a_container, "this is a container.*CUDA_MPS_PIPE_DIRECTORY"),
        (prohibited, f"compute mode of {GPU} is Prohibited"),
        (broken, f"did not start for {GPU}: no device"),
        (with_one_slot, "each has one of its own.*slots_per_gpu=4"),
    ],
)
def test_mps_is_refused_with_the_reason(
    notes: Path,
    monkeypatch: pytest.MonkeyPatch,
    case: Callable[[Path, pytest.MonkeyPatch], None],
    reason: str,
) -> None:
    with pytest.raises(UserError, match=reason):
        case(notes, monkeypatch)
