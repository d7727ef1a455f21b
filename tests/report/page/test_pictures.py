"""Sheets on the page: which are known, and where they are kept."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from report_records import lively_run, write_run

from gansweep.cli.report import main
from gansweep.judging.statuses import judged_runs
from gansweep.records.sheets import Layout, as_webp
from gansweep.report.page import pictures
from gansweep.report.page.page import write_report
from gansweep.report.page.payload import payload_of
from gansweep.report.page.pictures import InPage, samples_part


def part_of(top: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    runs = {f"x{place}": run for place, run in enumerate(judged_runs([top]))}
    store = InPage()
    return samples_part(runs, store), store.blocks


def content_of_page(path: Path) -> dict[str, Any]:
    found = re.search(r'id="payload">(.*?)</script>', path.read_text(), re.DOTALL)
    assert found
    return dict(json.loads(found[1]))


def test_every_moment_of_a_run_is_in_its_block(tmp_path: Path) -> None:
    record = lively_run(tmp_path / "a", "dcgan", 0)
    part, blocks = part_of(tmp_path)
    assert part["folder"] is None and part["layouts"][0]["columns"] == 8
    found = part["runs"]["x0"]
    files = {"samples": record.sample_grids(), "neighbours": record.sheet_files()}
    for kind, wanted in files.items():
        assert [kimg for kimg, _, _ in found[kind]] == [20, 40, 60] == [kimg for kimg, _ in wanted]
        for (_, _, (start, length)), (_, path) in zip(found[kind], wanted, strict=True):
            assert blocks["sheets-x0"][start : start + length] == path.read_bytes()


def test_alike_layouts_are_stated_once(tmp_path: Path) -> None:
    for seed in range(3):
        lively_run(tmp_path / f"{seed}", "dcgan", seed)
    record = write_run(tmp_path / "other")
    layout = Layout("classes", 2, 1, (4, 4), count=2, classes=("a", "b"))
    (record.samples / "000001000.webp").write_bytes(as_webp(Image.new("L", (11, 6)), layout))
    part, _ = part_of(tmp_path)
    assert [one["kind"] for one in part["layouts"]] == ["samples", "classes"]
    assert [row[1] for row in part["runs"]["x3"]["samples"]] == [1]
    assert part["layouts"][1]["classes"] == ("a", "b")


def test_a_sheet_that_is_cut_off_is_left_out_and_an_older_png_has_no_layout(tmp_path: Path) -> None:
    record = lively_run(tmp_path / "a", "dcgan", 0)
    newest = record.sample_grids()[-1][1]
    newest.write_bytes(newest.read_bytes()[:-7])
    Image.new("L", (9, 9)).save(record.samples / "000010000.png")
    (record.samples / "000030000.webp").symlink_to("/dev/zero")
    part, _ = part_of(tmp_path)
    rows = part["runs"]["x0"]["samples"]
    assert [(kimg, layout) for kimg, layout, _ in rows] == [(10, None), (20, 0), (40, 0)]


def test_runs_without_a_sheet_are_not_listed(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    assert part_of(tmp_path) == ({"layouts": [], "folder": None, "runs": {}}, {})


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose sheets are larger than the page may hold."""
    monkeypatch.setattr(pictures, "IN_PAGE_BYTES", 1000)
    lively_run(tmp_path / "runs" / "a", "dcgan", 0)
    return tmp_path / "runs"


def test_many_sheets_are_copied_into_a_folder_beside_the_page(many: Path, tmp_path: Path) -> None:
    path = write_report([many], tmp_path / "out" / "page 1.html")
    part = content_of_page(path)["boards"][0]["sections"]["samples"]
    assert part["folder"] == "page 1_sheets" and "block-sheets" not in path.read_text()
    (found,) = part["runs"].values()
    for kind, folder in (("samples", "samples"), ("neighbours", "neighbours")):
        for kimg, _, place in found[kind]:
            original = many / "a" / folder / f"{int(kimg * 1000):09d}.webp"
            copied = path.parent / "page 1_sheets" / place
            assert copied.read_bytes() == original.read_bytes()
            assert not copied.is_symlink() and copied.stat().st_nlink == 1


def test_a_new_page_removes_the_sheets_of_the_old_one_and_nothing_else(
    many: Path, tmp_path: Path
) -> None:
    path = write_report([many], tmp_path / "page.html")
    folder = tmp_path / "page_sheets"
    (folder / "mine.txt").write_text("kept")
    (next(folder.glob("x*")) / "samples" / "notes.png").write_text("kept")
    before = set(folder.rglob("*"))
    (many / "a" / "samples" / "000020000.webp").unlink()
    write_report([many], path)
    gone = before - set(folder.rglob("*"))
    assert [one.name for one in gone] == ["000020000.webp"]


def test_a_page_that_needs_no_folder_any_more_removes_it(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report([many], tmp_path / "page.html")
    assert (tmp_path / "page_sheets").is_dir()
    monkeypatch.setattr(pictures, "IN_PAGE_BYTES", 10**6)
    write_report([many], path)
    assert not (tmp_path / "page_sheets").exists()


def test_the_command_names_the_folder(
    many: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(many), "-o", str(tmp_path / "page.html")]) == 0
    assert f"Its sheets of samples lie in {tmp_path / 'page_sheets'}" in capsys.readouterr().out


def test_a_folder_that_cannot_be_written_is_a_sentence(many: Path, tmp_path: Path) -> None:
    from gansweep.errors import UserError

    (tmp_path / "page_sheets").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be written to .*page\.html: .* Choose another"):
        write_report([many], tmp_path / "page.html")


def test_few_sheets_stay_in_the_page(tmp_path: Path) -> None:
    lively_run(tmp_path / "a", "dcgan", 0)
    payload = payload_of(judged_runs([tmp_path]))
    (run,) = payload.content["boards"][0]["runs"]
    assert f"sheets-{run['id']}" in payload.blocks
    write_report([tmp_path], tmp_path / "page.html")
    assert not (tmp_path / "page_sheets").exists()
