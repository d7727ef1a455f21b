"""The board where features meet: a search with confirmations by a larger sample, a group's choice
among its settings, long and many names, several ends, and runs of several protocols beside it."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import OpenPage
from playwright.sync_api import Browser
from report_records import FID, protocol, write_run
from report_sweeps import BIG, write_confirmations, write_trial

from gansweep.report.page.page import write_report

pytestmark = pytest.mark.browser
LONG = "word" * 40
TRIALS = 60
ENDLESS = 9  # a trial that finished with no finite score
ENDS = {5: "diverged", 6: "collapsed", 7: "failed", 8: "pruned"}


@pytest.fixture(scope="module")
def opened(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    top = tmp_path_factory.mktemp("together")
    for number in range(TRIALS):
        status = ENDS.get(number, "finished")
        write_trial(
            top / "search",
            f"t{number:02d}",
            math.nan if number == ENDLESS else 20.0 + number,
            params={
                "augment": "ada" if number % 2 else "none",
                "words": [LONG, "short"][number % 2],
            },
            status=status,
            started=f"2026-01-01T10:{number % 60:02d}:00+00:00",
            ended=f"2026-01-01T10:{number % 60:02d}:50+00:00",
        )
    params = {"augment": "none", "words": LONG}
    write_confirmations(top / "search", "t00", [11.0, 12.0], score=BIG, params=params)
    for seed, n_fake in enumerate((2000, 2000, 4000)):
        write_run(
            top / "plain" / f"run-{seed}",
            seed=seed,
            scores={FID: [30.0, 10.0 * (seed + 1)]},
            protocols={FID: protocol("fid", "minimize", n_fake=n_fake)},
        )
    board = OpenPage(browser, write_report([top], top / "report.html"))
    yield board
    assert not board.problems
    board.close()


@pytest.fixture
def board(opened: OpenPage) -> OpenPage:
    """The board of the search, as it opens."""
    opened.set(board=None)
    opened.set(selected=None, filter="", scores=None, show=None)
    return opened


def figure(board: OpenPage, section: str, title: str) -> dict[str, Any]:
    """What a figure of a section would show now: its bars, or the ends of its lines, a note."""
    found: dict[str, Any] = board.page.evaluate(
        """async ([section, title]) => {
          const card = [...gansweep.figures.cards].find(
            one => one.title === title && one.element.closest("section")?.id === section);
          const { data, note, hover } = await card.compute(card);
          return { data, note, ends: hover && hover.lines.map(line => line.y.at(-1)) };
        }""",
        [section, title],
    )
    return found


def written(board: OpenPage, title: str, width: int) -> list[tuple[str, float, float, float]]:
    """The labels of a figure of the search, so wide: text, x, y, and the text's width."""
    found: list[tuple[str, float, float, float]] = board.page.evaluate(
        """async ([title, width]) => {
          const card = [...gansweep.figures.cards].find(one => one.title === title);
          const pen = document.createElement("canvas").getContext("2d");
          const said = [];
          pen.fillText = (text, x, y) => said.push([text, x, y, pen.measureText(text).width]);
          (await card.compute(card)).paint(pen, width, 380);
          return said;
        }""",
        [title, width],
    )
    return found


def test_settings_that_a_sweep_gave_filter_and_tell_two_runs_apart(board: OpenPage) -> None:
    board.show("leaderboard")
    where = board.page.get_by_label("Where", exact=True)
    where.fill("augment = ada and x ~ t0")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 5")
    assert board.page.locator("#filter-mistake").inner_text() == ""
    ids = board.page.evaluate("Object.fromEntries(gansweep.board.runs.map(r => [r.name, r.id]))")
    board.set(filter="", pair=[ids["search/t10"], ids["search/t11"]])
    board.show("pair")
    assert "augment\tnone\tada" in board.page.locator("#pair .versus").first.inner_text()


def test_the_objective_of_a_trial_is_the_score_that_ranks_trials(board: OpenPage) -> None:
    assert board.page.evaluate("gansweep.board.metric !== gansweep.board.trial_metric")
    found = board.page.evaluate(
        "[...gansweep.filter.chosenRuns(gansweep.board, 'objective < 21.5')]"
        ".map(id => gansweep.runs.get(id).name.split('/')[1]).sort()"
    )
    assert found == ["c-t00-s101", "c-t00-s102", "t00", "t01"]


def test_a_trial_that_finished_without_a_finite_score_says_so(board: OpenPage) -> None:
    board.show("leaderboard")
    board.page.get_by_label("Where", exact=True).fill("x = t09")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 1")
    assert "lost 1 seed" in board.page.locator("#leaderboard tbody tr[data-id]").inner_text()


def test_a_long_setting_leaves_room_for_the_other_columns(board: OpenPage) -> None:
    board.show("leaderboard")
    cell = board.page.locator("#leaderboard .setting", has_text="wordword").first
    place = cell.bounding_box()
    assert place and place["width"] <= 260 and cell.get_attribute("title") == LONG


