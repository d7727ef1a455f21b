"""The proxy before a storage: where it cannot be served, and what it says then."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import pytest
from processes import Processes, free_port, said_by

pytest.importorskip("grpc")
pytestmark = pytest.mark.slow  # it imports Optuna's server
SERVE = ("-m", "gansweep.engine.storage.serve")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["taken.journal", "--port", "99999"], "--port 99999 is no port. Use one from"),
        (["folder"], "cannot be written (Is a directory). Move that away, or serve another file"),
        (["study/below", "--port", "1"], "Move away the file in the place of a directory"),
        (["a.journal", "--host", "no.such.invalid"], "no address of this host. Use another --port"),
    ],
)
def test_what_cannot_be_served_is_reported_in_one_line(
    tmp_path: Path, processes: Processes, words: list[str], said: str
) -> None:
    (tmp_path / "study").write_text("")
    (tmp_path / "folder").mkdir()
    refused = processes(*SERVE, *words, cwd=tmp_path)
    out, error = said_by(refused)
    assert refused.returncode == 2
    assert said in error and error.count("\n") == 1 and not out


def test_port_that_is_taken_is_reported_in_one_line(tmp_path: Path, processes: Processes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        words = [*SERVE, str(tmp_path / "a"), "--host", "127.0.0.1", "--port", port]
        _, error = said_by(processes(*words))
    assert "something listens there already" in error and error.count("\n") == 1


def test_proxy_for_other_hosts_makes_its_folder_and_says_by_which_name_it_is_reached(
    tmp_path: Path, processes: Processes
) -> None:
    port = free_port()
    words = [*SERVE, "runs/all.journal", "--host", "0.0.0.0", "--port", str(port)]
    server = processes(*words, cwd=tmp_path)
    assert server.stdout is not None
    assert f"storage=grpc://{socket.gethostname()}:{port}" in server.stdout.readline()
    assert (tmp_path / "runs" / "all.journal").exists()
    server.send_signal(signal.SIGINT)
    said_by(server)
    assert server.returncode == 0
