"""`gansweep reproduce`, in this process: the plan, the refusals, and one small table in full."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Finished
from small_table import SMALL, trained

from gansweep.cli import reproduce_run, reproduction
from gansweep.config import permissions
from gansweep.config.compose import compose
from gansweep.engine.launch import slurm_queue
from gansweep.engine.lease.workers import launching
from gansweep.errors import UserError
from gansweep.records.address import REVISIONS
from gansweep.records.record import RunRecord
from gansweep.reproduce import cost
from gansweep.reproduce.plan import adopted, planned_cells, planned_runs, settings_of
from gansweep.reproduce.table_file import load_table, table_names
from gansweep.run.train import train

Command = Callable[..., Finished]


def test_without_a_table_it_lists_them(command: Command) -> None:
    shown = command("reproduce")
    assert shown.code == 0 and all(len(line) <= 80 for line in shown.out.splitlines())
    names = {line.split()[0] for line in shown.out.splitlines() if line[:1].strip()}
    assert set(table_names(None)) <= names, "whole: each is the word to give"


def test_a_dry_run_says_what_it_costs_and_writes_nothing(command: Command, small: str) -> None:
    shown = command("reproduce", "small", "--config-dir", small, "--dry-run", "--seeds", "3")
    assert shown.code == 0
    assert "2 cells, 6 runs" in shown.out and "\n  GAN / alternating" in shown.out
    assert "to run: 6 runs" in shown.out
    assert not Path("runs").exists() and not Path("results").exists()


def test_names_that_fill_the_line_are_not_moved_beyond_its_end(
    command: Command, small: str
) -> None:
    content = {**SMALL, "rows": {"GAN".ljust(30, "-"): SMALL["rows"]["GAN"]}}
    (Path(small) / "reproduce" / "small.yaml").write_text(yaml.safe_dump(content))
    shown = command("reproduce", "small", "--config-dir", small, "--dry-run").out
    assert max(map(len, shown.splitlines())) <= 80 and "- / alternating" in shown


def test_a_table_of_classes_of_ones_own_is_allowed_their_package(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(permissions.PACKAGES, "")  # restored after the test
    words = ("reproduce", "small", "--config-dir", small, "--dry-run")
    assert command(*words, "extra_packages=[table_terms]").code == 0
    assert permissions.allowed_packages() == ["table_terms"]


def test_a_part_of_a_table_is_not_begun_beside_jobs_for_the_rest(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = load_table("small", small)
    runs = planned_runs(planned_cells(table, table.budget(None), compose), 1)
    budget, place = table.budget(None), Path("runs") / "reproduce-small"
    place.mkdir(parents=True)
    settings_of(table, budget, runs, name="reproduce-small", runs_dir="runs").save(place)
    jobs = [slurm_queue.Job("7_1", "PENDING", "Priority", "", "1:00")]
    monkeypatch.setattr(slurm_queue, "queue", lambda directory: jobs)
    for module in (reproduce_run, reproduction):
        monkeypatch.setattr(module, "worker_count", lambda *_, **__: 1)
    words = ("reproduce", "small", "--config-dir", small, "launcher=slurm", "--only", "GAN")
    refused = command(*words)
    refused.is_refused_with("SLURM has jobs for other runs of this table, such as R1-", "cancel")


def test_what_is_shown_has_the_seeds_of_other_commands(command: Command, small: str) -> None:
    """Of the table's directory, while `--seeds 3` runs; the budget has one."""
    table = load_table("small", small)
    runs = planned_runs(planned_cells(table, table.budget(None), compose), 3)
    for run in runs:
        if run.planned.cell.row == "GAN":
            trained(small, Path("runs") / "reproduce-small" / run.key, seed=run.seed)
    shown = command("reproduce", "small", "--config-dir", small, "--show").out
    assert "0.0001 (3)" in shown


