import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_records import (
    COUNTS,
    FID,
    MODES,
    PROTOCOLS,
    lively_run,
    part_of_sweep,
    protocol,
    rewrite,
    write_evaluation,
    write_run,
    write_sweep,
)

from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.report.figures.palette import variants
from gansweep.report.figures.sweep import ABSENT, axis_of, parallel_coordinates
from gansweep.report.page.page import data_block, rerun_command, write_report
from gansweep.report.page.sections import sections

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a browser would load, run and show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.styles = ""
        self.text = ""
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem == "style":
            self.styles += data
        else:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def path(sweep: Path) -> Path:
    return write_report([sweep], sweep / "report.html")


@pytest.fixture(scope="module")
def page(path: Path) -> Page:
    return Page(path)


def test_the_page_loads_nothing_from_the_network(page: Page) -> None:
    loading = {"src", "srcset", "href", "data", "poster", "action", "background"}
    for tag, attributes in page.tags:
        for name in loading & attributes.keys():
            assert (attributes[name] or "").startswith("data:image/webp;base64,"), (tag, name)
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.tags}
    assert "url(" not in page.styles and "@import" not in page.styles


def test_the_policy_allows_only_the_pages_own_scripts(page: Page) -> None:
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy and "default-src 'none'" in policy and "script-src 'unsafe" not in policy
    blocks = zip(page.all("script"), page.scripts, strict=True)
    running = [text for attributes, text in blocks if "type" not in attributes]
    assert len(running) == 2
    for script in running:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy


def test_the_confirmed_winner_comes_first_among_the_samples(page: Page, sweep: Path) -> None:
    winner = leaderboard(load([sweep])).rows[0]
    assert winner.stage == "confirmed"
    first = page.all("img")[0]["alt"]
    assert first and f"{winner.name}, confirmed, seed 101" in first


def test_the_protocols_table_leaves_out_what_all_have_in_common(page: Page) -> None:
    text = " ".join(page.text.split())
    assert "The same for all scores: n_fake 2000, n_real 1437" in text
    assert text.count("89ab0123") == 1


def test_the_page_shows_the_whole_sweep(page: Page) -> None:
    text = " ".join(page.text.split())
    for words in (
        "wgan_gp (lr 0.0003",
        "30 runs of 18 configurations on digits",
        "loss/generator is not finite (at 11.0 kimg)",
        "the pruner judged it unpromising",
        "There is no result.json",
        "It is still training",
        "skipped 1 damaged line",
        "No 3 and no 8 among 2,000 samples of any seed.",
        "0123456789abcdef",
        "gansweep train model=wgan_gp data=digits seed=101",
    ):
        assert words in text, words


def test_every_image_plot_and_table_is_described(page: Page) -> None:
    assert all(image["alt"] for image in page.all("img"))
    plots = [div for div in page.all("div") if div.get("class") == "plot"]
    assert plots and all(plot["role"] == "img" and plot["aria-label"] for plot in plots)
    assert all("scope" in cell for cell in page.all("th"))


def test_plotly_accepts_every_figure(page: Page) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    pairs = zip(page.all("script"), page.scripts, strict=True)
    blocks = [json.loads(text) for attributes, text in pairs if "type" in attributes]
    assert len(blocks) > 10
    for block in blocks:
        graph_objects.Figure(block)


def figures_of(directory: Path) -> dict[str, list[Any]]:
    board = leaderboard(load([directory]))
    return {part.anchor: part.figures for part in sections(board, variants(board))}


def test_balance_is_shown_only_for_probabilities_and_the_gap_only_for_critics(
    sweep: Path,
) -> None:
    figures = figures_of(sweep)
    assert [figure.title.split()[0] for figure in figures["balance"]] == ["dcgan", "gan"]
    (level,) = figures["balance"][0].layout["shapes"]
    assert (level["y0"], level["y1"]) == (0.5, 0.5)
    gap = {trace["name"].split()[0] for trace in figures["critic"][0].data if "name" in trace}
    assert gap == {"wgan_gp", "sngan"}


def test_a_variant_keeps_its_colour_in_every_figure(sweep: Path) -> None:
    colours: dict[int, set[str]] = {}
    for figure in sum((f for name, f in figures_of(sweep).items() if name != "throughput"), []):
        for trace in figure.data:
            if "meta" in trace and trace.get("line", trace.get("marker")) and "name" in trace:
                paint = trace["line"] if "line" in trace else trace["marker"]
                colours.setdefault(trace["meta"], set()).add(paint["color"])
    assert [len(found) for found in colours.values()] == [1] * 4
    assert len(set.union(*colours.values())) == 4


