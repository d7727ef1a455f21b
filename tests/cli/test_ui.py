"""`gansweep ui`: who may read the page, what is served, how it starts and ends."""

import contextlib
import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live_servers import PATIENCE, LiveServer
from report_records import FID, lively_run, sample_grid, write_run
from sweep_processes import made, words_of_a_sweep

from gansweep.cli import live_page, ui
from gansweep.cli.main import main
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings

HOSTILE = '<img src=x onerror="alert(1)"></script>\u202e'
QUICK_SECONDS = 0.5  # within which the address is printed
BUSY = 4  # times as long where the machine has other work


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("runs")
    record = lively_run(top / "digits" / "gan-0", "gan", 0, kimg=20)
    (record.samples / "000030000.webp").symlink_to("/etc/hostname")
    (record.samples / "000040000.webp").write_bytes(b"no picture")
    (record.samples / "notes.txt").write_text("private")
    write_run(top / "digits" / HOSTILE.replace("/", "_"), config={"name": HOSTILE}, reason=HOSTILE)
    (top / "digits" / "damaged").mkdir()
    (top / "digits" / "damaged" / "config.yaml").write_bytes(b"\xff{{")
    (top / "digits" / "damaged" / "result.json").write_text('{"status": ')
    (top / "foreign").mkdir()
    (top / "foreign" / "config.yaml").write_text("- of another program\n")
    (top / "foreign" / "history.jsonl").mkdir()
    return top


@pytest.fixture(scope="module")
def server(runs: Path) -> Iterator[LiveServer]:
    started = LiveServer(runs)
    yield started
    assert started.end() < 2 * BUSY


def payload(server: LiveServer) -> dict[str, Any]:
    """The newest payload with runs in it."""
    end = time.monotonic() + PATIENCE
    while True:
        status, body, _ = server.ask(f"{server.path}payload")
        found: dict[str, Any] = json.loads(gzip.decompress(body)) if status == 200 else {}
        if found.get("boards"):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def ids(server: LiveServer) -> dict[str, str]:
    return {
        Path(run["directory"]).name: run["id"]
        for board in payload(server)["boards"]
        for run in board["runs"]
    }


