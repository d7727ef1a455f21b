"""The board's curves in Chromium: drawn numbers are the records', controls do their part."""

import csv
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from large_sweeps import write_large_sweep
from numpy.typing import NDArray
from pages import OpenPage
from playwright.sync_api import Browser
from report_records import FID, write_run

from gansweep.records.record import RunRecord
from gansweep.report.page.page import write_report

pytestmark = pytest.mark.browser
LOSS = "loss/generator"
OTHER = "loss/discriminator"
LONG = 4000  # points of the long run, more than its figure has pixels
ANSWER_MS = 200
Clocks = dict[int, list[float]]


def write_seed(directory: Path, seed: int, clocks: list[float], status: str = "finished") -> None:
    """A run whose loss was measured at its own clocks, three seconds for each kimg."""
    rng = random.Random(seed)
    record = write_run(
        directory / f"gan-{seed}",
        model="gan",
        seed=seed,
        status=status,
        reason="loss/generator is not finite" if status == "diverged" else "",
        config={"batch_size": 50},
    )
    for clock in clocks:
        row = {"kimg": clock, "seconds": 3 * clock, LOSS: 2 + rng.gauss(0, 0.3), OTHER: 1.0}
        record.append(row)


@pytest.fixture(scope="module")
def clocks() -> Clocks:
    rng = random.Random(5)
    own = {seed: sorted({round(rng.uniform(3, 90), 2) for _ in range(40)}) for seed in range(3)}
    return {**own, 3: [float(k) for k in range(3, 30)]}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, clocks: Clocks) -> Path:
    """Three seeds of one configuration, a fourth that diverged, and one very long run."""
    top = tmp_path_factory.mktemp("runs") / "curves"
    for seed, own in clocks.items():
        write_seed(top, seed, own, "diverged" if seed == 3 else "finished")
    rng = random.Random(9)
    record = write_run(top / "long", model="dcgan", seed=0)
    values = [1 + rng.random() for _ in range(LONG)]
    values[1234], values[3210] = 50.0, -50.0
    lines = [{"kimg": 3 + k / 50, "seconds": 1.0 + k, LOSS: v} for k, v in enumerate(values)]
    with record.history_path.open("a") as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)
    return top


@pytest.fixture(scope="module")
def opened(browser: Browser, runs: Path) -> Iterator[OpenPage]:
    board = OpenPage(browser, write_report([runs], runs / "report.html"))
    yield board
    assert not board.problems
    board.close()


@pytest.fixture
def board(opened: OpenPage) -> OpenPage:
    """The page with one figure of the loss, as it opens."""
    for key in ("axis", "logx", "logy", "smooth", "show", "band", "span", "selected"):
        opened.set(**{key: None})
    opened.set(scores=[LOSS])
    opened.show("curves")
    drawn(opened)
    return opened


def drawn(board: OpenPage) -> list[dict[str, Any]]:
    """The lines of the figure of the loss, once it shows the state."""
    card = f"[...gansweep.figures.cards].find(c => c.title === '{LOSS}')"
    board.until(f"{card} && {card}.found && !{card}.dirty && !{card}.drawing")
    return board.page.evaluate(
        f"{card}.found.hover.lines.map(l => ({{...l, x: [...l.x], y: [...l.y], "
        "low: l.low && [...l.low], high: l.high && [...l.high], smooth: [...l.smooth]}))"
    )


def note(board: OpenPage) -> str:
    return board.page.locator("#curves .figure .note").first.inner_text()


