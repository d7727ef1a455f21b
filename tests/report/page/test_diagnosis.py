"""The doctor's findings as the page is told."""

from pathlib import Path
from typing import Any

import pytest
from report_records import FID, write_run, write_sweep

from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.findings import Finding, Remedy
from gansweep.records.read import load
from gansweep.report.page.diagnosis_part import diagnosis_part
from gansweep.report.page.payload import boards_of

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

    monkeypatch.setattr("gansweep.report.page.diagnosis_part.diagnose", diagnose)


def told(directory: Path) -> dict[str, Any]:
    (shown,) = boards_of(load([directory]))
    return diagnosis_part(shown.rows, shown.runs)


def test_a_finding_comes_with_its_columns_the_judged_stretch_and_the_commands(
    tmp_path: Path, findings: None
) -> None:
    write_run(tmp_path / "w", model="wgan", scores={FID: [60.0, 70.0]})
    for seed, last in enumerate([20.0, 300.0, 300.0]):
        write_run(tmp_path / str(seed), model="gan", seed=seed, scores={FID: [20.0, last]})
    found = told(tmp_path)
    failure, warning = found["findings"]
    assert (failure["severity"], warning["severity"], found["healthy"]) == ("failure", "warning", 0)
    assert len(failure["runs"]) == 2 and failure["example"] in failure["runs"]
    assert failure["runs"][failure["example"]] == [1.0, 2.0]
    assert failure["columns"] == ["absent", FID, "loss/generator"]
    assert failure["remedies"] == [{"text": "penalise the gradient", "command": COMMAND}]


def test_healthy_configurations_are_counted(tmp_path: Path, findings: None) -> None:
    write_run(tmp_path / "a")
    found = told(tmp_path)
    assert (found["findings"], found["healthy"]) == ([], 1)


def test_rules_that_no_run_can_be_judged_by_are_listed_once(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path / str(seed), seed=seed)
    (gap,) = [one for one in told(tmp_path)["gaps"] if one["rule"] == "memorisation"]
    assert gap["runs"] == 2 and gap["fix"] == f"gansweep evaluate {tmp_path / '0'}"


def test_a_sweep_of_many_runs_is_diagnosed_by_the_real_rules(tmp_path: Path) -> None:
    (shown,) = boards_of(load([write_sweep(tmp_path)]))
    found = diagnosis_part(shown.rows, shown.runs)
    ill = {one["row"] for one in found["findings"]}
    assert len(ill) + found["healthy"] == len(shown.rows)
