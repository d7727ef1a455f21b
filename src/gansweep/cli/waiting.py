"""A line on the terminal while nothing else is there to see: what is being done."""

from __future__ import annotations

import shutil
import sys
import threading

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
REFRESH_SECONDS = 0.1


class Waiting:
    """Shows a text on a terminal's last line, with a turning mark, until `stop`.

    It writes to the standard error, and nothing if that is no terminal.
    """

    def __init__(self) -> None:
        self._text = ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def show(self, text: str) -> None:
        """Begin to show a text, or replace the one that is shown."""
        self._text = text
        if self._thread is None and sys.stderr.isatty():
            self._ended.clear()
            self._thread = threading.Thread(target=self._turn, daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Remove the line, before anything else is printed. Harmless if nothing is shown."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None

    def _turn(self) -> None:
        step = 0
        while True:
            width = shutil.get_terminal_size().columns
            line = f"{FRAMES[step % len(FRAMES)]} {self._text}"[: width - 1]
            sys.stderr.write(f"\r\x1b[K{line}")
            sys.stderr.flush()
            step += 1
            if self._ended.wait(REFRESH_SECONDS):
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
                return


waiting = Waiting()