def test_the_page_is_served_with_its_policy(server: LiveServer) -> None:
    status, body, headers = server.ask(server.path)
    assert status == 200
    assert b"<!doctype html>" in gzip.decompress(body)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "connect-src 'self'" in policy
    assert "unsafe-eval" not in policy and "script-src 'sha256-" in policy
    assert policy.count("frame-ancestors 'none'") == 1
    assert headers["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("path", ["/", "/payload", "/x/", "/x/payload", "//", "/%00"])
def test_without_the_token_all_is_refused(server: LiveServer, path: str) -> None:
    assert server.ask(path)[0] == 403


def test_a_part_of_the_token_is_refused(server: LiveServer) -> None:
    assert server.ask(server.path[:-2] + "/")[0] == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_foreign_host_is_refused(server: LiveServer, host: str) -> None:
    assert server.ask(server.path, Host=host)[0] == 403


def test_another_page_is_refused(server: LiveServer) -> None:
    assert server.ask(server.path, Origin="http://evil.example")[0] == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_changed(server: LiveServer, method: str) -> None:
    assert server.ask(server.path, method)[0] == 403


def test_every_run_is_listed_the_damaged_one_with_a_reason(server: LiveServer) -> None:
    found = {run["name"]: run for board in payload(server)["boards"] for run in board["runs"]}
    assert len(found) == 4
    assert found["digits/damaged"]["status"] == "damaged"
    assert "result.json" in found["digits/damaged"]["reason"]


def test_hostile_names_are_text(server: LiveServer) -> None:
    payload(server)
    page = gzip.decompress(server.ask(server.path)[1]).decode()
    assert "<img src=x" not in page
    assert "\u202e" not in page


def test_a_sheet_of_a_listed_run_is_served(server: LiveServer, runs: Path) -> None:
    run = ids(server)["gan-0"]
    status, body, headers = server.ask(f"{server.path}sheets/{run}/samples/000020000.webp")
    assert (status, headers["Content-Type"]) == (200, "image/webp")
    assert body == (runs / "digits" / "gan-0" / "samples" / "000020000.webp").read_bytes()


@pytest.mark.parametrize(
    "rest",
    [
        "samples/../../config.yaml",
        "samples/..%2f..%2fconfig.yaml",
        "samples/%2e%2e/%2e%2e/config.yaml",
        "checkpoints/last.pt",
        "samples/notes.txt",
        "samples/000030000.webp",  # a link to elsewhere
        "samples/000040000.webp",  # no picture
        "samples/000099000.webp",  # absent
        "samples//etc/hostname",
        "samples/000020000.webp%00",
    ],
)
def test_no_other_file_is_served(server: LiveServer, rest: str) -> None:
    run = ids(server)["gan-0"]
    assert server.ask(f"{server.path}sheets/{run}/{rest}")[0] == 404


@pytest.mark.parametrize(
    "rest",
    ["block/1/..%2fpayload.json", "block/1/payload.json", "block/9999/curves-b1", "block/-1/x"],
)
def test_only_blocks_of_builds_are_served(server: LiveServer, rest: str) -> None:
    assert server.ask(f"{server.path}{rest}")[0] == 404


@contextlib.contextmanager
def stream(server: LiveServer, since: int) -> Iterator[http.client.HTTPResponse]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request("GET", f"{server.path}events?since={since}")
    with contextlib.closing(connection):
        yield connection.getresponse()


def next_event(answer: http.client.HTTPResponse, kind: str) -> Any:
    """The content of the next event of this kind."""
    name, end = "", time.monotonic() + PATIENCE
    for line in iter(answer.readline, b""):
        assert time.monotonic() < end, f"no event {kind}"
        word, _, rest = line.decode().strip().partition(": ")
        name = rest if word == "event" else name
        if word == "data" and name == kind:
            return json.loads(rest)
    raise AssertionError("the stream has ended")


def test_a_row_is_pushed_as_it_is_written(server: LiveServer, runs: Path) -> None:
    since = payload(server)["seq"]
    record = RunRecord(runs / "digits" / "gan-0")
    with stream(server, since) as answer:
        assert answer.status == 200
        took: list[float] = []
        while len(took) < 3 and min(took, default=2 * BUSY) >= 2 * BUSY:
            row = {"kimg": 61.0 + len(took), "loss/generator": 0.5}
            record.append({**row, "mode_counts": [1, 2], "note": "n"})
            started = time.monotonic()
            found = next_event(answer, "rows")
            took.append(time.monotonic() - started)
            assert found == {str(record.directory): {"rows": [row], "restarted": False}}
        assert min(took) < 2 * BUSY, "the least: others on the machine make it longer"


def children(process: int) -> list[int]:
    return [
        int(word) for word in Path(f"/proc/{process}/task/{process}/children").read_text().split()
    ]


def is_there(process: int) -> bool:
    with contextlib.suppress(OSError):
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    return False


def test_a_builder_that_dies_is_replaced(tmp_path: Path) -> None:
    write_run(tmp_path / "digits" / "a")
    started = LiveServer(tmp_path)
    try:
        with stream(started, payload(started)["seq"]) as answer:
            (builder,) = children(started.process.pid)
            os.kill(builder, signal.SIGKILL)
            write_run(tmp_path / "digits" / "b", seed=1)
            while {*ids(started)} != {"a", "b"}:
                next_event(answer, "build")
    finally:
        started.end()


def test_a_server_that_is_killed_leaves_nothing_behind(tmp_path: Path) -> None:
    write_run(tmp_path / "digits" / "a")
    started = LiveServer(tmp_path)
    payload(started)
    (builder,) = children(started.process.pid)
    folder = Path(f"/proc/{builder}/cmdline").read_text().split("\0")[3]
    assert Path(folder).is_dir()
    started.process.kill()
    started.process.wait()
    assert started.process.stdout is not None
    started.process.stdout.close()
    end = time.monotonic() + PATIENCE
    while is_there(builder) or Path(folder).exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_first_run_appears_where_there_was_none(tmp_path: Path) -> None:
    started = LiveServer(cwd=tmp_path)
    try:
        with stream(started, 0) as answer:
            while next_event(answer, "build")["build"] < 1:  # the first build is empty
                pass
        _, body, _ = started.ask(f"{started.path}payload")
        assert "runs does not exist" in json.loads(gzip.decompress(body))["problems"][0]
        with stream(started, 0) as answer:
            record = write_run(tmp_path / "runs" / "digits" / "a", scores={FID: [3.0]})
            sample_grid(record.samples / "000001000.webp", 0, 0.1)
            next_event(answer, "build")
            assert payload(started)["boards"][0]["runs"][0]["name"] == "digits/a"
    finally:
        assert started.end(signal.SIGTERM) < 2 * BUSY


def test_the_address_is_printed_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    """The time that Python and the package need to start is in it, so the least of three counts."""
    write_run(tmp_path / "digits" / "a")
    seconds = []
    for _ in range(3):
        began = time.monotonic()
        started = LiveServer(tmp_path)
        seconds.append(time.monotonic() - began)
        started.end()
    assert min(seconds) < QUICK_SECONDS * BUSY


def test_the_server_needs_no_training_stack() -> None:
    code = (
        "import sys, gansweep.report.live.server, gansweep.report.live.build, gansweep.cli.ui\n"
        "print(*({'torch', 'pytorch_lightning', 'wandb', 'sklearn'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


# ---- mistakes


def test_a_taken_port_is_a_sentence_with_the_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["ui", str(tmp_path), "--port", str(port)]) == 2
    assert capsys.readouterr().err == (
        f"gansweep: The port {port} cannot be used: another program uses it. Give another --port, "
        "or leave it out for a free one.\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["--port", "70000"], "1 to 65535"),
        (["--port", "x"], "invalid int value"),
        (["--optuna"], "takes the directory of one sweep"),
        (["--open"], "has no flag"),
    ],
)
def test_mistakes_are_refused(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=message):
        ui.main(words)


