"""The board in Chromium: its numbers are those of the records, and every control does its part."""

import csv
import io
import json
import math
import re
import secrets
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pages import OpenPage
from playwright.sync_api import Browser, Locator
from report_records import FID, lively_run, write_run, write_sweep
from scipy import stats

from gansweep.records import notation
from gansweep.records.record import RunRecord
from gansweep.records.remarks import tag
from gansweep.report.page.page import write_report

pytestmark = pytest.mark.browser
Results = dict[str, dict[str, Any]]
FIRST_NAME = "#leaderboard tbody .model"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep with every kind of end, and two plain runs beside it."""
    runs = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        lively_run(runs / "plain" / f"gan-{seed}", "gan", seed)
    made = write_sweep(runs)
    tag(RunRecord(made / "c-t0009-s101"), "baseline")
    return made


@pytest.fixture(scope="module")
def results(sweep: Path) -> Results:
    """Directory name -> result.json, of the runs that finished."""
    found = {p.parent.name: json.loads(p.read_text()) for p in sweep.glob("*/result.json")}
    return {name: one for name, one in found.items() if one["status"] == "finished"}


@pytest.fixture(scope="module")
def opened(browser: Browser, sweep: Path) -> Iterator[OpenPage]:
    board = OpenPage(browser, write_report([sweep.parent], sweep.parent / "report.html"))
    yield board
    assert not board.problems
    assert board.page.evaluate("gansweep.faults.length") == 0
    board.close()


@pytest.fixture
def board(opened: OpenPage) -> OpenPage:
    """The page as it opens."""
    # an unknown board stands for the first; another one each time draws everything anew
    opened.page.evaluate("document.querySelector('main > section').dataset.before = 'yes'")
    opened.page.evaluate(f"location.hash = '#board={secrets.token_hex(4)}'")
    opened.until("document.querySelector('main > section:not([data-before])') !== null")
    opened.page.evaluate("scrollTo(0, 0)")
    opened.show("leaderboard")
    opened.until("document.querySelector('#leaderboard tbody input') !== null")
    return opened


def lines(board: OpenPage) -> list[Locator]:
    return board.page.locator("#leaderboard .table tbody tr[data-id]").all()


def names(board: OpenPage) -> list[str]:
    found = board.page.locator("#leaderboard .table tbody tr[data-id] .model").all_inner_texts()
    return [name.replace("\u200b", "") for name in found]


def cell(board: OpenPage, name: str, column: str) -> str:
    """The text of one cell of the leaderboard."""
    heads = "[...document.querySelectorAll('#leaderboard thead th')].map(h => h.dataset.column)"
    place = board.page.evaluate(heads).index(column)
    line = lines(board)[names(board).index(name)]
    return line.locator("td").nth(place).inner_text()


def fids(results: Results, prefix: str) -> dict[int, float]:
    return {
        one["seed"]: one["best"][FID]["value"]
        for name, one in results.items()
        if name.startswith(prefix)
    }


@pytest.mark.slow
def test_every_number_of_the_leaderboard_is_that_of_the_records(
    board: OpenPage, results: Results
) -> None:
    shown = 0
    for name in names(board):
        label = name
        trial = board.page.evaluate(
            "n => { const row = gansweep.board.rows.find(r => r.name === n);"
            " return row.runs.map(id => gansweep.runs.get(id).name.split('/')[1]); }",
            label,
        )
        confirmed = [one for one in trial if one.startswith("c-")]
        counted = [results[one] for one in (confirmed or trial) if one in results]
        if not counted:
            assert cell(board, name, f"score/{FID}") == "–"
            continue
        for score in (FID, "modes_2k", "precision_digitsnet_2k_train"):
            values = [one["best"][score]["value"] for one in counted]
            mean = statistics.fmean(values)
            std = statistics.stdev(values) if len(values) > 1 else None
            std = 0.0 if std is not None and std <= 1e-6 * abs(mean) else std
            text = cell(board, name, f"score/{score}").split("\n")
            assert text[0] == notation.mean_and_std(mean, std)
            if std:
                low, high = stats.t.interval(
                    0.95, len(values) - 1, loc=mean, scale=std / math.sqrt(len(values))
                )
                assert text[1] == notation.bracketed(low, high, std)
            shown += 1
        seconds = statistics.fmean(one["seconds"] for one in counted)
        assert cell(board, name, "seconds") == notation.duration(seconds)
        assert cell(board, name, "seeds").split("\n")[0] == str(len(counted))
    assert shown > 40


def test_the_summary_counts_the_runs_of_the_records(board: OpenPage, sweep: Path) -> None:
    found = [json.loads(path.read_text()) for path in sweep.glob("*/result.json")]
    text = board.page.inner_text("#summary")
    seconds = sum(one["seconds"] for one in found)
    assert f"{len(found) + 1} runs of 18 configurations on digits" in text  # one lost its result
    assert f"{sum(one['status'] == 'finished' for one in found)} finished" in text
    assert f"{notation.duration(seconds)} of training" in text


def test_the_verdict_is_that_of_the_records(board: OpenPage, results: Results) -> None:
    best = fids(results, "c-t0009")
    rivals = {
        "sngan (lr 0.0003)": fids(results, "c-t0013"),
        "dcgan (lr 0.0003)": fids(results, "c-t0005"),
        "gan (lr 0.0003)": fids(results, "c-t0001"),
    }
    text = board.page.inner_text("#verdict")
    for values, said in (
        (best, "wgan_gp t0009 has the best mean, fid_digitsnet_2k_train {} over 3 seeds"),
        (rivals["sngan (lr 0.0003)"], "sngan (lr 0.0003) follows with {}, worse by "),
    ):
        mean, std = statistics.fmean(values.values()), statistics.stdev(values.values())
        assert said.format(notation.mean_and_std(mean, std)) in text
    gaps = {name: [own[seed] - best[seed] for seed in best] for name, own in rivals.items()}
    corrected = holm_by_hand({n: float(stats.ttest_1samp(g, 0).pvalue) for n, g in gaps.items()})
    behind, low, high, p = re.search(
        r"worse by ([\d.]+) \[(-?[\d.]+), (-?[\d.]+)\], p = ([\d.]+)", text
    ).groups()  # type: ignore[union-attr]
    assert float(behind) == pytest.approx(statistics.fmean(gaps["sngan (lr 0.0003)"]), abs=0.005)
    assert float(low) < 0 < float(high) and p == f"{corrected['sngan (lr 0.0003)']:.2g}"
    for name in ("dcgan (lr 0.0003)", "gan (lr 0.0003)"):
        assert f"{name} (p = {corrected[name]:.2g})" in text and corrected[name] < 0.05


def holm_by_hand(raw: dict[str, float]) -> dict[str, float]:
    """Holm 1979 for three: the smallest p times 3, the next times 2, the last times 1, never
    falling."""
    found: dict[str, float] = {}
    for step, name in enumerate(sorted(raw, key=lambda name: raw[name])):
        found[name] = max([*found.values(), min(1.0, (3 - step) * raw[name])])
    return found


def test_a_baseline_gives_signed_differences_with_corrected_p(
    board: OpenPage, results: Results
) -> None:
    board.page.get_by_role("button", name="Pin sngan (lr 0.0003) as the baseline").click()
    board.settle()
    base = fids(results, "c-t0013")
    others = {
        "wgan_gp t0009": "c-t0009",
        "dcgan (lr 0.0003)": "c-t0005",
        "gan (lr 0.0003)": "c-t0001",
    }
    gaps = {
        name: [fids(results, prefix)[seed] - base[seed] for seed in base]
        for name, prefix in others.items()
    }
    corrected = holm_by_hand({n: float(stats.ttest_1samp(g, 0).pvalue) for n, g in gaps.items()})
    for name, gap in gaps.items():
        _, difference, interval = cell(board, name, f"score/{FID}").split("\n")
        error = statistics.stdev(gap) / math.sqrt(3)
        mean = statistics.fmean(gap)
        assert difference.startswith(f"{mean:+.{_decimals(error)}f}")
        assert difference.endswith(f"p = {corrected[name]:.2g}")
        low, high = (float(bound) for bound in interval.strip("[]").split(", "))
        assert ("worse" in difference or "better" in difference) == (corrected[name] < 0.05)
        assert (low > 0 or high < 0) == (corrected[name] < 0.05)
    box = board.page.locator(".baseline")
    assert "Holm’s correction for 3" in box.inner_text()
    # trials are the best of many: their differences are shown, and not tested
    assert cell(board, "sngan (lr 0.002)", f"score/{FID}").count("\n") == 1
    box.get_by_role("button", name="Unpin").click()
    board.settle()
    assert box.is_hidden()


def _decimals(error: float) -> int:
    return 1 - math.floor(math.log10(error))


def test_the_other_moment_of_the_ranking_score_is_a_column(
    board: OpenPage, results: Results
) -> None:
    board.set(columns=[f"moment/{FID}"])
    board.until("document.querySelector('#leaderboard th[data-column^=moment]') !== null")
    values = [results[f"c-t0009-s{seed}"]["last"][FID]["value"] for seed in (101, 102, 103)]
    shown = cell(board, "wgan_gp t0009", f"moment/{FID}").split("\n")[0]
    assert shown == notation.mean_and_std(statistics.fmean(values), statistics.stdev(values))


def test_a_filter_keeps_the_rows_for_which_it_holds(board: OpenPage) -> None:
    where = board.page.get_by_label("Where", exact=True)
    where.fill("lr > 5e-4 and model = wgan_gp")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 2")
    assert sorted(names(board)) == ["wgan_gp t0010", "wgan_gp t0011"]
    board.until("location.hash.includes('filter=lr')")
    where.fill("lr >")
    board.until("document.getElementById('filter-mistake').textContent !== ''")
    assert "value is missing" in board.page.locator("#filter-mistake").inner_text()
    assert len(names(board)) == 2  # the last filter that could be read
    where.fill("status = diverged")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 1")
    assert names(board) == ["gan (lr 0.002)"]
    where.fill("height = 3")
    board.until("document.getElementById('filter-mistake').textContent.includes('height')")
    where.fill("")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 18")


def test_the_search_finds_names_statuses_and_tags(board: OpenPage) -> None:
    search = board.page.get_by_label("Search", exact=True)
    search.fill("baseline")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 1")
    assert names(board) == ["wgan_gp t0009"]
    search.fill("pruned")
    board.until(
        "document.querySelector('#leaderboard tbody .model').textContent.startsWith('dcgan')"
    )
    assert "1 of 18 configurations" in board.page.locator("#leaderboard").inner_text()
    search.fill("")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 18")


def test_sorting_by_a_heading_puts_missing_values_last(board: OpenPage) -> None:
    heading = board.page.locator(f"#leaderboard th[data-column='score/{FID}']")
    heading.click()
    board.settle()
    first = [float(cell(board, name, f"score/{FID}").split()[0]) for name in names(board)[:14]]
    assert first == sorted(first)
    heading.click()
    board.settle()
    assert cell(board, names(board)[0], f"score/{FID}").startswith("72.06")
    assert [cell(board, name, f"score/{FID}") for name in names(board)[-4:]] == ["–"] * 4
    assert heading.get_attribute("aria-sort") == "descending"


def test_the_address_gives_the_same_view_again(board: OpenPage, browser: Browser) -> None:
    rows = board.page.evaluate("gansweep.board.rows.map(row => row.id)")
    board.set(selected=rows[2:4], baseline=rows[3], filter="model != wgan_gp",
              sort=[f"score/{FID}", "desc"], columns=[f"score/{FID}", "kimg"])  # fmt: skip
    board.until("document.querySelectorAll('#leaderboard thead th').length === 9")
    text = "document.querySelector('#leaderboard .table table')?.textContent"
    shown = board.page.evaluate(text)
    # a context of its own: a page in the background of the first one is not drawn
    other = browser.new_page()
    other.goto(board.page.evaluate("gansweep.state.address()"))
    for _ in range(100):
        if other.evaluate(text) == shown:
            break
        other.wait_for_timeout(50)
    assert other.evaluate(text) == shown
    assert other.evaluate("gansweep.selected()") == rows[2:4]
    other.close()


def test_an_address_that_was_cut_or_changed_opens_the_page_all_the_same(board: OpenPage) -> None:
    for words in (
        "selected=%25E0%2525&baseline=nobody&pair=x&sort=name&columns=none&group=other",
        "filter=lr+%3E&search=%00&smooth=big&axis=parsecs&moment=NaN&scores=absent&class=-1&open=,",
        "unknown=1&&==&selected=&board=b9",
    ):
        board.page.evaluate(f"location.hash = '#{words}&board={secrets.token_hex(4)}'")
        board.settle()
        for section in ("leaderboard", "curves", "pair"):
            board.show(section)
        assert board.page.evaluate("gansweep.faults.map(fault => String(fault.error))") == []


def test_names_say_what_differs_within_what_is_selected(board: OpenPage) -> None:
    shown = "ids => [...gansweep.names(ids).values()]"
    ids = board.page.evaluate(
        "Object.fromEntries(gansweep.board.rows.map(row => [row.name, row.id]))"
    )
    alike = [ids["sngan (lr 0.002)"], ids["sngan (lr 0.0001)"]]
    assert board.page.evaluate(shown, alike) == ["lr 0.002", "lr 0.0001"]
    others = [ids["sngan (lr 0.002)"], ids["gan (lr 0.001)"]]
    assert board.page.evaluate(shown, others) == ["sngan", "gan"]
    assert board.page.evaluate(shown, [*alike, others[1]]) == [
        "sngan lr 0.002",
        "sngan lr 0.0001",
        "gan",
    ]


def test_columns_are_chosen_and_ordered(board: OpenPage) -> None:
    heads = "[...document.querySelectorAll('#leaderboard thead th')].map(h => h.dataset.column)"
    board.page.locator("#leaderboard summary", has_text="Columns").click()
    menu = board.page.locator("#leaderboard .columns")
    menu.get_by_label(re.compile("^ density")).check()
    board.settle()
    assert "score/density_digitsnet_2k_train" in board.page.evaluate(heads)
    menu.get_by_label(re.compile("^ modes")).uncheck()
    board.settle()
    assert "score/modes_2k" not in board.page.evaluate(heads)
    before = board.page.evaluate(heads)
    menu.get_by_role("button", name="Move kimg to the left").click()
    board.settle()
    after = board.page.evaluate(heads)
    assert after.index("kimg") == before.index("kimg") - 1
    board.page.get_by_role("button", name="The usual columns").click()
    board.settle()
    assert "score/modes_2k" in board.page.evaluate(heads)


def test_a_row_folds_out_to_its_seeds_with_the_failed_ones(board: OpenPage) -> None:
    line = lines(board)[names(board).index("gan (lr 0.002)")]
    line.locator("[data-fold]").click()
    inside = board.page.locator("#leaderboard .seeds")
    assert "loss/generator is not finite" in inside.inner_text()
    assert "It is in no mean." in inside.inner_text()
    assert "1 diverged" in line.inner_text()
    line.locator("[data-fold]").click()
    assert inside.count() == 0


def test_the_selection_drives_chips_and_checkboxes(board: OpenPage) -> None:
    chips = board.page.locator(".chips .chip")
    assert chips.count() == 8
    board.page.get_by_label("Show gan (lr 0.001) in the figures").check()
    board.settle()
    assert chips.count() == 9
    chips.first.click()
    board.settle()
    assert chips.count() == 8
    assert not board.page.get_by_label("Show wgan_gp t0009 in the figures").is_checked()
    colours = "gansweep.selected().map(id => [id, gansweep.colour(id)])"
    kept = board.page.evaluate(colours)
    board.page.get_by_label("Show wgan_gp t0009 in the figures").check()
    board.settle()
    assert (
        board.page.evaluate("gansweep.selected().map(id => [id, gansweep.colour(id)])")[:8] == kept
    )
    board.page.get_by_label("Where", exact=True).fill("model = dcgan")
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 5")
    board.page.get_by_role("button", name="All that are shown").click()
    board.settle()
    assert chips.count() == 5
    board.page.get_by_role("button", name="None", exact=True).click()
    board.settle()
    assert chips.count() == 0
    board.page.get_by_role("button", name="The best 8").click()
    board.settle()
    assert chips.count() == 8


def test_single_runs_have_their_own_values(board: OpenPage, results: Results) -> None:
    board.page.get_by_role("button", name="Show single runs").click()
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 25")
    name = "demo-digits/c-t0005-s101"
    value = results["c-t0005-s101"]["best"][FID]["value"]
    assert cell(board, name, f"score/{FID}") == notation.number(value)
    lines(board)[names(board).index(name)].locator("[data-fold]").click()
    assert "gansweep train model=dcgan" in board.page.locator("#leaderboard .seeds").inner_text()
    board.page.get_by_role("link", name="Next").click()
    board.settle()
    assert len(names(board)) == 5
    board.page.get_by_role("button", name="Group by all but the seed").click()
    board.until("document.querySelectorAll('#leaderboard tbody tr[data-id]').length === 18")


def test_plain_runs_are_on_a_board_of_their_own(board: OpenPage) -> None:
    board.page.get_by_role("group", name="Boards").get_by_text("plain").click()
    board.until("gansweep.board.sweep === false")
    board.show("leaderboard")
    board.until("document.querySelector('#leaderboard tbody input') !== null")
    assert names(board) == ["gan"]
    assert board.page.locator("#search").count() == 0
    assert "gan reaches" in board.page.locator("#verdict").inner_text()


def test_two_runs_show_only_what_differs(board: OpenPage, sweep: Path) -> None:
    ids = board.page.evaluate(
        "Object.fromEntries(gansweep.board.runs.map(run => [run.name.split('/')[1], run.id]))"
    )
    board.set(pair=[ids["t0000"], ids["t0002"]])
    board.show("pair")
    settings = board.page.locator("#pair")
    text = settings.inner_text()
    # gan and gan with another learning rate: nothing else differs but the name
    assert "optimizer.\u200bgenerator.\u200blr" in text and "0.0001" in text and "0.001" in text
    assert "latent" not in text and "size" not in text
    assert "same versions" in text
    best = [json.loads((sweep / n / "result.json").read_text())["best"] for n in ("t0000", "t0002")]
    for score in best[0]:
        if isinstance(best[0][score]["value"], float):
            first, second = (one[score]["value"] for one in best)
            line = settings.locator("tr", has_text=score.replace("_", "_\u200b")).inner_text()
            gap = notation.number(second - first)
            shown = [notation.number(first), notation.number(second), gap.removeprefix("+")]
            assert [cell.lstrip("+") for cell in line.split("\t")[1:4]] == shown
    settings.get_by_role("button", name="Swap").click()
    board.until(f"(gansweep.state.get('pair') || [])[0] === '{ids['t0002']}'")
    settings.get_by_label("Second").select_option(ids["t0009"])
    board.settle()
    assert "wgan_gp" in settings.inner_text()
    settings.get_by_role("button", name="Draw both in all figures").click()
    board.settle()
    assert board.page.locator(".chips .chip").count() == 2


def test_long_differences_are_folded_and_versions_are_compared(
    browser: Browser, tmp_path: Path
) -> None:
    for name, number in (("one", 1), ("two", 2)):
        model = {f"setting_{place}": number * place for place in range(12)}
        config = {"model": {**model, "search": {"lr": number}}, "trainer": {"precision": number}}
        versions = {"torch": f"2.{number}.0", "numpy": "2.4.0"}
        write_run(tmp_path / "runs" / name, config=config, versions=versions, seed=number)
    board = OpenPage(browser, write_report([tmp_path], tmp_path / "report.html"))
    board.show("pair")
    section = board.page.locator("#pair")
    model = section.locator("details", has_text="model: 11 differences")
    assert model.get_attribute("open") is None  # 0 twice is no difference
    model.locator("summary").click()
    lines = [line.split("\t") for line in model.locator("tbody tr").all_inner_texts()]
    assert ["model.\u200bsetting_\u200b11", "11", "22"] in lines
    assert section.locator("details", has_text="trainer: 1 difference").get_attribute("open") == ""
    text = section.inner_text().replace("\u200b", "")
    assert "versions.torch\t2.1.0\t2.2.0" in text and "numpy" not in text
    assert "search" not in text.replace("searches read", "")
    assert board.problems == []
    board.close()


def test_a_finding_is_that_of_the_record_with_the_commands_to_try(
    board: OpenPage, sweep: Path
) -> None:
    board.show("diagnosis")
    board.page.locator("#diagnosis").get_by_role("button", name="Show all").click()
    text = board.page.locator("#diagnosis").inner_text()
    assert "1 finding in 1 configuration" in text and "failure" in text
    assert "gan (lr 0.002)" in text
    board.page.locator("#diagnosis summary", has_text="What to try next").first.click()
    finding = board.page.locator("#diagnosis .finding")
    record = RunRecord(sweep / "t0003")
    assert (record.result() or {})["reason"] in finding.inner_text()
    rate = yaml.safe_load(record.config_path.read_text())["model"]["optimizer"]["generator"]["lr"]
    assert f"model.optimizer.generator.lr={rate / 10:g}" in finding.inner_text()
    rows = [row for row in record.history() if "loss/discriminator" in row]
    ends = [notation.number(rows[place]["loss/discriminator"]) for place in (0, -1)]
    clock = notation.number(rows[-1]["kimg"])
    figure = finding.locator(".plot").first
    figure.scroll_into_view_if_needed()
    board.until("document.querySelector('#diagnosis .plot').ariaLabel.includes('Shaded')")
    assert figure.get_attribute("aria-label") == (
        f"loss/discriminator of demo-digits/t0003: from {ends[0]} to {ends[1]}. "
        f"Shaded: {clock} to {clock} kimg."
    )


def test_every_run_has_its_command(board: OpenPage, results: Results) -> None:
    board.show("protocols")
    section = board.page.locator("#protocols")
    first = section.locator(".one-run", has_text="demo-digits/c-t0005-s101")
    first.locator("summary").click()
    assert first.locator("code").inner_text() == results["c-t0005-s101"]["command"]
    assert "fid_digitsnet_2k_train" in section.inner_text()


def test_the_selection_leaves_as_csv_latex_and_commands(board: OpenPage, results: Results) -> None:
    board.page.locator("#leaderboard summary", has_text="Export").click()
    menu = board.page.locator("#leaderboard .export")
    with board.page.expect_download() as download:
        menu.get_by_role("button", name="CSV").click()
    table = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text())))
    assert len(table) == 8
    found = next(line for line in table if line["configuration"] == "dcgan (lr 0.0003)")
    values = list(fids(results, "c-t0005").values())
    assert float(found[f"{FID}_mean"]) == pytest.approx(statistics.fmean(values), rel=1e-12)
    assert float(found[f"{FID}_std"]) == pytest.approx(statistics.stdev(values), rel=1e-12)
    assert (found["seeds"], found["stage"], found["lr"]) == ("3", "confirmed", "0.0003")
    with board.page.expect_download() as download:
        menu.get_by_role("button", name="LaTeX").click()
    latex = Path(download.value.path()).read_text()
    best = notation.mean_and_std(
        statistics.fmean(fids(results, "c-t0009").values()),
        statistics.stdev(fids(results, "c-t0009").values()),
    )
    best = best.replace("±", r"$\pm$")
    assert rf"wgan\_gp t0009 & 3 & \textbf{{{best}}}" in latex
    assert latex.count(r"\\") == 9
    menu.get_by_role("button", name="A page of these").click()
    command = menu.locator("code").inner_text()
    assert command.startswith("gansweep report ") and command.endswith(" -o selection.html")
    assert "demo-digits/c-t0009-s102" in command
    menu.get_by_role("button", name="Train these again").click()
    assert results["c-t0009-s102"]["command"] in menu.locator("code").inner_text()
    menu.get_by_role("button", name="This view").click()
    assert menu.locator("code").inner_text().startswith("file://")


@pytest.mark.slow
def test_axe_finds_nothing_serious_in_light_and_dark(board: OpenPage) -> None:
    board.set(baseline=board.page.evaluate("gansweep.board.rows[1].id"))
    for section in board.page.evaluate("gansweep.sections.filter(s => s.element).map(s => s.id)"):
        board.show(section)
    assert board.hindrances() == []
    board.page.emulate_media(color_scheme="dark")
    board.settle()
    assert board.hindrances(rules=["color-contrast"]) == []  # what alone differs in the dark
    board.page.emulate_media(color_scheme="light")


@pytest.mark.slow
def test_a_phone_scrolls_in_one_direction_and_shows_the_first_score(board: OpenPage) -> None:
    with board.phone():
        sections = board.page.evaluate("gansweep.sections.filter(s => s.element).map(s => s.id)")
        for section in sections:
            board.show(section)
            assert board.page.evaluate("document.documentElement.scrollWidth") <= 360, section
        right = "document.querySelector('#leaderboard th[data-column^=score]').offsetLeft"
        width = "document.querySelector('#leaderboard th[data-column^=score]').offsetWidth"
        box = "document.querySelector('#leaderboard .scroll').clientWidth"
        assert board.page.evaluate(f"{right} + {width} <= {box}")


def test_a_phone_shows_the_differences_from_a_baseline(board: OpenPage) -> None:
    board.show("leaderboard")
    board.set(baseline=board.page.evaluate("gansweep.board.rows[1].id"))
    with board.phone():
        ends = board.page.evaluate(
            "[...document.querySelectorAll('#leaderboard tbody tr[data-id]')].slice(0, 4)"
            ".map(row => row.querySelector('.difference').getBoundingClientRect().right)"
        )
    assert max(ends) <= 360


def test_every_control_has_a_name_and_the_keyboard_reaches_the_table(board: OpenPage) -> None:
    board.page.evaluate("document.body.focus(); document.querySelector('.skip').focus()")
    reached = set()
    for _ in range(60):
        board.page.keyboard.press("Tab")
        reached.add(board.page.evaluate(
            "document.activeElement.dataset.fold ? 'fold' : document.activeElement.type"
            " || document.activeElement.tagName"
        ))  # fmt: skip
    assert {"search", "button", "checkbox", "fold"} <= reached
    board.page.evaluate("document.querySelector('[data-fold]').focus()")
    board.page.keyboard.press("Enter")
    assert board.page.locator("#leaderboard .seeds").count() == 1
    board.page.keyboard.press("Enter")
    assert board.page.locator("#leaderboard .seeds").count() == 0


def test_the_keyboard_stays_where_it_was_when_a_part_is_drawn_anew(board: OpenPage) -> None:
    def pressed(selector: str, place: int = 0) -> str:
        """The name of what has the focus after Enter on an element."""
        board.page.evaluate("s => document.querySelectorAll(s[0])[s[1]].focus()", [selector, place])
        board.page.keyboard.press("Enter")
        board.settle()
        board.until("document.activeElement !== document.body")
        return str(board.page.evaluate("document.activeElement.getAttribute('aria-label')"))

    assert pressed("#leaderboard .pin", 1) == "Unpin sngan (lr 0.0003) as the baseline"
    assert pressed("#leaderboard .pin", 1) == "Pin sngan (lr 0.0003) as the baseline"
    chips = board.page.locator(".chips .chip")
    third = chips.nth(2).get_attribute("aria-label")
    assert pressed(".chips .chip", 1) == third
    board.page.locator("#leaderboard summary", has_text="Columns").click()
    mover = board.page.locator("#leaderboard .moves button:not([disabled])").first
    name = mover.get_attribute("aria-label")
    assert pressed("#leaderboard .moves button:not([disabled])") == name
    board.page.locator("#leaderboard summary", has_text="Columns").click()


def test_changes_while_the_table_is_drawn_leave_one_table_that_folds_out(board: OpenPage) -> None:
    board.page.evaluate(
        "for (const change of [{group: 'runs'}, {columns: ['kimg']}]) {"
        " gansweep.state.set(change); gansweep.state.flush(); }"
    )
    board.until("document.querySelector('#leaderboard tbody .state') !== null")
    board.until("document.querySelectorAll('#leaderboard thead th').length === 6")
    board.page.locator("#leaderboard [data-fold]").first.click()
    assert board.page.locator("#leaderboard .seeds").count() == 1
    assert board.page.locator("#leaderboard .dt-paging").count() == 1
