"""The page over HTTP on this machine: samples on request, uploads of one picture at a time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gansweep.errors import UserError
from gansweep.inference.opened import open_run
from gansweep.inference.play.drawing import Player
from gansweep.inference.play.page import page, policy
from gansweep.inference.request import Use
from gansweep.serving.guard import READING, Guard, quiet

MOST_BYTES = 50_000_000  # of an upload


def application(player: Player, token: str, port: int) -> ASGIApp:
    """port: that of the addresses which are answered."""
    turn = asyncio.Lock()  # the network has one state: its truncation

    async def made(work: Callable[[], Response]) -> Response:
        async with turn:
            try:
                return await asyncio.to_thread(work)
            except UserError as error:
                return PlainTextResponse(str(error), 400)

    async def home(request: Request) -> Response:
        return HTMLResponse(page(player.facts, player.opened.module))

    async def samples(request: Request) -> Response:
        asked = dict(request.query_params)
        return await made(lambda: Response(player.samples(asked), media_type="image/png"))

    async def translate(request: Request) -> Response:
        content = await _upload(request)
        way = "ba" if request.query_params.get("direction") == "ba" else "ab"
        if content is None or not player.facts.translates:
            return _refused()
        return await made(lambda: Response(player.translated(content, way), media_type="image/png"))

    async def detect(request: Request) -> Response:
        content = await _upload(request)
        if content is None or not player.facts.detects:
            return _refused()
        return await made(lambda: JSONResponse(player.detected(content)))

    routes = [
        Route(f"/{token}/", home),
        Route(f"/{token}/samples", samples),
        Route(f"/{token}/translate", translate, methods=["POST"]),
        Route(f"/{token}/detect", detect, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), token, port, policy(), (*READING, "POST"))


def _refused() -> Response:
    return PlainTextResponse("The picture is larger than 50 MB, or this run takes none.\n", 400)


async def _upload(request: Request) -> bytes | None:
    """The body; None where it is too large, of which the rest is not read."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MOST_BYTES:
            return None
    return bytes(content)


def serve(listening: socket.socket, use: Use, token: str) -> None:
    """Open the run and serve until a signal.   listening: a bound socket."""
    player = Player(open_run(use))
    app = application(player, token, listening.getsockname()[1])
    asyncio.run(uvicorn.Server(quiet(app)).serve(sockets=[listening]))
