"""The board over HTTP on this machine, read-only: the page, its data, sheets, and pushed rows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from gansweep.records.record import content_of
from gansweep.records.sheets import media_type
from gansweep.report.live.build import LIBRARIES
from gansweep.report.live.feed import Feed
from gansweep.report.live.watch import Changes, Watch
from gansweep.report.page.document import page_policy
from gansweep.report.page.pictures import SHEET_FILE
from gansweep.serving.guard import Guard, quiet
from gansweep.signals import stop_signals

POLL_SECONDS = 0.5
BUILD_SECONDS = 1.5  # from one build to the next, where more than curves has changed
CURVES_SECONDS = 20.0  # where only curves have: their rows are pushed
BUILD_SHARE = 4  # a build may take one part in so many of the time
ROWS_IN_EVENT = 500
KINDS = ("samples", "neighbours")
BLOCK = re.compile(r"[a-z0-9-]{1,80}")
FAILED_BUILD = "The page cannot be made: the process that makes it ended. It is started again."


class Live:
    """The runs at or below some paths, kept for the pages that are open.

    metric: the score that ranks; None: chosen.   folder: where builds are written; it is removed.
    """

    def __init__(self, paths: Sequence[Path], metric: str | None, folder: Path) -> None:
        self.feed = Feed()
        self.watch = Watch(paths)
        self.folder = folder
        self.build: int | None = None
        self.directories: dict[str, Path] = {}  # of the runs that the newest build shows, by id
        self._command = [sys.executable, "-m", "gansweep.report.live.build", str(folder)]
        self._command += [metric or "", *map(str, paths)]
        self._builder: asyncio.subprocess.Process | None = None
        self._stale = {"others", "curves"}
        self._asked = asyncio.Event()
        self._first = asyncio.Event()

    async def run(self) -> None:
        """Watch and build until the feed ends."""
        tasks = [asyncio.ensure_future(self._watch()), asyncio.ensure_future(self._build())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            if self._builder is not None:
                with contextlib.suppress(ProcessLookupError):
                    self._builder.kill()

    async def newest(self, file: str) -> Path:
        """A file of the newest build; the first build is an empty one."""
        self._asked.set()
        await self._first.wait()
        return self.folder / str(self.build) / f"{file}.gz"

    def ask(self) -> None:
        """Somebody looks: build, if something has changed."""
        self._asked.set()

    # ---- watching

    async def _watch(self) -> None:
        while not self.feed.ended:
            try:
                self._push(await asyncio.to_thread(self.watch.look))
            except OSError as error:  # out of file handles, say
                self.feed.add("problems", [f"The runs cannot be read: {error.strerror}."])
            await asyncio.sleep(POLL_SECONDS)

    def _push(self, changes: Changes) -> None:
        if changes.others:
            self._stale |= {"others"}
        event: dict[str, Any] = {}
        count = 0
        for directory, added in changes.rows.items():
            self._stale |= {"curves"}
            rows = [_numbers(row) for row in added.rows]
            for start in range(0, max(1, len(rows)), ROWS_IN_EVENT):
                part = rows[start : start + ROWS_IN_EVENT]
                event[directory] = {"rows": part, "restarted": added.restarted and start == 0}
                count += len(part)
                if count >= ROWS_IN_EVENT:
                    self.feed.add("rows", event)
                    event, count = {}, 0
        if event:
            self.feed.add("rows", event)

    # ---- building

    async def _build(self) -> None:
        """Build at the start, then again while somebody looks and something has changed."""
        number, spent, ended, at_once = 0, 0.0, 0.0, True
        while not self.feed.ended:
            age = time.monotonic() - ended
            wait = CURVES_SECONDS if self._stale == {"curves"} else BUILD_SECONDS
            due = self._stale and age > max(wait, BUILD_SHARE * spent)
            looked_at = self.feed.readers > 0 or self._asked.is_set()
            if not at_once and not (due and looked_at):
                await asyncio.sleep(0.1)
                continue
            if number:
                self._asked.clear()
                self._stale = set()
            answer = await self._made(
                {
                    **{"build": number, "seq": self.feed.newest},
                    **{"empty": number == 0, "first": number == 1},
                }
            )
            spent, ended = answer["seconds"], time.monotonic()
            at_once = number == 0 or answer.get("partial", False)
            if "runs" in answer:
                self.directories = {key: Path(path) for key, path in answer["runs"].items()}
                self.build = number
                self._first.set()
                self.feed.add("build", {"build": number})
            else:
                self.feed.add("problems", answer["problems"])
            number += 1

    async def _made(self, wanted: dict[str, Any]) -> dict[str, Any]:
        """The builder's answer; it is started where it does not run."""
        failed = {"problems": [FAILED_BUILD], "seconds": BUILD_SECONDS}
        if self._builder is None or self._builder.returncode is not None:
            self._builder = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for the server
                limit=1 << 26,
            )
        assert self._builder.stdin is not None and self._builder.stdout is not None
        try:
            self._builder.stdin.write(json.dumps(wanted).encode() + b"\n")
            await self._builder.stdin.drain()
            line = await self._builder.stdout.readline()
            found: dict[str, Any] = json.loads(line)
            return found
        except (OSError, ValueError):
            with contextlib.suppress(ProcessLookupError):
                self._builder.kill()
            await self._builder.wait()
            self._stale |= {"others"}  # what it should have read is to be read again
            return failed