def test_whole_runs_are_dealt_out(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs of 40 s on two workers."""
    monkeypatch.setattr(cost, "_measure", lambda cfg, threads: cost.Cost(1.0, 1000, 0.0, False))
    words = ("reproduce", "small", "--config-dir", small, "--dry-run", "--only", "GAN")
    shown = command(*words, "--seeds", "3", "workers=2").out
    assert "2 min 00 s of one worker" in shown and "about 1 min 20 s with 2 workers" in shown


def test_what_was_trained_is_kept_where_a_file_cannot_be_written(
    command: Command, small: str, tmp_path: Path
) -> None:
    for k, row in enumerate(("GAN", "R1")):
        trained(small, Path("runs") / "anywhere" / f"run-{k}", row=row)
    words = ("reproduce", "small", "--config-dir", small, "--csv")
    command(*words, "none/x.csv").is_refused_with("--csv none/x.csv: the folder none does not")
    assert not Path("results").exists()
    (tmp_path / "folder").mkdir()
    command(*words, str(tmp_path / "folder")).is_refused_with("it is a folder")
    refused = command(*words, "/proc/x.csv")
    assert refused.code == 2 and "cannot be written to" in refused.err
    assert Path("results/small.json").exists() and "0.0001 (1)" in refused.out


def test_a_page_that_cannot_be_written_is_no_traceback(command: Command, small: str) -> None:
    for k, row in enumerate(("GAN", "R1")):
        trained(small, Path("runs") / "anywhere" / f"run-{k}", row=row)
    assert command("reproduce", "small", "--config-dir", small).code == 0
    words = ("reproduce", "small", "--config-dir", small, "runs_dir=/proc/nope")
    refused = command(*words)
    assert refused.code == 2 and "Choose another place with runs_dir=." in refused.err


def test_what_train_has_run_does_not_run_again(command: Command, small: str) -> None:
    trained(small, Path("runs") / "anywhere" / "run-001")
    shown = command("reproduce", "small", "--config-dir", small, "--dry-run")
    assert "2 runs, 1 of them has ended" in shown.out
    table = command("reproduce", "small", "--config-dir", small, "--show").out
    assert "0.0001 (1)" in table and "no run yet" in table
    alone = command("reproduce", "small", "--config-dir", small, "--show", "--csv", "-").out
    assert alone.startswith("row,setting,score") and "the paper's rule" not in alone


def test_a_run_that_failed_by_a_bug_or_goes_on_counts_for_nothing(
    small: str, tmp_path: Path
) -> None:
    table = load_table("small", small)
    cells = planned_cells(table, table.budget(None), compose)
    runs = planned_runs(cells, 1)
    for status in ("failed", "running", "interrupted"):
        trained(small, tmp_path / "r" / "g" / "a", status)
        assert adopted(runs, tmp_path / "r") == {}
    trained(small, tmp_path / "r" / "g" / "a", "diverged")
    assert list(adopted(runs, tmp_path / "r")) == [runs[0].address]
    (tmp_path / "r" / "g" / "a" / "config.yaml").write_text("a: [")
    assert adopted(runs, tmp_path / "r") == {}


def test_a_run_that_was_cut_off_counts_for_nothing(small: str, tmp_path: Path) -> None:
    """A limit of the trainer, or a callback, ended it within its budget."""
    table = load_table("small", small)
    runs = planned_runs(planned_cells(table, table.budget(None), compose), 1)
    trained(small, tmp_path / "r" / "g" / "a")
    assert list(adopted(runs, tmp_path / "r")) == [runs[0].address]
    record = RunRecord(tmp_path / "r" / "g" / "a")
    record.write_result({**(record.result() or {}), "kimg": 0.01})
    assert adopted(runs, tmp_path / "r") == {}


def test_of_two_records_of_a_run_the_lost_one_counts(small: str, tmp_path: Path) -> None:
    table = load_table("small", small)
    runs = planned_runs(planned_cells(table, table.budget(None), compose), 1)
    for names in (("a", "b"), ("d", "c")):
        for name, status in zip(names, ("finished", "diverged"), strict=True):
            trained(small, tmp_path / names[0] / "g" / name, status)
        (record,) = adopted(runs[:1], tmp_path / names[0]).values()
        assert (record.result() or {})["status"] == "diverged"


def test_an_option_that_is_made_of_the_seed_is_that_of_each_run(tmp_path: Path) -> None:
    """The labels that are kept are drawn by `label_seed: ${seed}`."""
    table = load_table("sgan_labels")
    cells = planned_cells(table, table.budget("small"), compose, ["K + 1 classes, game / 100"])
    for run in planned_runs(cells, 3):
        own = run.planned.settings_with(run.seed)
        labels = {key: value for key, value in own.items() if key.endswith("label_seed")}
        assert set(labels.values()) == {float(run.seed)}


def test_a_run_of_an_older_version_counts_where_it_was_given_the_same_options(
    small: str, tmp_path: Path
) -> None:
    table = load_table("small", small)
    runs = planned_runs(planned_cells(table, table.budget(None), compose), 1)
    trained(small, tmp_path / "r" / "g" / "a")
    record = RunRecord(tmp_path / "r" / "g" / "a")
    content = yaml.safe_load(record.config_path.read_text())
    del content["model"]["simultaneous"]
    record.config_path.write_text(yaml.safe_dump(content))
    assert adopted(runs, tmp_path / "r") == {}
    overrides = [*runs[0].planned.words, "seed=0", "group=g", "trainer.threads=1"]
    record.write_result({**(record.result() or {}), "overrides": overrides})
    assert list(adopted(runs, tmp_path / "r")) == [runs[0].address]
    content["model"]["n_critic"] = 3
    record.config_path.write_text(yaml.safe_dump(content))
    assert adopted(runs, tmp_path / "r") == {}


def test_a_run_of_an_older_network_is_none_of_todays(
    small: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(REVISIONS, "gansweep.layers.dirac.", 2)
    table = load_table("small", small)
    runs = planned_runs(planned_cells(table, table.budget(None), compose), 1)
    trained(small, tmp_path / "r" / "g" / "a")
    record = RunRecord(tmp_path / "r" / "g" / "a")
    result = {**(record.result() or {}), "overrides": [*runs[0].planned.words, "seed=0"]}
    for revisions in (None, {}, {"gansweep.layers.dirac.": 1}):
        record.write_result({**result, "revisions": revisions})
        assert adopted(runs, tmp_path / "r") == {}, revisions
    record.write_result({**result, "revisions": dict(REVISIONS)})
    assert list(adopted(runs, tmp_path / "r")) == [runs[0].address]


def test_what_an_older_version_has_begun_is_continued(command: Command, small: str) -> None:
    saves = "+callbacks.checkpoint._target_=gansweep.callbacks.checkpoint.Checkpoint"
    content = {**SMALL, "overrides": [*SMALL["overrides"], saves]}
    (Path(small) / "reproduce" / "small.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    table = load_table("small", small)
    (run, *_) = planned_runs(planned_cells(table, table.budget(None), compose), 1)
    begun = RunRecord(Path("runs") / "reproduce-small" / f"{run.place}0123abcd")
    words = [*run.planned.words, "seed=0", "trainer=cpu", "tracker=none"]
    train(compose(words), run_dir=begun.directory, until_kimg=0.02, progress=False)
    before = begun.history()
    begun.write_result({**(begun.result() or {}), "status": "interrupted"})
    options = yaml.safe_load(begun.config_path.read_text())
    del options["model"]["simultaneous"]
    begun.config_path.write_text(yaml.safe_dump(options))

    done = command("reproduce", "small", "--config-dir", small, "--only", "GAN", "trainer=cpu")
    assert done.code == 0, done.err
    assert (begun.result() or {})["status"] == "finished"
    assert begun.history()[: len(before)] == before and len(begun.history()) > len(before)
    assert list(begun.directory.parent.glob(f"{run.place}*")) == [begun.directory]
    again = command("reproduce", "small", "--config-dir", small, "--dry-run")
    assert "2 runs, 1 of them has ended" in again.out


def test_a_check_of_nothing_is_no_success(command: Command) -> None:
    done = command("reproduce", "pacgan_2d", "--budget", "small", "--verify")
    assert done.code == 1 and done.out.startswith("0 runs scored again")


def test_costs_that_are_not_known_here_keep_no_cluster_waiting(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_gpu(cfg: Any, threads: int) -> cost.Cost:
        raise UserError("PyTorch finds no GPU.")

    monkeypatch.setattr(cost, "_measure", without_gpu)
    words = ("reproduce", "small", "--config-dir", small, "--dry-run")
    command(*words).is_refused_with("finds no GPU")
    done = command(*words, "launcher=slurm")
    assert done.code == 0 and "to run: 2 runs. What they cost could not be" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dirac_gam"], ["Did you mean 'dirac_gan'", "The tables are:"]),
        (["dirac_gan", "pacgan_2d"], ["Name one table", "pacgan_2d"]),
        (["dirac_gan", "--only", "GAM"], ["no such row", "Did you mean 'GAN'"]),
        (["dirac_gan", "--only", "instance noise 1"], ["the paper's figures alone"]),
        (["pacgan_2d", "--only", "ALI / ring"], ["the paper's figures alone"]),
        (["pacgan_2d", "--only", "GAN / rim"], ["Did you mean 'GAN / ring'", "ring; grid"]),
        (["dirac_gan", "--budget", "smal"], ["no such budget", "It has: paper"]),
        (["dirac_gan", "--seeds", "2", "--seeds", "3"], ["the flag --seeds: it takes one value"]),
        (["dirac_gan", "--config-dir", ".", "-cd", "."], ["-cd: it takes one value"]),
        (["dirac_gan", "--seeds", "0"], ["--seeds 0 is no number of runs"]),
        (["dirac_gan", "--seeds", "many"], ["--seeds many is no number of runs"]),
        (["dirac_gan", "--minutes", "soon"], ["--minutes soon is no time"]),
        (["dirac_gan", "--minutes", "5", "--budget", "paper"], ["give one of them"]),
        (["dirac_gan", "--show", "--dry-run"], ["do not go together"]),
        (["dirac_gan", "--show", "--only", "GAN"], ["--show is of the whole table"]),
        (["dirac_gan", "--badge", "--seeds", "2"], ["--badge is of the whole table"]),
        (["dirac_gan", "--dry-run", "--csv", "a.csv"], ["Use --show --csv a.csv"]),
        (["dirac_gan", "--csv", "-"], ["--csv -: one table alone", "Use --show --csv -."]),
        (["dirac_gan", "--show", "--csv", "-", "--latex", "-"], ["--csv - and --latex -: one"]),
        (["dirac_gan", "--verify", "--latex", "a"], ["--verify prints no table"]),
        (["dirac_gan", "--dryrun"], ["no flag '--dryrun'"]),
        (["dirac_gan", "model.n_critic=2"], ["what is trained is the table's"]),
        (["dirac_gan", "budget=paper"], ["'budget=paper' has no dashes: write --budget paper"]),
        (["dirac_gan", "worker=2"], ["Did you mean 'workers'"]),
        (
            ["dirac_gan", "extra_package=[mine]"],
            ["Did you mean 'extra_packages'", "tracker and extra_packages"],
        ),
        (["dirac_gan", "results_dir="], ["no option"]),
        (["dirac_gan", "+trainer.max_time=00:00:01:00"], ["changes what is trained", "threads"]),
        (["dirac_gan", "launcher=kubernetes", "--dry-run"], ["launcher.image= is missing"]),
        (["dirac_gan", "launcher=slrum"], ["slurm"]),
        (["dirac_gan", "launcher.slots_per_gpu=auto"], ["Give a number", "slots_per_gpu=2"]),
        (["dirac_gan", "workers=0"], ["workers"]),
        (["dirac_gan", "trainer.thread=2"], ["trainer.threads"]),
        (["dirac_gan", "--verify"], ["no samples to score again"]),
        (["dirac_gan", "--config-dir", "nowhere"], ["nowhere is not a folder"]),
    ],
)
def test_a_mistake_is_refused_before_anything_runs(
    command: Command, words: list[str], said: list[str]
) -> None:
    command("reproduce", *words).is_refused_with(*said)
    assert not Path("runs").exists()


def test_a_damaged_file_of_results_is_refused(command: Command, small: str) -> None:
    Path("results").mkdir()
    Path("results/small.json").write_text("{")
    refused = command("reproduce", "small", "--config-dir", small, "--dry-run")
    refused.is_refused_with("results/small.json is damaged", "git checkout")


def test_a_second_process_is_refused_and_told_what_the_verb_takes(
    command: Command, small: str
) -> None:
    (Path("runs/reproduce-small") / "workers").mkdir(parents=True)
    with launching(Path("runs/reproduce-small")):
        refused = command("reproduce", "small", "--config-dir", small)
    refused.is_refused_with("is at work already", "choose another runs_dir=")
    assert "name=" not in refused.err


@pytest.mark.slow
def test_a_table_is_trained_in_full_and_then_known(command: Command, small: str) -> None:
    words = ("reproduce", "small", "--config-dir", small, "workers=1", "trainer=cpu")
    first = command(*words)
    assert first.code == 0, first
    assert "2 of 2 figures agree with the calculated ones" in first.out
    stored: dict[str, Any] = json.loads(Path("results/small.json").read_text())
    assert [run["status"] for run in stored["runs"]] == ["finished"] * 2
    assert "experiment=paper_dirac_gan" in stored["runs"][0]["command"]
    page = Path("runs/reproduce-small/table.html").read_text()
    assert "GAN, alternating, seed 0</a>" in page
    status = command("status", "runs/reproduce-small").out
    assert status.startswith("sweep reproduce-small\n") and "trials   2 done\n\n" in status
    assert "see the table" in status and "--show" in status and "winners" not in status
    again = command(*words)
    assert "2 runs, 2 of them have ended" in again.out and "to run" not in again.out
    first_run = next(iter(Path("runs/reproduce-small").glob("GAN-*")))
    shutil.rmtree(first_run)
    Path("results/small.json").unlink()
    gone = command(*words)
    assert gone.code == 1 and f"has trained {first_run.name}, and the" in gone.err
    assert "records are gone" in gone.err.replace("\n", " ")


OWN_SCORE = {
    "title": "A score of my own",
    "citation": "Nobody",
    "known_from": "ours",
    "overrides": [
        *("model=gan", "data=digits", "batch_size=64", "budget_kimg=0.64"),
        *("model.generator.width=8", "model.discriminator.width=8"),
        *("metrics.n_fake=200", "metrics.scores=[fid]"),
        "+metrics.own.sliced._target_=my_scores.Sliced",
    ],
    "scores": {"sliced": {"direction": "minimize", "factor": 100}, "fid": {}},
    "settings": {"digits": {}},
    "rows": {"GAN": {"cells": {"digits": {}}}},
    "budgets": {"all": {"seeds": 1}},
}


@pytest.mark.slow
def test_a_score_of_ones_own_is_a_column(
    command: Command, small: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = str(Path(__file__).parents[1] / "docs" / "example")
    monkeypatch.syspath_prepend(home)
    monkeypatch.setenv("PYTHONPATH", home)
    monkeypatch.setenv(permissions.PACKAGES, "")  # restored after the test
    (Path(small) / "reproduce" / "mine.yaml").write_text(yaml.safe_dump(OWN_SCORE))
    words = ("reproduce", "mine", "--config-dir", small, "extra_packages=[my_scores]")
    trained = command(*words, "workers=1", "trainer=cpu")
    assert trained.code == 0, trained
    (run,) = json.loads(Path("results/mine.json").read_text())["runs"]
    (value,) = run["last"]["sliced"]
    assert value > 0 and run["protocols"]["sliced"]["direction"] == "minimize"
    (row,) = [line for line in trained.out.splitlines() if "sliced" in line]
    assert f"{100 * value:.2f} (1)" in row
    checked = command(*words, "--verify")
    assert checked.code == 0 and "1 run scored again: 0 scores differ" in checked.out
