"""The live page beside a sweep: a process of its own, which ends with the sweep."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

START_SECONDS = 10.0  # within which it must print its address
END_SECONDS = 2.0


@contextlib.contextmanager
def live_page(directory: Path) -> Iterator[None]:
    """Serve the page of this directory meanwhile, and print its address.

    Whatever happens to it is one line; the sweep is not affected.
    """
    process = None
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "gansweep", "ui", str(directory), "--no-browser", "--attached"],
            stdin=subprocess.PIPE,  # it ends when this pipe does, so also if this process is killed
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for the sweep
        )
        print(_first_line(process), flush=True)
    except OSError as error:
        print(_sorry(str(error.strerror)), flush=True)
    try:
        yield
    finally:
        if process is not None:
            _end(process)


def _first_line(process: subprocess.Popen[bytes]) -> str:
    """The line with its address, or a sentence with its last words."""
    assert process.stdout is not None
    said, end = b"", time.monotonic() + START_SECONDS
    while (left := end - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        part = os.read(process.stdout.fileno(), 4096)
        said += part
        lines = said.decode(errors="replace").split("\n")
        found = next((line for line in lines[:-1] if "http://" in line), None)
        if found is not None:
            return found
        if not part:
            process.wait(END_SECONDS)
            break
    words = said.decode(errors="replace").strip().splitlines()
    why = "its process has ended" if process.poll() is not None else "it did not start in time"
    return _sorry(words[-1] if words else why)


def _sorry(why: str) -> str:
    return f"There is no live page ({why.rstrip('.')}). The sweep runs without it."


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        process.terminate()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
