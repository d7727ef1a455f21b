"""Pushed events: in order, once, and within a limit of memory."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from gansweep.report.live import feed
from gansweep.report.live.feed import Feed

Result = TypeVar("Result")


def finished(work: Coroutine[Any, Any, Result]) -> Result:
    """The result, from a thread: the tests of the browser keep a loop in the main one."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


async def numbers(stream: AsyncIterator[str], count: int) -> list[str]:
    found: list[str] = []
    async for text in stream:
        if text.startswith("id:"):
            found.append(text.split("\n")[0] + " " + text.split("\n")[1].removeprefix("event: "))
        if len(found) == count:
            break
    return found


def test_a_page_gets_what_came_after_the_number_that_it_knows() -> None:
    async def run() -> list[str]:
        events = Feed()
        for place in range(4):
            events.add("rows", {"place": place})
        return await numbers(events.after(2), 2)

    assert finished(run()) == ["id: 3 rows", "id: 4 rows"]


def test_events_are_pushed_to_pages_that_wait() -> None:
    async def run() -> list[list[str]]:
        events = Feed()
        pages = [asyncio.ensure_future(numbers(events.after(0), 3)) for _ in range(2)]
        for place in range(3):
            await asyncio.sleep(0)
            events.add("rows", place)
        return await asyncio.gather(*pages)

    assert finished(run()) == [["id: 1 rows", "id: 2 rows", "id: 3 rows"]] * 2


def test_memory_stays_within_the_limit_and_a_late_page_asks_again() -> None:
    async def run() -> list[str]:
        events = Feed(most_bytes=10_000)
        for place in range(10_000):
            events.add("rows", {"place": place, "values": [0.5] * 10})
        assert sum(len(text) for _, text in events._kept) <= 10_000
        stream = events.after(5)
        first = await numbers(stream, 1)
        events.add("rows", {})
        return first + await numbers(stream, 1)

    assert finished(run()) == ["id: 10000 again", "id: 10001 rows"]


def test_a_number_of_another_server_is_answered_by_asking_again() -> None:
    async def run() -> list[str]:
        events = Feed()
        events.add("rows", {})
        return await numbers(events.after(99), 1)

    assert finished(run()) == ["id: 1 again"]


def test_the_end_ends_every_stream_at_once() -> None:
    async def run() -> int:
        events = Feed()
        pages = [asyncio.ensure_future(numbers(events.after(0), 99)) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert events.readers == 3
        events.end()
        await asyncio.wait_for(asyncio.gather(*pages), 1)
        return events.readers

    assert finished(run()) == 0


def test_a_quiet_stream_says_that_it_is_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "ALIVE_SECONDS", 0.01)

    async def run() -> list[str]:
        stream = Feed().after(0)
        return [await stream.__anext__() for _ in range(2)]

    assert finished(run()) == ["retry: 1000\n\n", ": alive\n\n"]
