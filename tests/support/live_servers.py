"""`gansweep ui` as a process of its own, for the tests that look at it."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

PATIENCE = 20.0  # seconds; on a busy machine a process starts slowly


class LiveServer:
    """address: the whole one, with the token."""

    def __init__(self, *words: str | Path, cwd: Path | None = None) -> None:
        command = [sys.executable, "-m", "gansweep", "ui", "--no-browser", *map(str, words)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, cwd=cwd,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert "http://127.0.0.1:" in line, line + self.process.stdout.read()
        self.address = line.split()[-1]

    @property
    def port(self) -> int:
        found = urlsplit(self.address).port
        assert found is not None
        return found

    @property
    def path(self) -> str:
        """The token between slashes."""
        return urlsplit(self.address).path

    def ask(
        self, path: str, method: str = "GET", **headers: str
    ) -> tuple[int, bytes, http.client.HTTPMessage]:
        """Status, body and headers of the answer to a request of this very path."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name, value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers
        finally:
            connection.close()

    def end(self, number: signal.Signals = signal.SIGINT) -> float:
        """Ask it to end, and wait: how many seconds it took."""
        started = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        assert self.process.stdout is not None
        assert code == 0, f"{code}: {self.process.stdout.read()}"
        self.process.stdout.close()
        return time.monotonic() - started