def test_one_of_many_categories_is_selected_alone(board: OpenPage) -> None:
    board.show("search")
    form = board.page.locator("#search .controls").first
    form.locator("select").first.select_option(label="x")
    form.locator("select").nth(1).select_option(label="t20")
    form.get_by_role("button", name="Select").click()
    board.settle()
    names = board.page.evaluate("gansweep.selected().map(id => gansweep.rows.get(id).settings.x)")
    form.get_by_role("button", name="Clear", exact=True).click()
    assert names == ["t20"]


def test_labels_of_axes_stay_in_their_place_and_apart(board: OpenPage) -> None:
    board.show("search")
    labels = written(board, "All trials", width=900)
    # three settings and the outcome, 788 pixels from the first to the last
    assert all(x + width <= 900 and width <= 788 / 3 for _, x, _, width in labels)
    long = [text for text, *_ in labels if text.startswith("wordword")]
    assert long and all(text.endswith("…") for text in long)
    own = sorted(y for text, _, y, _ in labels if text[0] == "t" and text[1:].isdigit())
    assert len(own) > 10
    assert all(after - before >= 12 for before, after in zip(own, own[1:], strict=False))


def test_names_under_a_slice_are_cut_to_their_room(board: OpenPage) -> None:
    board.show("search")
    labels = written(board, "words", width=300)
    assert "short" in [text for text, *_ in labels]
    assert all(width < 150 for *_, width in labels)


def test_ends_of_one_colour_differ_in_the_timeline(board: OpenPage) -> None:
    board.show("search")
    bars = figure(board, "search", "Workers and trials")["data"]
    looks = {
        one["name"]: (one["marker"]["color"], one["marker"]["pattern"]["shape"]) for one in bars
    }
    assert {"finished", "diverged", "collapsed", "pruned"} <= looks.keys()
    assert len(set(looks.values())) == len(looks)


def test_no_curve_is_a_mean_over_several_protocols(board: OpenPage) -> None:
    plain = board.page.evaluate("gansweep.boards.find(b => !b.sweep).id")
    board.set(board=plain, scores=[FID])
    board.show("curves")
    found = figure(board, "curves", FID)
    assert sorted(found["ends"]) == [10, 20, 30]
    assert "several protocols" in found["note"]
    runs = board.page.evaluate("Object.fromEntries(gansweep.board.runs.map(r => [r.seed, r.id]))")
    for pair, several in (((0, 1), False), ((0, 2), True)):
        board.set(pair=[runs[str(seed)] for seed in pair])
        board.show("pair")
        assert ("several protocols" in figure(board, "pair", FID)["note"]) == several


def test_a_link_opens_its_board_on_a_page_with_other_boards(
    browser: Browser, tmp_path: Path
) -> None:
    for seed in range(2):
        write_run(tmp_path / "old" / f"run-{seed}", seed=seed)
    before = OpenPage(browser, write_report([tmp_path / "old"], tmp_path / "report.html"))
    named, plain = before.page.evaluate("[gansweep.board.rows[0].id, gansweep.board.id]")
    before.close()
    for seed in range(3):  # more finished runs, so they come first
        write_run(tmp_path / "new" / f"run-{seed}", seed=seed, data="rings")
    page = write_report([tmp_path / "old", tmp_path / "new"], tmp_path / "report.html")
    for words in (f"board={plain}", f"selected={named}", f"board=b1&baseline={named}"):
        after = OpenPage(browser, f"{page.as_uri()}#{words}")
        assert after.page.evaluate("gansweep.board.data") == "digits", words
        assert after.page.evaluate("gansweep.selected().length") == 1
        after.close()
    usual = OpenPage(browser, page)
    assert usual.page.evaluate("gansweep.board.data") == "rings"
    usual.close()


def test_a_dark_page_is_printed_as_a_light_one(
    browser: Browser, opened: OpenPage, tmp_path: Path
) -> None:
    page = OpenPage(browser, opened.page.url.split("#")[0], scheme="dark")
    page.show("search")
    ink = "getComputedStyle(document.documentElement).getPropertyValue('--ink').trim()"
    canvas = "document.querySelector('#search canvas')"
    page.until(canvas)
    dark = page.page.evaluate(f"[{ink}, {canvas}.toDataURL()]")
    page.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    printed = page.page.evaluate(f"[{ink}, {canvas}.toDataURL()]")
    page.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.page.evaluate(f"[{ink}, {canvas}.toDataURL()]") == dark
    page.close()
    light = OpenPage(browser, opened.page.url.split("#")[0])
    light.show("search")
    light.until(canvas)
    assert light.page.evaluate(f"[{ink}, {canvas}.toDataURL()]") == printed != dark
    light.close()
