"""`gansweep evaluate`: trained runs scored again under another protocol."""

from __future__ import annotations

import json
import re
import resource
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gansweep.cli.evaluate import HELP
from gansweep.config.compose import compose
from gansweep.metrics.measures import MEASURES
from gansweep.metrics.protocol import Score, score_name
from gansweep.records.find import find_records
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.run.evaluate import show
from gansweep.run.train import train

Command = Callable[..., Any]
QUICK = ["metrics.n_fake=200", "metrics.n_real=200", "metrics.scores=[fid,fid_error,recall]"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on digits that was trained without scores."""
    directory = tmp_path_factory.mktemp("trained") / "digits" / "gan-001"
    words = ["experiment=digits_gan", "metrics=none", "tracker=none", "trainer=cpu"]
    train(compose([*words, "budget_kimg=10"]), run_dir=directory, progress=False)
    return directory


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "runs" / "digits" / "gan-001"
    shutil.copytree(trained, copied)
    return copied


@pytest.fixture(autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """digitsnet is trained once for this file, not for every empty folder."""
    shared = tmp_path_factory.getbasetemp() / "evaluate-cache"
    monkeypatch.setenv("GANSWEEP_CACHE", str(shared))


def test_scores_join_the_record_under_their_protocols(command: Command, run: Path) -> None:
    done = command("evaluate", str(run), *QUICK)
    assert done.code == 0, done
    assert "fid_digitsnet1_200_train" in done.out
    assert f"next: gansweep report {run}" in done.out
    (row,) = RunRecord(run).evaluations()
    assert row["checkpoint"] == "last.pt", "the run scored nothing, so it has no best"
    assert row["kimg"] == 10
    assert set(row["scores"]) == set(row["protocols"])
    fid = row["scores"]["fid_digitsnet1_200_train"]
    assert fid["interval"][0] < fid["value"] < fid["interval"][1]
    assert row["protocols"]["fid_digitsnet1_200_train"]["noise_seed"] == 1
    assert max(map(len, done.out.splitlines())) <= 80 or str(run) in done.out


def test_another_protocol_is_another_column_of_the_report(command: Command, run: Path) -> None:
    for split in ("train", "test"):
        assert command("evaluate", str(run), *QUICK, f"metrics.split={split}").code == 0
    (read,) = load([run])
    values = [read.last(f"fid_digitsnet1_200_{split}") for split in ("train", "test")]
    assert all(values) and values[0] != values[1]


def test_a_run_is_scored_alike_twice_and_is_left_as_it_was(command: Command, run: Path) -> None:
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    for _ in range(2):
        assert command("evaluate", str(run), *QUICK).code == 0
    first, second = RunRecord(run).evaluations()
    assert first["scores"] == second["scores"]
    assert {p: p.read_bytes() for p in before} == before


def test_by_default_everything_that_fits_is_scored(command: Command, run: Path) -> None:
    done = command("evaluate", str(run), "metrics.n_fake=250")
    assert done.code == 0, done
    (row,) = RunRecord(run).evaluations()
    words = {protocol["score"] for protocol in row["protocols"].values()}
    assert {"fid_infinity", "ndb", "support", "memorisation", "fifty_fifty", "kid"} <= words


def test_every_name_and_value_of_a_full_panel_is_shown_in_80_columns(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = [word for measure in MEASURES for word in measure.words]
    shared = {"backbone": "digitsnet1", "n_fake": 10_000, "split": "train", "splits": 10}
    scores = {}
    for number, word in enumerate(words):
        protocol = {"score": word, **shared}
        scores[score_name(protocol)] = Score(1.001 + number, protocol, interval=(0.5, 99.25))
    show(scores)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    shown = [line.split() for line in lines]
    for name, score in scores.items():
        assert [name, f"{score.value:.4g}", *["95", "%", "within", "0", "to", "99"]] in shown
    assert "is for the mean FID of 10,000 samples" in " ".join(map(str.strip, lines))


def test_a_name_wider_than_the_terminal_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show({"x" * 100: Score(2.5, {})})
    assert capsys.readouterr().out.split() == ["x" * 100, "2.5"]


def test_the_help_names_options_that_exist() -> None:
    named = re.search(r"an option in it: (.*?), \.\.\.", HELP, re.DOTALL)
    assert named
    assert set(re.split(r",\s+", named[1])) <= set(compose(["metrics=full"]).metrics)


def test_one_broken_run_does_not_keep_the_others_from_their_scores(
    command: Command, run: Path
) -> None:
    broken = run.with_name("gan-000")
    shutil.copytree(run, broken)
    (broken / "checkpoints" / "last.pt").write_bytes(b"torn")
    done = command("evaluate", str(run.parent), *QUICK)
    assert done.code == 1
    assert "gan-000 was left out" in done.err
    assert RunRecord(run).evaluations() and not RunRecord(broken).evaluations()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["metrics=fulll"], "Did you mean 'full'"),
        (["metrics=none"], "measures nothing"),
        (["metrics.nfake=3"], "Did you mean 'metrics.n_fake'"),
        (["metrics.n_fake=3"], "3 samples cannot give the score"),
        (["model=dcgan"], "keeps a run's model and data"),
        (["checkpoint=bets"], "Did you mean 'best'"),
        (["accelerator=gpu"], "accelerator=auto or cpu or cuda"),
        (["--metrics"], "has no flag"),
        (["metrics=inception", "metrics.weights_path=none.pth"], "does not exist"),
    ],
)
def test_mistakes_name_the_fix(command: Command, run: Path, words: list[str], message: str) -> None:
    command("evaluate", str(run), *words).is_refused_with(message)
    assert not RunRecord(run).evaluations()


def test_a_place_without_runs_is_refused(command: Command, tmp_path: Path) -> None:
    command("evaluate", "runs/nothing").is_refused_with("does not exist")
    (tmp_path / "empty").mkdir()
    command("evaluate", "empty").is_refused_with("No run was found under empty")
    command("evaluate", "metrics.n_fake=5").is_refused_with("Name a run")


def test_run_of_a_relative_path_is_named_by_a_relative_path(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    group = run.parent
    monkeypatch.chdir(group.parent)
    assert [r.directory for r in find_records([Path(group.name)])] == [Path(group.name) / run.name]
    monkeypatch.chdir(run)
    assert [r.directory for r in find_records([Path()])] == [run.resolve()]


def test_a_torn_evaluation_is_skipped(command: Command, run: Path) -> None:
    path = RunRecord(run).evaluations_path
    path.write_text(json.dumps({"scores": {}, "protocols": {}}) + '\n{"scores": {"fid')
    with pytest.warns(UserWarning, match="skipped the damaged line 2"):
        assert len(RunRecord(run).evaluations()) == 1
    assert command("evaluate", str(run), *QUICK).code == 0
    with pytest.warns(UserWarning, match="skipped the damaged line 2"):
        assert len(RunRecord(run).evaluations()) == 2


def test_what_no_sample_allows_is_no_evaluation(command: Command, run: Path) -> None:
    words = ["metrics.n_fake=100", "metrics.scores=intra_fid", "metrics.noise_seed=1"]
    path = RunRecord(run).checkpoints / "last.pt"
    state = torch.load(path, weights_only=True)
    for tensor in state["game"]["players"]["generator"].values():
        tensor.zero_()  # every image is the same, so there is one class at most
    torch.save(state, path)
    done = command("evaluate", str(run), *words)
    assert done.code == 2
    assert "No score could be measured. intra_fid, intra_fid_per_class left out" in done.err
    assert not RunRecord(run).evaluations()


def test_scores_that_cannot_be_written_are_shown_and_the_record_is_left_sound(
    command: Command, run: Path
) -> None:
    path = RunRecord(run).evaluations_path
    assert command("evaluate", str(run), *QUICK).code == 0
    before = path.read_bytes()
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, unlimited[1]))
    try:
        done = command("evaluate", str(run), *QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    done.is_refused_with("evaluations.jsonl cannot be written", "evaluate again")
    assert "fid_digitsnet1_200_train" in done.out
    assert path.read_bytes() == before
