"""One worker of a sweep as a task of Ray: what runs on the node that Ray chooses.

Ray sends this file's functions there as they stand, so that a node without gansweep, or without the
sweep's directory, can say so. Therefore it imports the standard library only.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

EXIT_USER_ERROR = 2
POLL_SECONDS = 0.1
SEEN_SECONDS = 15.0  # for a shared file system to show what another host has just written
SAVE_SECONDS = 150.0  # a worker gives its trial 120
VERSION = "import gansweep; print(gansweep.__version__)"


def work(
    name: str, order: Mapping[str, str], threads: int, variables: Mapping[str, str]
) -> tuple[int, str, str]:
    """Run one worker until it ends; its exit code, this host, and why it was not started, or "".

    order: the sweep's `directory`, its `mark`, the `folder` of the command, its `host` and the
        `version` of gansweep there.
    threads: for each trial.   variables: of the command's environment.
    Ray interrupts it (KeyboardInterrupt) where the launcher cancels the task: the worker saves.
    """
    host = socket.gethostname()
    number = str(threads)
    threading = {f"{kind}_NUM_THREADS": number for kind in ("OMP", "MKL", "OPENBLAS")}
    environment = {**os.environ, **threading, **variables}
    unable = _unable(host, order, environment)
    if unable:
        return EXIT_USER_ERROR, host, unable
    directory = order["directory"]
    command = [sys.executable, "-m", "gansweep.engine", directory, "--name", name]
    with open(os.path.join(directory, "workers", f"{name}.log"), "ab") as log:
        log.write(f"{time.strftime('%F %T')} {name} on {host}\n".encode())
        log.flush()
        process = subprocess.Popen(
            [*command, "--threads", number, "--launched"],  # it saves if this process is killed
            cwd=order["folder"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    return _code_of(process), host, ""


def _code_of(process: "subprocess.Popen[bytes]") -> int:
    """The exit code of the worker, which is never left running."""
    try:
        while process.poll() is None:
            time.sleep(POLL_SECONDS)  # Ray's interrupt does not end a wait for a process
    except KeyboardInterrupt:
        process.send_signal(signal.SIGTERM)
        process.wait(SAVE_SECONDS)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return process.returncode


def _unable(host: str, order: Mapping[str, str], environment: Mapping[str, str]) -> str:
    """Why no worker can work on this host, with the fix; "" if one can."""
    directory = order["directory"]
    if not _sees(directory, order["mark"]):
        what = "has another directory" if os.path.isdir(directory) else "has no directory"
        return (
            f"{host} {what} at {directory}, where {order['host']} has the sweep. All nodes must "
            "share the file system of a sweep's directory: choose a place on one with runs_dir=."
        )
    if not os.path.isdir(order["folder"]):
        return (
            f"{host} has no directory {order['folder']}, in which the command was given on "
            f"{order['host']}. Give it in a directory that all nodes share."
        )
    version = _version(environment)
    if version != order["version"]:
        found = f"gansweep {version}" if version else "no gansweep"
        return (
            f"{sys.executable} on {host} has {found}, and the command's Python on {order['host']} "
            f"has gansweep {order['version']}. Install that version on all nodes."
        )
    return ""


def _sees(directory: str, mark: str) -> bool:
    """Whether the sweep's directory is that of the launcher, by the content of its mark."""
    deadline = time.monotonic() + SEEN_SECONDS
    while True:
        try:
            with open(os.path.join(directory, "workers", "mark"), encoding="utf-8") as file:
                if file.read() == mark:
                    return True
        except OSError:
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)


def _version(environment: Mapping[str, str]) -> str:
    """Of the gansweep that the worker would import; "" if there is none."""
    asked = subprocess.run(
        [sys.executable, "-c", VERSION], capture_output=True, text=True, env=dict(environment)
    )
    return asked.stdout.strip()
