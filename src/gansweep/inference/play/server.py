"""The page over HTTP on this machine: samples on request, uploads of one picture at a time.

Every address starts with a random token. A request without it, or for another host, is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import socket
from collections.abc import Callable

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gansweep.errors import UserError
from gansweep.inference.opened import open_run
from gansweep.inference.play.drawing import Player
from gansweep.inference.play.page import page, policy
from gansweep.inference.request import Use

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
    return Guard(Starlette(routes=routes), token, port)


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


class Guard:
    """Refuses requests without the token, for another host, or from another page."""

    def __init__(self, inner: ASGIApp, token: str, port: int) -> None:
        self.inner, self.token = inner, token.encode()
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.headers = {
            "content-security-policy": policy(),
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not self._allows(scope):
            answer = PlainTextResponse("Refused. Open the whole address that was printed.\n", 403)
            await answer(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(k.encode(), v.encode()) for k, v in self.headers.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.inner(scope, receive, guarded)

    def _allows(self, scope: Scope) -> bool:
        first = scope["path"].split("/")[1].encode(errors="replace")
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        own = origin is None or origin.removeprefix("http://") in self.hosts
        known = hmac.compare_digest(first, self.token)
        return known and own and headers.get("host") in self.hosts


def serve(listening: socket.socket, use: Use, token: str) -> None:
    """Open the run and serve until a signal.   listening: a bound socket."""
    player = Player(open_run(use))
    app = application(player, token, listening.getsockname()[1])
    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="off", ws="none",
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