# ---- beside a sweep


def test_the_page_of_a_sweep_lives_as_long_as_the_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "t0000")
    with live_page.live_page(tmp_path):
        address = capsys.readouterr().out.split()[-1]
        port = int(address.split(":")[2].split("/")[0])
        socket.create_connection(("127.0.0.1", port), 5).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def test_a_sweep_prints_the_address_and_records_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = Settings.load(made(words_of_a_sweep(tmp_path, name="s")))
    capsys.readouterr()
    again = Settings.load(made(words_of_a_sweep(tmp_path, "ui=true", name="s")))
    assert "Live at http://127.0.0.1:" in capsys.readouterr().out
    assert again == plain


def test_a_sweep_of_another_engine_has_no_page_of_ours(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave ui= out"):
        made(words_of_a_sweep(tmp_path, "ui=true", "engine=wandb"))


def test_a_sweep_that_is_not_waited_for_has_no_page_beside_it(tmp_path: Path) -> None:
    words = words_of_a_sweep(tmp_path, "ui=true", "launcher=slurm", "launcher.wait=false", name="s")
    with pytest.raises(UserError, match=f"gansweep ui {tmp_path / 'runs' / 's'}"):
        made(words)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("/nowhere/python", "No such file or directory"),
        ("/bin/false", "its process has ended"),
    ],
)
def test_a_page_that_fails_is_one_line(
    program: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(live_page.sys, "executable", program)
    with live_page.live_page(tmp_path):
        pass
    assert capsys.readouterr().out == (
        f"There is no live page ({message}). The sweep runs without it.\n"
    )