def points(runs: Path, name: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """kimg and loss of a run, from its record; the page has float32."""
    rows = [row for row in RunRecord(runs / name).history() if LOSS in row]
    return np.array([r["kimg"] for r in rows]), np.array([r[LOSS] for r in rows])


def test_the_mean_and_its_band_are_those_of_all_points_of_all_seeds(
    board: OpenPage, runs: Path, clocks: Clocks
) -> None:
    seeds = [points(runs, f"gan-{seed}") for seed in range(3)]
    start, end = max(x[0] for x, _ in seeds), min(x[-1] for x, _ in seeds)
    grid = np.unique(np.concatenate([x for x, _ in seeds]))
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.stack([np.interp(grid, x, y) for x, y in seeds])
    line = next(one for one in drawn(board) if one["n"] == 3)
    assert line["x"] == pytest.approx(grid, rel=1e-6)
    assert line["y"] == pytest.approx(values.mean(0), rel=2e-5)
    error = values.std(0, ddof=1) / np.sqrt(3)
    assert line["high"] == pytest.approx(values.mean(0) + error, rel=2e-5)
    board.page.locator("#curves select[data-key=band]").select_option("lowest to highest")
    board.settle()
    line = next(one for one in drawn(board) if one["n"] == 3)
    assert line["low"] == pytest.approx(values.min(0), rel=2e-5)
    assert line["high"] == pytest.approx(values.max(0), rel=2e-5)
    legend = board.page.locator("#curves .legend").inner_text()
    assert "N = 3, 1 diverged" in legend


def test_every_seed_is_drawn_when_asked(board: OpenPage, runs: Path) -> None:
    board.page.locator("#curves select[data-key=show]").select_option("every seed")
    board.settle()
    names = {f"gan-{seed}": f"gan, seed {seed}" for seed in range(4)}
    shown = {one["name"]: one for one in drawn(board)}
    for directory, name in {**names, "long": "dcgan, seed 0"}.items():
        x, y = points(runs, directory)
        assert shown[name]["x"] == pytest.approx(x, rel=1e-6)
        assert shown[name]["y"] == pytest.approx(y, rel=2e-5)
    assert len(shown) == 5


def test_smoothing_is_the_debiased_moving_average_and_keeps_the_raw_line(board: OpenPage) -> None:
    slider = board.page.locator("#curves input[data-key=smooth]")
    slider.fill("0.9")
    board.settle()
    for line in drawn(board):
        last = weight = 0.0
        expected = []
        for value in line["y"]:
            last, weight = 0.9 * last + 0.1 * value, 0.9 * weight + 0.1
            expected.append(last / weight)
        assert line["smooth"] == pytest.approx(expected)
        assert line["smooth"] != line["y"]
    assert "smooth=0.9" in board.page.evaluate("location.hash")


def test_the_x_axis_has_steps_images_and_hours(board: OpenPage, runs: Path) -> None:
    x, _ = points(runs, "gan-3")
    scale = {"steps": 1000 / 50, "images": 1000, "hours": 3 / 3600}
    for axis, factor in scale.items():
        board.page.locator("#curves select[data-key=axis]").select_option(axis)
        board.settle()
        (line,) = [one for one in drawn(board) if one["faint"]]
        assert line["x"] == pytest.approx(x * factor, rel=1e-5)
    # the record of the long run has no batch size
    board.set(axis="steps")
    drawn(board)
    assert "1 run left out: the record does not tell steps." in note(board)


def test_a_thinned_curve_keeps_its_extremes_and_says_so(board: OpenPage) -> None:
    (line,) = [one for one in drawn(board) if len(one["x"]) >= LONG]
    assert len(line["kept"]) < LONG
    kept = [line["y"][i] for i in line["kept"]]
    assert max(kept) == 50 and min(kept) == -50 and line["kept"][-1] == len(line["x"]) - 1
    assert re.search(
        r"[\d,]+ of [\d,]+ points drawn, with every lowest and highest one", note(board)
    )


def test_a_failed_seed_ends_with_a_cross_and_stays_out_of_the_mean(
    board: OpenPage, runs: Path
) -> None:
    x, y = points(runs, "gan-3")
    (line,) = [one for one in drawn(board) if one["faint"]]
    ended = line["ended"]
    assert (ended["status"], ended["x"]) == ("diverged", x[-1])
    assert ended["y"] == pytest.approx(y[-1], rel=2e-5)
    assert "× where a run ended: 1 diverged." in note(board)


def test_the_doctors_stretches_are_shaded_on_every_axis(board: OpenPage) -> None:
    finding = {
        "title": "Divergence", "severity": "failure", "columns": [LOSS], "rule": "divergence",
        "text": "", "remedies": [],
    }  # fmt: skip
    board.page.evaluate(
        "finding => { const run = [...gansweep.runs.values()].find(r => r.status === 'diverged');"
        "gansweep.board.sections.diagnosis.findings = [{...finding, row: run.row, example: run.id,"
        "runs: {[run.id]: [6, 12]}}]; }",
        finding,
    )
    found = {}
    for axis in ("kimg", "images", "hours"):
        board.set(axis=axis, smooth=0.1 if axis == "kimg" else 0)
        drawn(board)
        found[axis] = board.page.evaluate(
            f"gansweep.lines.stretchesOf('{LOSS}', [...gansweep.rows.values()], '{axis}')"
        )[0]
    ends = {axis: [one["from"], one["to"]] for axis, one in found.items()}
    assert ends["kimg"] == [6, 12] and ends["images"] == pytest.approx([6000, 12000])
    assert ends["hours"] == pytest.approx([6 * 3 / 3600, 12 * 3 / 3600], rel=1e-5)
    assert "Shaded, as the doctor judged: divergence" in note(board)
    board.set(axis="kimg")
    board.page.evaluate(
        "finding => { const rows = gansweep.selected().map(id => gansweep.rows.get(id)).filter("
        "row => gansweep.columns(row.runs[0]).includes(finding.columns[0]));"
        "gansweep.board.sections.diagnosis.findings = [[6, 12], [10, 16]].map((span, place) => "
        "({...finding, row: rows[place].id, runs: {[rows[place].runs[0]]: span}})); }",
        finding,
    )
    board.set(smooth=0.1)  # draws anew
    drawn(board)
    assert "judged: divergence (2 configurations, 6 to 16 kimg)." in note(board)
    spans = board.page.evaluate(
        f"gansweep.curveFigure.spansOf(gansweep.lines.stretchesOf('{LOSS}', "
        "[...gansweep.rows.values()], 'kimg')).map(s => [s.from, s.to])"
    )
    assert spans == [[6, 16]]  # shaded once where both were judged
    board.page.evaluate("gansweep.board.sections.diagnosis.findings = []")


def test_log_axes_say_what_they_cannot_show(board: OpenPage) -> None:
    board.page.locator("#curves select[data-key=logy]").select_option("log")
    board.settle()
    drawn(board)
    assert "1 value of 0 or less cannot be shown on a log scale." in note(board)
    board.page.locator("#curves input[data-key=logx]").check()
    board.settle()
    drawn(board)
    scales = "[...gansweep.figures.cards].find(c => c.scales).scales"
    assert board.page.evaluate(f"[{scales}.x.log, {scales}.y.log]") == [True, True]


def test_the_axis_reaches_the_line_of_perfect_samples(board: OpenPage) -> None:
    axes = (
        "([y, mark]) => gansweep.curveFigure.axesOf([{x: [0, 1], y, kept: [0, 1]}], "
        "{logx: false, logy: null, span: null}, null, 'x', {value: mark}).y"
    )
    for values, mark, is_log in (([1.0, 2.0], 0.5, False), ([1, 100], 0.01, True)):
        y = board.page.evaluate(axes, [values, mark])
        assert (y["low"] <= mark, y["log"]) == (True, is_log)
    assert board.page.evaluate(axes, [[1, 100], 0])["log"]  # which a log axis cannot reach


def test_pointing_at_one_figure_reads_all_of_them_at_that_moment(board: OpenPage) -> None:
    board.set(scores=[LOSS, OTHER])
    board.until("[...document.querySelectorAll('#curves .plot canvas')].length === 2")
    drawn(board)
    place = board.page.locator("#curves .plot").first.bounding_box()
    assert place
    board.page.mouse.move(place["x"] + place["width"] / 2, place["y"] + 60)
    board.until("document.querySelectorAll('#curves .overlay:not([hidden])').length === 2")
    moments = board.page.locator("#curves .readout .at").all_inner_texts()
    assert len(set(moments)) == 1
    at = float(moments[0].split()[0])
    mean = next(one for one in drawn(board) if one["n"] == 3)
    nearest = int(np.abs(np.array(mean["x"]) - at).argmin())
    shown = board.page.locator("#curves .readout").first.inner_text()
    value = board.page.evaluate("v => gansweep.format.number(v)", mean["y"][nearest])
    assert value in shown and "N = 3" in shown
    board.page.mouse.move(5, 5)
    board.until("document.querySelectorAll('#curves .overlay:not([hidden])').length === 0")


def test_a_dragged_stretch_is_shown_by_every_figure_until_all_is_asked_for(board: OpenPage) -> None:
    place = board.page.locator("#curves .plot").first.bounding_box()
    assert place
    board.page.mouse.move(place["x"] + 100, place["y"] + 60)
    board.page.mouse.down()
    board.page.mouse.move(place["x"] + 200, place["y"] + 90, steps=3)
    board.page.mouse.up()
    board.settle()
    span = board.page.evaluate("gansweep.state.get('span')")
    assert span and 0 < span[0] < span[1]
    fields = board.page.locator("#curves input[type=text]")
    assert [float(fields.nth(k).input_value()) for k in (0, 1)] == span
    fields.nth(0).fill("10")
    fields.nth(0).press("Enter")
    board.settle()
    assert board.page.evaluate("gansweep.state.get('span')") == [10, span[1]]
    board.page.get_by_role("button", name="Show the whole x axis").click()
    board.settle()
    assert board.page.evaluate("gansweep.state.get('span')") is None


def test_a_stretch_with_one_end_goes_as_far_as_the_curves(board: OpenPage) -> None:
    fields = board.page.locator("#curves input[type=text]")
    ends = (
        "(() => { const {x, box} = [...gansweep.figures.cards].find(c => c.scales).scales; "
        "return [x.from(box.left), x.from(box.right), x.log]; })()"
    )
    drawn(board)
    whole = board.page.evaluate(ends)
    for place, end in ((0, 20.0), (1, 40.0)):
        fields.nth(place).fill(f"{end:g}")
        fields.nth(place).press("Enter")
        board.settle()
        drawn(board)
        wanted = [end, whole[1]] if place == 0 else [whole[0], end]
        assert board.page.evaluate(ends)[:2] == pytest.approx(wanted)
        assert fields.nth(1 - place).input_value() == ""
        fields.nth(place).fill("")
        fields.nth(place).press("Enter")
        board.settle()
        assert board.page.evaluate("gansweep.state.get('span')") is None
    board.set(logx=True, span=[None, 40])  # 0 has no place on a log axis
    drawn(board)
    first, last, log = board.page.evaluate(ends)
    assert first > 0 and last == pytest.approx(40) and log
    assert "span=,40" in board.page.evaluate("gansweep.state.address()")


def test_curves_are_chosen_from_all_columns_of_the_history(board: OpenPage) -> None:
    board.page.locator("#curves details.picker summary").click()
    boxes = board.page.locator("#curves .picker input")
    names = [boxes.nth(k).get_attribute("data-column") for k in range(boxes.count())]
    assert set(names) == {LOSS, OTHER, FID}
    board.page.locator(f"#curves .picker input[data-column='{FID}']").check()
    board.until(
        f"[...document.querySelectorAll('#curves .title')].some(t => t.textContent === '{FID}')"
    )
    board.page.locator(f"#curves .picker input[data-column='{FID}']").uncheck()
    board.until("document.querySelectorAll('#curves .figure').length === 1")
    board.page.locator("#curves details.picker summary").click()


def test_a_figure_leaves_as_png_svg_and_the_numbers_it_shows(
    board: OpenPage, tmp_path: Path
) -> None:
    for kind, start in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        with board.page.expect_download() as saved:
            board.page.locator("#curves .saves button", has_text=kind).first.click()
        path = tmp_path / saved.value.suggested_filename
        saved.value.save_as(path)
        assert path.name == f"loss-generator.{kind.lower()}" and path.read_bytes().startswith(start)
    assert "N = 3" in (tmp_path / "loss-generator.svg").read_text()
    with board.page.expect_download() as saved:
        board.page.locator("#curves .saves button", has_text="CSV").first.click()
    saved.value.save_as(tmp_path / "data.csv")
    rows = list(csv.DictReader((tmp_path / "data.csv").read_text().splitlines()))
    mean = next(one for one in drawn(board) if one["n"] == 3)
    own = [row for row in rows if row["runs"] == "3"]
    assert [float(row["value"]) for row in own] == pytest.approx(mean["y"])
    # all points, also where fewer are drawn
    assert len(rows) == sum(len(one["x"]) for one in drawn(board))


def test_the_address_opens_the_same_curves_again(board: OpenPage, browser: Browser) -> None:
    board.set(axis="hours", smooth=0.5, show="each", band="range", span=[0.01, 0.05])
    address = board.page.evaluate("gansweep.state.address()")
    again = board.context.new_page()
    again.goto(address)
    keys = ["axis", "smooth", "show", "band", "span", "scores"]
    shown = again.evaluate("keys => keys.map(k => gansweep.state.get(k))", keys)
    assert shown == ["hours", 0.5, "each", "range", [0.01, 0.05], [LOSS]]
    again.close()


def test_curves_fit_a_phone_and_the_dark(board: OpenPage) -> None:
    board.page.emulate_media(color_scheme="dark")
    with board.phone():
        drawn(board)
        assert board.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    board.page.emulate_media(color_scheme="light")


def test_a_finger_that_moves_sideways_enlarges_and_one_that_moves_up_scrolls(
    browser: Browser, runs: Path, opened: OpenPage
) -> None:
    board = OpenPage(browser, runs / "report.html", width=360, touch=True)
    board.set(scores=[LOSS])
    board.show("curves")
    drawn(board)
    plot = board.page.locator("#curves .plot").first
    plot.evaluate("plot => plot.scrollIntoView({block: 'center'})")
    board.settle()
    box = plot.bounding_box()
    assert box
    x, y = box["x"] + 80, box["y"] + 80
    top = board.page.evaluate("scrollY")
    board.fingers(((x, y), (x, y - 60)))
    board.until(f"scrollY > {top}")
    assert board.page.evaluate("gansweep.state.get('span')") is None
    box = plot.bounding_box()
    assert box
    board.fingers(((x, box["y"] + 80), (x + 120, box["y"] + 84)))
    span = board.page.evaluate("gansweep.state.get('span')")
    assert span and 0 < span[0] < span[1]
    assert not board.problems
    board.close()


def test_rows_that_a_live_page_is_given_join_their_curves(
    browser: Browser, runs: Path, opened: OpenPage
) -> None:
    board = OpenPage(browser, runs / "report.html")
    board.set(scores=[LOSS], show="each")
    board.show("curves")
    before = {one["run"]: one for one in drawn(board)}
    run = next(one["run"] for one in before.values() if one["name"] == "gan, seed 0")
    board.page.evaluate(
        "([run, row]) => { gansweep.addRows(run, [row], false);gansweep.tell(new Set(['rows'])); }",
        [run, {"kimg": 95.0, "seconds": 285.0, LOSS: 7.5}],
    )
    board.settle()
    after = {one["run"]: one for one in drawn(board)}
    assert (after[run]["x"][-1], after[run]["y"][-1]) == (95.0, 7.5)
    assert len(after[run]["x"]) == len(before[run]["x"]) + 1
    assert not board.problems
    board.close()


IDLE = "![...gansweep.figures.cards].some(c => c.inView && (c.dirty || c.drawing))"
CHANGES: list[dict[str, Any]] = [
    {"smooth": 0.6}, {"axis": "hours"}, {"show": "each"}, {"band": "range"}, {"logy": True},
    {"logx": True}, {"span": [0.01, 0.1]}, {"scores": [LOSS, FID]},
]  # fmt: skip


@pytest.mark.slow
def test_every_control_answers_at_once_with_500_runs_of_200_points(
    browser: Browser, tmp_path: Path
) -> None:
    write_large_sweep(tmp_path / "many")
    board = OpenPage(browser, write_report([tmp_path / "many"], tmp_path / "report.html"))
    board.show("curves")
    ids = board.page.evaluate("gansweep.board.rows.map(row => row.id)")
    assert len(ids) == 500
    for selected in (8, 500):
        board.set(selected=ids[:selected], smooth=0)
        board.until(IDLE)
        for change in CHANGES:
            spent = board.least_spent(IDLE, ANSWER_MS, **change)
            assert spent < ANSWER_MS, (selected, change)
        board.set(axis="kimg", show="mean", band="stderr", logy=None, logx=False, span=None)
    for section in ("leaderboard", "curves", "search", "game", "diagnosis"):
        board.show(section)
        board.set(selected=ids)  # reads the curves, and draws all figures once
        for chosen in (ids[:8], ids, ids[1:], []):
            board.until(IDLE)
            spent = board.least_spent(IDLE, ANSWER_MS, selected=chosen)
            assert spent < ANSWER_MS, (section, len(chosen))
    assert not board.problems
    board.close()
