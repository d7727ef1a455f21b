from pathlib import Path
from typing import Any

import pytest
from report_records import (
    COUNTS,
    FID,
    PROTOCOLS,
    part_of_sweep,
    protocol,
    write_evaluation,
    write_run,
    write_sweep,
)

from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.report.figures.palette import variants
from gansweep.report.figures.sweep import ABSENT, axis_of, parallel_coordinates
from gansweep.report.page.sections import sections


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sweep(tmp_path_factory.mktemp("runs"))


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
