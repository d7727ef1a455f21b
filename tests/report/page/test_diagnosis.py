"""The page's sections on the doctor's findings, the game, and how runs ended."""

from pathlib import Path

import pytest
from report_records import FID, write_run, write_sweep

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding, Remedy
from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load
from gansweep.report.figures.palette import variants
from gansweep.report.page.diagnosis import diagnosis
from gansweep.report.page.page import write_report
from gansweep.report.page.sections import sections

COMMAND = "gansweep train model=gan '+model.penalties.r1={weight: 0.1}'"
FINDING = Finding(
    rule="divergence",
    severity="failure",
    text="FID went from 20 to 300 <b> after 1 kimg.",
    columns=("absent", FID, "loss/generator"),
    kimg=(1.0, 2.0),
    remedies=(Remedy("penalise the gradient", ("x=1",), COMMAND),),
)
WARNING = Finding("oscillation", "warning", "It swings.", (FID,), (0.0, 2.0))


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs whose FID ends above 100 diverge, those above 50 oscillate."""

    def diagnose(evidence: Evidence) -> list[Finding]:
        last = evidence.curves[FID][-1][1]
        return [FINDING] if last > 100 else [WARNING] if last > 50 else []

    monkeypatch.setattr("gansweep.report.page.diagnosis.diagnose", diagnose)


def test_a_finding_comes_with_its_curve_the_judged_stretch_and_the_commands(
    tmp_path: Path, findings: None
) -> None:
    write_run(tmp_path / "w", model="wgan", scores={FID: [60.0, 70.0]})
    for seed, last in enumerate([20.0, 300.0, 300.0]):
        write_run(tmp_path / str(seed), model="gan", seed=seed, scores={FID: [20.0, last]})
    board = leaderboard(load([tmp_path]))
    found = diagnosis(board, variants(board))
    failure, warning = found.shown
    assert (failure.finding, warning.finding, found.healthy, found.others) == (
        FINDING,
        WARNING,
        0,
        0,
    )
    assert failure.where == "seed 1; found in 2 of 3 runs" and warning.where == "seed 0"
    (figure,) = failure.figures
    assert figure.data[0]["y"] == [20.0, 300.0]
    (shade,) = figure.layout["shapes"]
    assert (shade["x0"], shade["x1"]) == (1.0, 2.0)
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "FID went from 20 to 300 &lt;b&gt; after 1 kimg." in text
    assert "gansweep train model=gan &#39;+model.penalties.r1={weight: 0.1}&#39;" in text
    assert text.index('id="diagnosis"') < text.index('id="curves"')


def test_healthy_runs_are_called_healthy(tmp_path: Path, findings: None) -> None:
    write_run(tmp_path / "a")
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "The numbers of these runs show none of the known failures." in text


def test_rules_that_no_run_can_be_judged_by_are_listed_once(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / str(seed), seed=seed)
    board = leaderboard(load([tmp_path]))
    unjudged = {gap.rule: count for gap, count in diagnosis(board, variants(board)).unjudged}
    assert unjudged["memorisation"] == 2
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert text.count("the run has no score of memorisation") == 1
    assert f"<code>gansweep evaluate {tmp_path / '0'}</code>" in text


def test_findings_of_configurations_that_are_not_drawn_are_counted(
    tmp_path: Path, findings: None
) -> None:
    for width in range(12):
        config = {"model": {"width": width}}
        write_run(tmp_path / str(width), scores={FID: [20.0, 300.0 + width]}, config=config)
    board = leaderboard(load([tmp_path]))
    drawn = variants(board)
    found = diagnosis(board, drawn)
    assert len(found.shown) == len(drawn) and found.others == 12 - len(drawn)


def test_the_game_is_shown_only_where_it_was_recorded(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    record.append({"kimg": 2.0, "seconds": 4.0, "grad_norm/generator": 3.0, "overfit/r_v": 0.2})
    board = leaderboard(load([tmp_path]))
    shown = {part.anchor: part.figures for part in sections(board, variants(board))}
    gradient, overfitting = shown["game"]
    assert gradient.title == "generator: gradient norm" and gradient.data[0]["y"] == [3.0]
    assert overfitting.title.endswith("r_v") and overfitting.layout["shapes"][0]["y0"] == 0.5
    assert "balance" not in shown and "critic" not in shown


def test_a_division_by_almost_0_does_not_flatten_the_rest(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    for kimg, ratio in ((1.0, 0.2), (2.0, -15.0)):
        record.append({"kimg": kimg, "seconds": 1.0, "overfit/r_v": ratio})
    board = leaderboard(load([tmp_path]))
    (figure,) = {part.anchor: part.figures for part in sections(board, variants(board))}["game"]
    assert figure.layout["yaxis"]["range"] == [-1.0, 2.0] and "division by almost 0" in figure.note


def test_a_run_that_a_rule_stopped_is_ranked_and_shown_with_rule_and_reason(
    tmp_path: Path,
) -> None:
    reason = "fid_digitsnet_2k_train has not improved by 2 % for 50 kimg (at 90.0 kimg)"
    write_run(tmp_path / "a", status="plateau", reason=reason, stopped_by="stop_on_plateau")
    write_run(tmp_path / "b", seed=1)
    board = leaderboard(load([tmp_path]))
    assert board.rows[0].seeds == 2 and [run.status for run in board.early] == ["plateau"]
    text = write_report([tmp_path], tmp_path / "report.html").read_text()
    assert "Runs that ended early" in text and reason in text
    assert "stopped by stop_on_plateau" in text


def test_a_sweep_of_many_runs_is_diagnosed_by_the_real_rules(tmp_path: Path) -> None:
    board = leaderboard(load([write_sweep(tmp_path)]))
    found = diagnosis(board, variants(board))
    counted = len({one.variant.index for one in found.shown}) + found.healthy + found.others
    assert counted == len(board.rows) + len(board.open_rows)
