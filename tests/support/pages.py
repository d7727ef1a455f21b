"""The report's page in a browser: what it shows, what went wrong, how long things take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page

PATIENCE = 20.0  # seconds; on a busy machine the first figure takes several


class OpenPage:
    """A page that was opened from its file, or from the address of a server.

    problems: errors of the console, and requests of anything else.
    """

    def __init__(
        self, browser: Browser, place: Path | str, width: int = 1280, scheme: str = "light"
    ) -> None:
        self.problems: list[str] = []
        address = place if isinstance(place, str) else place.as_uri()
        self.own = place if isinstance(place, str) else "file:"
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme=scheme,  # type: ignore[arg-type]
            reduced_motion="reduce",
            accept_downloads=True,
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
        end = time.monotonic() + patience
        while not self.page.evaluate(condition):
            assert time.monotonic() < end, f"never: {condition}; {self.problems}"
            time.sleep(0.02)

    def show(self, section: str) -> None:
        """Scroll to a section and wait until it is drawn."""
        self.page.evaluate(f"document.getElementById('{section}').scrollIntoView()")
        self.until(f"document.getElementById('{section}').classList.contains('drawn')")

    def set(self, **changes: Any) -> None:
        """Change the state, and wait until every section in view has followed."""
        self.page.evaluate("changes => { gansweep.state.set(changes); }", changes)
        self.settle()

    def settle(self) -> None:
        self.page.evaluate(
            "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 60)))"
        )

    def close(self) -> None:
        self.context.close()
