"""Who may ask a server of this machine: whoever has its token, for its own host, from its own page.

Every address starts with a random token. A request without it, or for another host, is refused.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection

import uvicorn
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READING = ("GET", "HEAD")
REFUSED = "Refused. Open the whole address that `gansweep ui` has printed.\n"


class Guard:
    """Answers through an application, with strict headers; refuses all others with 403.

    port: of the addresses 127.0.0.1 and localhost, which are answered.   policy: what the page may
    load and run, as a Content-Security-Policy.   methods: of HTTP; by default those that read.
    """

    def __init__(
        self,
        inner: ASGIApp,
        token: str,
        port: int,
        policy: str,
        methods: Collection[str] = READING,
    ) -> None:
        self.inner, self.token, self.methods = inner, token.encode(), methods
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        self.headers = {
            "content-security-policy": f"{policy}; frame-ancestors 'none'",
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-store",
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if not self._allows(scope):
            await PlainTextResponse(REFUSED, 403)(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(k.encode(), v.encode()) for k, v in self.headers.items()]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.inner(scope, receive, guarded)

    def _allows(self, scope: Scope) -> bool:
        first = scope["path"].split("/")[1].encode(errors="replace")
        known = hmac.compare_digest(first, self.token)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        own = origin is None or origin.removeprefix("http://") in self.hosts
        answered = headers.get("host") in self.hosts and scope["method"] in self.methods
        return known and own and answered


def quiet(application: ASGIApp) -> uvicorn.Config:
    """Settings of a server that logs nothing, names itself in no header, and ends within 1 s."""
    return uvicorn.Config(
        application, log_config=None, access_log=False, server_header=False, lifespan="off",
        ws="none", timeout_graceful_shutdown=1,
    )  # fmt: skip
