"""The page of `gansweep ui --play` in Chromium: every control does what it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pages import OpenPage
from PIL import Image
from play_servers import served
from playwright.sync_api import Browser
from tiny_runs import TinyRuns

pytestmark = pytest.mark.browser
DRAWN = "document.querySelector('figure:not([hidden])[aria-busy=false] img') !== null"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> TinyRuns:
    return TinyRuns(tmp_path_factory.mktemp("runs"))


@contextmanager
def opened(browser: Browser, run: Path, **look: str) -> Iterator[OpenPage]:
    """The page of a run; in the end nothing went wrong on it."""
    with served(run) as address:
        page = OpenPage(browser, address, **look)  # type: ignore[arg-type]
        yield page
        assert page.problems == []
        page.close()


def shown(page: OpenPage, name: str = "sheet") -> str:
    """The pixels of a picture, once it is there."""
    page.until(DRAWN)
    text = page.page.evaluate(
        """(name) => {
            const image = document.getElementById(name);
            const canvas = document.createElement("canvas");
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext("2d").drawImage(image, 0, 0);
            return canvas.toDataURL();
        }""",
        name,
    )
    return str(text)


def changed(page: OpenPage, key: str, value: str, name: str = "sheet") -> str:
    """The pixels after a control got another value and the picture followed."""
    before = page.page.evaluate("name => document.getElementById(name).src", name)
    control = page.page.locator(f"[name={key}], #{key}")
    if control.evaluate("(one) => one.tagName") == "SELECT":
        control.select_option(value)
    else:
        control.fill(value)
    page.until(f"document.getElementById('{name}').src !== '{before}'")
    return shown(page, name)


def test_sliders_classes_and_seeds_change_the_samples(browser: Browser, runs: TinyRuns) -> None:
    with opened(browser, runs / "cgan") as page:
        first = shown(page)
        moved = changed(page, "d0", "6")
        assert page.page.inner_text("label:has([name=d0]) output") == "6.0"
        page.page.click("#reset")
        page.until("document.querySelector('label:has([name=d0]) output').value === '0.0'")
        of_class = changed(page, "label", "7")
        assert changed(page, "label", "") == first  # as trained, and the slider is back
        assert len({first, moved, of_class, changed(page, "seed", "5")}) == 4
        assert page.hindrances() == []
        page.page.fill("[name=n]", "100")
        page.until("document.getElementById('problem').textContent.includes('up to 64')")
        page.problems.clear()  # the browser reports the refused request


def test_truncation_is_taken_back_when_its_field_is_cleared(
    browser: Browser, runs: TinyRuns
) -> None:
    with opened(browser, runs / "styled", scheme="dark") as page:
        first = shown(page)
        assert changed(page, "truncation", "0.1") != first
        assert changed(page, "truncation", "") == first
        assert page.hindrances() == []


def test_a_picture_goes_either_way_and_is_judged(
    browser: Browser, runs: TinyRuns, tmp_path: Path
) -> None:
    Image.linear_gradient("L").save(tmp_path / "mine.png")
    with opened(browser, runs / "cyclegan") as page:
        assert page.page.is_hidden("figure")
        page.page.set_input_files("#file", tmp_path / "mine.png")
        there = shown(page, "made")
        assert changed(page, "way", "ba", "made") != there
    with opened(browser, runs / "anomaly") as page:
        page.page.set_input_files("#file", tmp_path / "mine.png")
        page.until("/(strange|normal): score/.test(document.getElementById('verdict').innerText)")
        (tmp_path / "bad.png").write_bytes(b"no picture")
        page.page.set_input_files("#file", tmp_path / "bad.png")
        page.until("document.getElementById('problem').textContent.includes('cannot be read')")
        page.problems.clear()


def test_on_a_phone_the_picture_stays_in_sight_while_the_last_slider_moves(
    browser: Browser, runs: TinyRuns
) -> None:
    with opened(browser, runs / "cgan") as page, page.phone():
        shown(page)
        assert page.page.evaluate("document.documentElement.scrollWidth") == 360
        page.page.locator("[name=d7]").scroll_into_view_if_needed()
        picture = page.page.locator("#sheet").bounding_box()
        slider = page.page.locator("[name=d7]").bounding_box()
        assert picture is not None and slider is not None
        assert picture["y"] >= 0 and picture["y"] + picture["height"] <= slider["y"]