def _numbers(row: dict[str, Any]) -> dict[str, Any]:
    """The numbers of a row: what curves are drawn from."""
    return {key: value for key, value in row.items() if isinstance(value, (int, float))}


# ---- the answers


def application(live: Live, token: str, port: int) -> ASGIApp:
    """What answers requests at http://127.0.0.1:PORT/TOKEN/."""

    async def page(request: Request) -> Response:
        return _file(await live.newest("page.html"), "text/html; charset=utf-8")

    async def payload(request: Request) -> Response:
        return _file(await live.newest("payload.json"), "application/json")

    async def block(request: Request) -> Response:
        build, name = request.path_params["build"], request.path_params["name"]
        if not BLOCK.fullmatch(name):
            return _absent()
        found = live.folder / LIBRARIES / f"{name}.gz"
        path = found if found.exists() else live.folder / str(build) / f"{name}.gz"
        return _file(path, "application/octet-stream")

    async def sheet(request: Request) -> Response:
        parts = request.path_params
        directory = live.directories.get(parts["run"])
        named = parts["kind"] in KINDS and SHEET_FILE.fullmatch(parts["file"])
        if directory is None or not named:
            return _absent()
        return await asyncio.to_thread(_sheet, directory, parts["kind"], parts["file"])

    async def events(request: Request) -> Response:
        last = request.headers.get("last-event-id") or request.query_params.get("since") or ""
        since = int(last) if re.fullmatch("[0-9]{1,15}", last) else live.feed.newest
        live.ask()
        return StreamingResponse(live.feed.after(since), media_type="text/event-stream")

    async def without_slash(request: Request) -> Response:
        return RedirectResponse(f"/{token}/")

    routes = [
        Route(f"/{token}", without_slash),
        Route(f"/{token}/", page),
        Route(f"/{token}/payload", payload),
        Route(f"/{token}/block/{{build:int}}/{{name}}", block),
        Route(f"/{token}/sheets/{{run}}/{{kind}}/{{file}}", sheet),
        Route(f"/{token}/events", events),
    ]
    return Guard(Starlette(routes=routes), token, port, page_policy(True))


def _absent() -> Response:
    return PlainTextResponse("There is no such file.\n", 404)


def _file(path: Path, kind: str) -> Response:
    """path: of a file that gzip has compressed."""
    try:
        content = path.read_bytes()
    except OSError:
        return _absent()
    return Response(content, media_type=kind, headers={"Content-Encoding": "gzip"})


def _sheet(directory: Path, kind: str, file: str) -> Response:
    """A sheet, if it is a picture inside the directory: a link to elsewhere is not followed."""
    path = directory / kind / file
    try:
        if not path.resolve(strict=True).is_relative_to(directory.resolve()):
            return _absent()
        content = content_of(path)
    except (OSError, RuntimeError):
        return _absent()
    found = media_type(content)
    return _absent() if found is None else Response(content, media_type=found)


class _Server(uvicorn.Server):
    """Ends at the first signal, with the streams that are open."""

    live: Live

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in stop_signals()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stop()

    def stop(self) -> None:
        self.should_exit = True
        self.live.feed.end()


def serve(
    listening: socket.socket, paths: Sequence[Path], token: str, metric: str | None, attached: bool
) -> None:
    """Serve until a signal.

    listening: a bound socket.   attached: end also when the standard input ends, as it does with
    the process that has started this one.
    """
    with tempfile.TemporaryDirectory(prefix="gansweep-ui-", ignore_cleanup_errors=True) as folder:
        asyncio.run(_serve(listening, Live(paths, metric, Path(folder)), token, attached))


async def _serve(listening: socket.socket, live: Live, token: str, attached: bool) -> None:
    port = listening.getsockname()[1]
    server = _Server(quiet(application(live, token, port)))
    server.live = live
    if attached:
        loop = asyncio.get_running_loop()

        def closed() -> None:
            if not os.read(0, 1024):
                loop.remove_reader(0)
                server.stop()

        loop.add_reader(0, closed)
    working = asyncio.ensure_future(live.run())
    await server.serve(sockets=[listening])
    working.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await working
