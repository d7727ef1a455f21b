"""The report's page in a browser: what it shows, what went wrong, how long things take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, CDPSession, Page
from processes import Patience

PATIENCE = 20.0  # seconds; on a busy machine the first figure takes several


class OpenPage:
    """A page that was opened from its file, or from the address of a server.

    problems: errors of the console, and requests of anything else.
    """

    def __init__(
        self,
        browser: Browser,
        place: Path | str,
        width: int = 1280,
        scheme: str = "light",
        touch: bool = False,
    ) -> None:
        self.problems: list[str] = []
        self._session: CDPSession | None = None
        address = place if isinstance(place, str) else place.as_uri()
        self.own = place if isinstance(place, str) else "file:"
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            accept_downloads=True,
            has_touch=touch,
        )
        self.page: Page = self.context.new_page()
        self.page.on(
            "console",
            lambda m: self.problems.append(m.text) if m.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._check(request.url))
        self.page.goto(address)
        self.until("document.documentElement.dataset.started === 'yes'")

    def _check(self, url: str) -> None:
        if not url.startswith((self.own, "data:", "blob:")):
            self.problems.append(f"request of {url}")

    def until(self, condition: str, patience: float = PATIENCE) -> None:
        """Wait for a condition in JavaScript. The page's policy forbids `wait_for_function`."""
        left = Patience(patience)
        while not self.page.evaluate(condition):
            assert not left.ended(), f"never: {condition}; {self.problems}"
            time.sleep(0.02)

    def show(self, section: str) -> None:
        """Scroll to a section and wait until it is drawn."""
        self.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        self.until(f"document.getElementById('{section}').classList.contains('drawn')")

    def spent(self) -> float:
        """Milliseconds that the page's thread has worked: the machine may be busy with others."""
        if self._session is None:
            self._session = self.context.new_cdp_session(self.page)
            self._session.send("Performance.enable", {"timeDomain": "threadTicks"})
        metrics = self._session.send("Performance.getMetrics")["metrics"]
        return float(next(1000 * m["value"] for m in metrics if m["name"] == "ThreadTime"))

    def least_spent(self, idle: str, enough: float, **changes: Any) -> float:
        """The same for a change of the state, until a condition holds: the least of three tries,
        while it is not below `enough`. Others on the machine make work longer, never shorter.
        """
        kept = self.page.evaluate("keys => keys.map(gansweep.state.get)", [*changes])
        least = float("inf")
        for _ in range(3):
            before = self.spent()
            self.set(**changes)
            self.until(idle)
            least = min(least, self.spent() - before)
            if least < enough:
                break
            self.set(**dict(zip(changes, kept, strict=True)))
            self.until(idle)
        return least

    def set(self, **changes: Any) -> None:
        """Change the state, and wait until every section in view has followed."""
        self.page.evaluate("changes => { gansweep.state.set(changes); }", changes)
        self.settle()

    def settle(self) -> None:
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 60)))"
        )

    def fingers(
        self, *ways: tuple[tuple[float, float], tuple[float, float]], steps: int = 5
    ) -> None:
        """Move one finger for each way, from its first point to its second, then lift them.

        They are events of a screen: the browser may take them for a scroll.
        """
        session = self.context.new_cdp_session(self.page)

        def send(kind: str, share: float) -> None:
            points = [
                {"x": a + share * (c - a), "y": b + share * (d - b), "id": number}
                for number, ((a, b), (c, d)) in enumerate(ways)
            ]
            touched = [] if kind == "touchEnd" else points
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})

        send("touchStart", 0.0)
        for step in range(1, steps + 1):
            send("touchMove", step / steps)
        send("touchEnd", 1.0)
        session.detach()
        self.settle()

    @contextlib.contextmanager
    def phone(self) -> Iterator[None]:
        """As narrow as a phone meanwhile."""
        before = self.page.viewport_size
        assert before is not None
        self.page.set_viewport_size({"width": 360, "height": 900})
        self.settle()
        yield
        self.page.set_viewport_size(before)
        self.settle()

    def hindrances(
        self,
        within: str | None = None,
        impacts: Sequence[str] = ("serious", "critical"),
        rules: Sequence[str] = (),
    ) -> list[str]:
        """What axe-core finds on the page as it is, or in a part of it.   rules: these alone."""
        from axe_playwright_python.sync_playwright import Axe

        options = {"runOnly": [*rules]} if rules else {}
        found = Axe().run(self.page, context=within, options=options).response["violations"]
        return [
            f"{one['id']}: {one['help']}: {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in impacts
        ]

    def close(self) -> None:
        self.context.close()
