"""NVIDIA's MPS, under which the trials that share a GPU compute at the same time.

There is one daemon for a user and a GPU. Every process that computes under it holds a shared lock
on a file; a watcher, which the first of them starts, waits for that lock alone and then ends the
daemon. So it ends with its last user, however that one ends. Without MPS the kernels of two
processes take turns on a GPU.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gansweep.engine.lease.locks import KernelLock
from gansweep.errors import UserError

CONTROL = "nvidia-cuda-mps-control"
ASKS = "get_default_active_thread_percentage"  # a command that changes nothing
PIPE = "CUDA_MPS_PIPE_DIRECTORY"  # of CUDA: where a process finds its daemon
LOG = "CUDA_MPS_LOG_DIRECTORY"
PLACE = "/tmp/gansweep-mps"
START_SECONDS = 20.0
CONTAINERS = (Path("/.dockerenv"), Path("/run/.containerenv"))
INSTEAD = "or leave launcher.mps= out: the trials then take turns on the GPU."


def refuse(gpus: Sequence[str]) -> None:
    """Raises: UserError where MPS cannot be used, with the reason.

    gpus: the names that CUDA takes.
    """
    if not gpus:
        raise _refused("it is NVIDIA's, and no NVIDIA GPU is visible here. Use trainer=gpu there,")
    if _given() is not None:
        return
    if shutil.which(CONTROL) is None:
        raise _refused(f"{CONTROL}, which the driver brings, is not on PATH. Install it,")
    if any(path.exists() for path in CONTAINERS):
        raise _refused(
            "this is a container, and a daemon in it is not seen by other users of the GPU. Start "
            f"one on the host, share its directory with the container and name it in {PIPE},"
        )
    for gpu, mode in _compute_modes().items():
        if mode == "Prohibited" and gpu in gpus:
            raise _refused(
                f"the compute mode of {gpu} is Prohibited. Set another one with 'nvidia-smi -i "
                f"{gpu} -c DEFAULT',"
            )


def joined(gpu: str) -> tuple[int | None, dict[str, str]]:
    """Be a user of a GPU's daemon, which is started if none runs.

    Returns: the descriptor whose lock says so, in this process and those that inherit it, and the
    variables of a process that computes under the daemon. No descriptor for a daemon that the user
    has started, and ends.
    Raises: UserError if the daemon does not start.
    """
    if (given := _given()) is not None:
        return None, {PIPE: str(given)}
    folder = _folder(gpu)
    with KernelLock(folder / "turn"):
        users = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(users, fcntl.LOCK_SH)  # waits for a watcher that ends the daemon before us
        try:
            if not _said(folder, ASKS):
                _start(folder, gpu)
        except BaseException:
            os.close(users)
            raise
    return users, _variables(folder)


def _start(folder: Path, gpu: str) -> None:
    environment = {**os.environ, **_variables(folder), "CUDA_VISIBLE_DEVICES": gpu}
    done = subprocess.run(
        [CONTROL, "-d"], env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode != 0 or not _until(folder, answers=True):
        said = (done.stderr or done.stdout).strip().splitlines() or ["it does not answer"]
        logs = f"its logs: {folder}"
        raise _refused(f"{CONTROL} did not start for {gpu}: {said[-1]} ({logs}). Mend it,")
    subprocess.run(
        [sys.executable, "-m", __name__, str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # neither a Ctrl-C nor the end of a worker ends it
        check=True,
    )


def watch(folder: Path) -> None:
    """Wait until no process uses the daemon in `folder`, then end it."""
    with open(folder / "users", "rb") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        _said(folder, "quit")
        _until(folder, answers=False)  # a new user must not meet it while it ends


def _until(folder: Path, *, answers: bool) -> bool:
    """Wait until the daemon answers, or no longer does; whether that came true in time."""
    deadline = time.monotonic() + START_SECONDS
    while _said(folder, ASKS) != answers:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _said(folder: Path, command: str) -> bool:
    """Whether the daemon in `folder` took a command."""
    done = subprocess.run(
        [CONTROL],
        input=command + "\n",
        env={**os.environ, **_variables(folder)},
        capture_output=True,
        text=True,
    )
    return done.returncode == 0


def _variables(folder: Path) -> dict[str, str]:
    return {PIPE: str(folder), LOG: str(folder)}


def _folder(gpu: str) -> Path:
    """The daemon's own folder, which belongs to this user; a pipe's path must be short."""
    above = Path(f"{PLACE}-{os.getuid()}")
    above.mkdir(mode=0o700, exist_ok=True)
    found = above.lstat()
    if above.is_symlink() or found.st_uid != os.getuid():
        raise _refused(f"{above} belongs to somebody else. Have it removed,")
    folder = above / gpu.replace("/", "_")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _given() -> Path | None:
    """The folder of a daemon that the user has started."""
    named = os.environ.get(PIPE)
    return Path(named) if named and (Path(named) / "control").exists() else None


def _compute_modes() -> dict[str, str]:
    """UUID of each whole GPU -> its compute mode; {} where nvidia-smi does not say."""
    command = ["nvidia-smi", "--query-gpu=uuid,compute_mode", "--format=csv,noheader"]
    try:
        listing = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = [line.split(", ") for line in listing.stdout.splitlines()]
    return {words[0]: words[1].strip() for words in lines if len(words) == 2}


def _refused(why: str) -> UserError:
    return UserError(f"launcher.mps=true cannot be: {why} {INSTEAD}")


if __name__ == "__main__":
    if os.fork() == 0:  # whoever starts it waits for the first process only
        watch(Path(sys.argv[1]))
