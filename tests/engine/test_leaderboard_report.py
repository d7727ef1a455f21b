"""The page and leaderboard.json are two views of one sweep: they must tell the same."""

import json
from pathlib import Path

import pytest
import sweep_fakes
from places import SUPPORT

from gansweep.cli.sweep_run import run_sweep
from gansweep.judging.leaderboard import leaderboard
from gansweep.records.read import load

SWEEP = """
n_trials: 3
confirm: {top: 2, per: config, seeds: 2}
space:
  lr: interval(1, 2)
"""


@pytest.mark.parametrize("at", ["last", "best"])
def test_the_report_ranks_a_sweep_as_its_leaderboard_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(SUPPORT))
    (tmp_path / "own" / "sweep").mkdir(parents=True)
    (tmp_path / "own" / "sweep" / "mini.yaml").write_text(SWEEP)
    where = ["--config-dir", str(tmp_path / "own"), f"runs_dir={tmp_path / 'runs'}", "name=s"]
    words = ["sweep=mini", "workers=1", f"sweep.objective.at={at}", *where]
    directory = run_sweep(words, compose=sweep_fakes.compose, target="sweep_fakes.trial")
    written = json.loads((directory / "leaderboard.json").read_text())
    board = leaderboard(load([directory]))
    confirmed = [row for row in board.rows if row.stage == "confirmed"]
    assert (board.at, len(confirmed)) == (written["read_at"], 2)
    for row, reported in zip(confirmed, written["rows"], strict=True):
        summary = row.scores(board.at)["fid_fake"]
        assert row.rank == reported["rank"] and board.metric == reported["score"]
        assert sorted(run.directory.name for run in row.complete) == sorted(reported["runs"])
        assert (summary.mean, summary.std) == pytest.approx((reported["mean"], reported["std"]))
        assert summary.interval == pytest.approx(tuple(reported["interval"]))