def write_counts(
    directory: Path, counts: list[int], names: list[str] | None, n_fake: int = 12, **run: Any
) -> None:
    counted = protocol("mode_counts", None, n_fake=n_fake, mode_names=names)
    record = write_run(directory, protocols={FID: PROTOCOLS[FID], COUNTS: counted}, **run)
    record.append({"kimg": 2.0, "seconds": 4.0, COUNTS: counts})


def test_missing_modes_are_named_with_the_seeds_that_miss_them(tmp_path: Path) -> None:
    for seed, counts in enumerate([[5, 0, 5], [4, 4, 2]]):
        write_counts(tmp_path / str(seed), counts, None, seed=seed)
    (figure,) = figures_of(tmp_path)["modes"]
    assert figure.note == "No mode 1 among 12 samples in 1 of 2 seeds."
    assert figure.data[0]["y"] == pytest.approx([0.45, 0.2, 0.35])


def test_a_generator_of_no_mode_at_all_is_shown_as_such(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [0, 0], None)
    (figure,) = figures_of(tmp_path)["modes"]
    assert figure.note == "None of the 2 modes among 12 samples."


def test_modes_carry_the_names_that_their_protocol_gives_them(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [12, 0, 0], ["cat", "dog", "<i>"])
    (figure,) = figures_of(tmp_path)["modes"]
    assert figure.data[0]["x"] == ["cat", "dog", "&lt;i&gt;"]
    assert figure.note == "No dog and no <i> among 12 samples."


def test_the_mode_counts_with_the_most_samples_are_shown(tmp_path: Path) -> None:
    write_counts(tmp_path / "a", [6, 6, 0], None)
    counted = protocol("mode_counts", None, n_fake=1000)
    record = RunRecord(tmp_path / "a")
    write_evaluation(record, {"mode_counts_1k": [500, 450, 50]}, {"mode_counts_1k": counted})
    (figure,) = figures_of(tmp_path)["modes"]
    assert figure.note == "All 3 modes occur in 1,000 samples."
    assert figure.data[0]["y"] == pytest.approx([0.5, 0.45, 0.05])


def test_a_thousand_modes_are_one_line_for_each_variant_and_one_for_chance(tmp_path: Path) -> None:
    full, half = [12] * 1000, [24] * 500 + [0] * 500
    for model, counts in {"dcgan": full, "gan": half}.items():
        write_counts(tmp_path / model, counts, None, 12_000, model=model)
    (figure,) = figures_of(tmp_path)["modes"]
    even, collapsed, chance = figure.data
    assert set(even["y"]) == {1.0} and len(even["y"]) == 200
    assert collapsed["y"][0] == 2.0 and collapsed["y"][-1] == 0.0
    # of 12 expected samples in a mode, the fullest of 1,000 has about 24 by chance, half of them 12
    assert chance["y"][0] == pytest.approx(24 / 12, abs=0.2)
    assert chance["y"][100] == 1.0 and chance["y"] == sorted(chance["y"], reverse=True)
    assert "gan: No mode 500, no mode 501" in figure.note and "495 more" in figure.note


def test_the_ticks_of_a_logarithmic_axis_are_whole_numbers(tmp_path: Path) -> None:
    write_run(tmp_path / "a", scores={FID: [90.0, 4.0]})
    axis = figures_of(tmp_path)["curves"][0].layout["yaxis"]
    assert axis["type"] == "log"
    assert axis["ticktext"][:6] == ["1", "2", "5", "10", "20", "50"]


def test_an_axis_spaces_numbers_by_ratio_and_marks_what_is_not_set() -> None:
    axis = axis_of("lr", [1e-4, 1e-3, 1e-2, None])
    assert axis.title == "lr (log)"
    assert [axis.height(v) for v in (1e-4, 1e-3, 1e-2, None)] == pytest.approx([0, 0.5, 1, ABSENT])
    names = axis_of("model", ["wgan", "gan", "gan"])
    assert (names.height("gan"), names.height("wgan")) == (0.0, 1.0)


def test_labels_of_an_axis_do_not_overlap() -> None:
    axis = axis_of("lr", [1.0, 1.01, 1.5, 1.99, 2.0])
    assert list(axis.ticks.values()) == ["1", "2", "1.5"]


