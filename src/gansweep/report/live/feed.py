"""What is pushed to the open pages: the newest events, kept within a limit."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

MOST_BYTES = 1_000_000  # of the events that are kept for a page that was away
ALIVE_SECONDS = 15.0  # without an event, a comment shows that the server is there


class Feed:
    """Numbered events. Each page reads them from the number it knows; none has its own queue."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.newest = 0
        self.readers = 0
        self.ended = False
        self._most = most_bytes
        self._kept: deque[tuple[int, str]] = deque()
        self._bytes = 0
        self._news = asyncio.Event()

    def add(self, kind: str, content: Any) -> None:
        """Push an event: a kind that the page's script knows, and JSON."""
        self.newest += 1
        text = f"id: {self.newest}\nevent: {kind}\ndata: {json.dumps(content)}\n\n"
        self._kept.append((self.newest, text))
        self._bytes += len(text)
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= len(self._kept.popleft()[1])
        self._wake()

    def end(self) -> None:
        """End every stream at once: an open one would keep the server alive."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def after(self, number: int) -> AsyncIterator[str]:
        """The events after this number, as lines of a stream of server-sent events.

        A page that was away too long is told to ask for everything again.
        """
        self.readers += 1
        try:
            yield "retry: 1000\n\n"
            while not self.ended:
                news = self._news
                if number > self.newest or (self._kept and number < self._kept[0][0] - 1):
                    number = self.newest
                    yield f"id: {number}\nevent: again\ndata: {{}}\n\n"
                for place, text in list(self._kept):
                    if place > number:
                        number = place
                        yield text
                if news.is_set():
                    continue
                try:
                    await asyncio.wait_for(news.wait(), ALIVE_SECONDS)
                except asyncio.TimeoutError:
                    yield ": alive\n\n"
        finally:
            self.readers -= 1
