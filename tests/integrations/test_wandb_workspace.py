"""The workspace of W&B, against the package's own model of one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from report_records import FID, MODES, PROTOCOLS, write_run

Command = Callable[..., Any]


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    for seed in (0, 1):
        for lr in (1e-4, 1e-3):
            write_run(
                tmp_path / "runs" / "digits" / f"gan-{lr}-{seed}",
                seed=seed,
                scores={FID: [30.0, 20.0 + seed], MODES: [5.0, 9.0]},
                protocols={name: PROTOCOLS[name] for name in (FID, MODES)},
                config={"model": {"lr": lr}},
            )
    return tmp_path / "runs"


def panels(command: Command, *words: str) -> dict[str, list[dict[str, Any]]]:
    """Section -> its panels, of a workspace that the package's own model accepts."""
    internal = pytest.importorskip("wandb_workspaces.workspaces.internal")
    done = command("wandb-workspace", *words, "--dry-run")
    assert done.code == 0, done.err
    content = json.loads(done.out)
    view = internal.View.model_validate(content)
    assert view.spec.section.run_sets[0].grouping[0].name == "label.value"
    sections = content["spec"]["section"]["panelBankConfig"]["sections"]
    return {one["name"]: one["panels"] for one in sections}


def test_each_score_is_drawn_as_mean_and_standard_error_over_seeds(
    command: Command, runs: Path
) -> None:
    found = panels(command, "mine", str(runs), "--entity", "team")
    lines = [panel["config"] for panel in found["Scores"]]
    assert [line["metrics"] for line in lines] == [[f"scores/{FID}"], [f"scores/{MODES}"]]
    for line in lines:
        assert (line["xAxis"], line["groupBy"]) == ("kimg", "label.value")
        assert (line["groupAgg"], line["groupArea"]) == ("mean", "stderr")
        assert line["limit"] == 100


def test_samples_have_a_slider_of_steps(command: Command, runs: Path) -> None:
    (browser,) = panels(command, "mine", str(runs))["Samples"]
    assert browser["config"]["mediaKeys"] == ["samples", "neighbours"]
    assert browser["config"]["gallerySettings"]["axis"] == "step"


def test_a_sweep_gets_axes_for_what_differs_and_for_its_score(command: Command, runs: Path) -> None:
    found = panels(command, "mine", str(runs))
    parallel, importance, scatter = (panel["config"] for panel in found["Sweep"])
    columns = [column["accessor"] for column in parallel["columns"]]
    assert columns == ["config:model.value.lr", f"summary:scores/{FID}"]
    assert f"scores/{FID}" in json.dumps(importance)
    assert "model.lr" in json.dumps(scatter)


def test_without_runs_one_panel_shows_every_score(command: Command) -> None:
    found = panels(command, "mine")
    assert [panel["config"]["metricRegex"] for panel in found["Scores"]] == ["scores/.*"]
    assert "Sweep" not in found


def test_a_mistake_names_the_fix(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    command("wandb-workspace").is_refused_with("takes a project", "gansweep wandb-workspace")
    monkeypatch.setenv("NETRC", "/nowhere")
    command("wandb-workspace", "mine").is_refused_with("wandb login", "--dry-run")