def test_equal_outcomes_have_one_colour(tmp_path: Path) -> None:
    for number, value in enumerate([9.0, 4.0, 4.0, 4.0]):
        part = part_of_sweep(f"t{number}", {"lr": number + 1})
        write_run(tmp_path / f"t{number}", scores={FID: [value]}, sweep=part)
    figure = parallel_coordinates(leaderboard(load([tmp_path])), FID)
    assert figure
    colours = [trace["line"]["color"] for trace in figure.data]
    assert colours == ["rgb(230,159,0)", *["rgb(0,114,178)"] * 3]


def test_parallel_coordinates_colour_the_best_trial_blue_and_a_failed_one_grey(
    tmp_path: Path,
) -> None:
    for number, (value, status) in enumerate(
        [(30.0, "finished"), (10.0, "finished"), (5.0, "diverged")]
    ):
        part = part_of_sweep(f"t{number}", {"lr": number + 1})
        write_run(tmp_path / f"t{number}", scores={FID: [value]}, status=status, sweep=part)
    figure = parallel_coordinates(leaderboard(load([tmp_path])), FID)
    assert figure
    paint = {len(trace["x"]): [] for trace in figure.data}  # type: ignore[var-annotated]
    for trace in figure.data:
        paint[len(trace["x"])].append(trace["line"]["color"])
    assert paint[2] == ["rgb(230,159,0)", "rgb(0,114,178)"]  # the best is drawn last, on top
    assert len(paint[1]) == 1  # without an outcome the line ends before the last axis


def test_names_reasons_and_settings_are_escaped(tmp_path: Path) -> None:
    record = lively_run(tmp_path / "t0", "dcgan", 0, {"model": "dcgan", "lr": EVIL})
    rewrite(record, model=EVIL, data=EVIL, hardware={EVIL: EVIL}, git_commit=EVIL)
    lively_run(tmp_path / "t1", "gan", 0, status="failed", reason=EVIL)
    lively_run(tmp_path / "t2", "gan", 0, {"model": "gan", "lr": 0.1})
    page = Page(write_report([tmp_path], tmp_path / "report.html"))
    assert not [image for image in page.all("img") if "onerror" in image]
    assert len([s for s in page.all("script") if "type" not in s]) == 2
    assert EVIL in page.text
    # Plotly reads tags in text, so a name reaches it with its brackets escaped
    assert any(
        html.escape(EVIL, quote=False) in json.loads(script)["data"][0].get("name", "")
        for script, kind in zip(page.scripts, page.all("script"), strict=True)
        if "type" in kind
    )


def test_a_data_block_cannot_end_its_script() -> None:
    block = str(data_block({"a": "</script>&"}))
    assert "<" not in block and json.loads(block) == {"a": "</script>&"}


def test_mixed_protocols_get_a_notice_and_no_column(tmp_path: Path) -> None:
    write_run(tmp_path / "a", scores={FID: [5.0], MODES: [9.0]})
    other = protocol("fid", "minimize", split="test")
    write_run(tmp_path / "b", model="wgan", scores={FID: [6.0]}, protocols={FID: other})
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert f"{FID} is not compared." in text
    assert "split=train" in text and "split=test" in text
    heads = re.findall(r"<th[^>]*>.*?</th>", text.partition("<tbody>")[0], re.DOTALL)
    assert not any("fid" in head for head in heads)


def test_runs_that_have_no_score_at_all_still_make_a_page(tmp_path: Path) -> None:
    write_run(tmp_path / "a", status=None, scores={})
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "No run has finished" in text and "No run has recorded a score" in text


def test_an_incomplete_sample_grid_is_replaced_by_the_one_before(tmp_path: Path) -> None:
    record = lively_run(tmp_path / "a", "dcgan", 0)
    newest = record.sample_grids()[-1][1]
    newest.write_bytes(newest.read_bytes()[:100])
    grid, sheet = Page(write_report([tmp_path], tmp_path / "report.html")).all("img")
    assert "Grid of samples" in (grid["alt"] or "") and "40 kimg" in (grid["alt"] or "")
    assert "nearest real images" in (sheet["alt"] or "") and "60 kimg" in (sheet["alt"] or "")


def test_the_command_to_rerun_comes_from_the_record(tmp_path: Path) -> None:
    write_run(tmp_path / "a", command="gansweep train 'model.betas=[0.5, 0.9]'")
    (run,) = load([tmp_path])
    assert rerun_command(run) == "gansweep train 'model.betas=[0.5, 0.9]'"


def test_a_run_without_a_command_says_why(tmp_path: Path) -> None:
    write_run(tmp_path / "a", command="", no_command="No one command does: t0003 was copied.")
    write_run(tmp_path / "b", command="")
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "No one command does: t0003 was copied." in text
    assert "The record of this run contains no command." in text
