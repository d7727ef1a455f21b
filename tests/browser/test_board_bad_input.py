"""The board with records that are hostile, damaged, foreign or absent."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import OpenPage
from playwright.sync_api import Browser
from report_records import FID, lively_run, part_of_sweep, protocol, write_run

from gansweep.judging.statuses import judged_runs
from gansweep.records.remarks import tag, write_note
from gansweep.report.page.document import document
from gansweep.report.page.page import write_report
from gansweep.report.page.payload import payload_of

pytestmark = pytest.mark.browser
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
FOLDER = "<img src=x onerror=alert(3)>"


def visit(board: OpenPage) -> str:
    """Draw every section, and return the text of the page."""
    for section in board.page.evaluate("gansweep.sections.filter(s => s.element).map(s => s.id)"):
        board.show(section)
    board.page.evaluate("scrollTo(0, 0)")
    return board.page.inner_text("body")


@pytest.fixture(scope="module")
def hostile(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    top = tmp_path_factory.mktemp("runs") / FOLDER
    score = f"fid{EVIL}"
    protocols = {score: protocol("fid", "minimize", split=EVIL), FID: protocol("fid", "minimize")}
    for seed in range(4):
        value = 20.0 + seed
        record = write_run(
            top / f"{FOLDER}{seed}",
            model=EVIL,
            seed=seed % 2,
            scores={score: [30.0, value], FID: [30.0, value]},
            protocols=protocols,
            status="finished" if seed else "failed",
            reason=EVIL,
            config={"model": {EVIL: EVIL, "width": 8 * (seed // 2)}, "batch_size": 64},
            data=EVIL,
            command=f"gansweep train name='{EVIL}'",
            no_command=EVIL,
            versions={EVIL: EVIL},
            stopped_by=EVIL,
            objective=score,
            sweep={
                **part_of_sweep(EVIL, {EVIL: f"{EVIL}{seed // 2}", "width": seed}),
                "name": EVIL,
            },
        )
        record.append({"kimg": 1.5, f"loss/{EVIL}": 1.0, "note": EVIL})
        record.append({"kimg": 2.5, f"loss/{EVIL}": 2.0})
        write_note(record, EVIL)
        tag(record, "draft")
    board = OpenPage(browser, write_report([top.parent], top.parent.parent / "report.html"))
    board.page.on("dialog", lambda dialog: board.problems.append(dialog.message))
    yield board
    board.close()


@pytest.mark.slow
def test_names_from_records_are_text_and_never_markup(hostile: OpenPage) -> None:
    text = visit(hostile)
    for _ in range(3):  # a broken picture would have raised its alert by now
        hostile.settle()
    assert EVIL in text.replace("\u200b", "")
    assert hostile.page.evaluate("document.querySelectorAll('[onerror]').length") == 0
    assert hostile.page.evaluate("gansweep.faults.map(fault => String(fault.error))") == []
    assert hostile.problems == []


def test_hostile_rows_fold_out_and_can_be_pinned(hostile: OpenPage) -> None:
    hostile.page.evaluate("scrollTo(0, 0)")
    hostile.show("leaderboard")
    hostile.until("document.querySelector('#leaderboard tbody .pin') !== null")
    hostile.page.locator("#leaderboard .pin").first.click()
    hostile.page.locator("#leaderboard [data-fold]").first.click()
    hostile.settle()
    assert hostile.page.evaluate("document.querySelectorAll('[onerror]').length") == 0
    assert hostile.problems == []


def test_a_broken_part_of_the_data_leaves_the_other_sections(
    browser: Browser, tmp_path: Path
) -> None:
    write_run(tmp_path / "runs" / "a")
    write_run(tmp_path / "runs" / "b", seed=1)
    text = document(payload_of(judged_runs([tmp_path])))
    broken = tmp_path / "report.html"
    broken.write_text(text.replace('"protocols":{"common"', '"other":{"common"'))
    board = OpenPage(browser, broken)
    board.page.evaluate("document.getElementById('protocols').scrollIntoView()")
    board.until("document.querySelector('#protocols .notice') !== null")
    apology = board.page.inner_text("#protocols .notice")
    assert apology.startswith("Protocols and commands cannot be drawn: ")
    board.page.evaluate("scrollTo(0, 0)")
    board.until("document.querySelector('#leaderboard tbody input') !== null")
    assert [fault for fault in board.problems if "protocols" not in fault] == []
    board.close()


@pytest.mark.slow
def test_runs_that_are_damaged_torn_or_foreign_have_a_sentence_each(
    browser: Browser, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    lively_run(runs / "good", "gan", 0)
    lively_run(runs / "torn", "gan", 1).result_path.write_text('{"status": "fin')
    unread = lively_run(runs / "unread", "gan", 2)
    unread.config_path.write_text("model: [")
    with open(unread.history_path, "ab") as file:
        file.write(b'{"kimg": 61.0, "seco')
    (runs / "foreign").mkdir()
    (runs / "foreign" / "config.yaml").write_text("name: of another program\n")
    board = OpenPage(browser, write_report([runs], tmp_path / "report.html"))
    visit(board)
    board.show("leaderboard")
    board.page.get_by_role("button", name="Show single runs").click()
    board.until("document.querySelector('#leaderboard th[data-column=status]') !== null")
    assert board.page.locator("#leaderboard .state.damaged").count() == 2
    for button in board.page.locator("#leaderboard [data-fold]").all():
        button.click()
    text = board.page.inner_text("#leaderboard")
    assert "damaged: result.json: " in text and "damaged: config.yaml: " in text
    assert "skipped 1 damaged line" in text
    board.page.get_by_role("group", name="Boards").get_by_text("unknown").click()
    board.until("gansweep.board.data === 'unknown'")
    assert "no run has finished" in visit(board)
    assert board.problems == []
    board.close()


def test_no_run_at_all_is_said(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(document(payload_of([])))
    board = OpenPage(browser, page)
    assert "There is no run to show yet." in board.page.inner_text("main")
    assert board.problems == []
    board.close()


@pytest.mark.slow
def test_runs_without_a_score_still_make_a_board(browser: Browser, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a", scores={}, status="failed", reason="out of memory")
    write_run(tmp_path / "runs" / "b", scores={}, status=None)
    board = OpenPage(browser, write_report([tmp_path], tmp_path / "report.html"))
    text = visit(board)
    assert "There is no winner yet: no run has finished." in text
    assert "No run has recorded a score." in text
    assert board.problems == []
    board.close()


def test_the_policy_of_the_page_names_its_scripts_and_no_place(tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "a")
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    head = text.partition("</head>")[0]
    assert "default-src &#x27;none&#x27;" in head and "http:" not in head
    assert "unsafe-eval" not in head and "connect-src" not in head
    payload = text.partition('id="payload">')[2].partition("</script>")[0]
    assert json.loads(payload)["boards"][0]["runs"][0]["name"] == "runs/a"
