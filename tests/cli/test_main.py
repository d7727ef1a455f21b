"""The command line end to end: help, completion, several runs, a user's own model."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from places import TESTS

import gansweep
from gansweep.cli.main import VERBS
from gansweep.config.compose import conf_dir
from gansweep.records.record import RunRecord

Command = Callable[..., Any]
EXAMPLE = TESTS / "docs" / "example"
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["budget_kimg=0.1", "tracker=none", "metrics=none", "trainer=cpu"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_help_comes_without_a_verb_and_says_what_there_is(command: Command) -> None:
    plain, asked = command(), command("--help")
    assert plain == asked and plain.code == 0 and plain.err == ""
    for verb in ("train", "sweep", "worker", "report", "sync"):
        assert f"\n  {verb} " in plain.out


def test_version(command: Command) -> None:
    assert command("--version") == (0, f"gansweep {gansweep.__version__}\n", "")


def test_unknown_verb_is_refused_with_the_nearest(command: Command) -> None:
    command("trian").is_refused_with("no verb 'trian'", "Did you mean 'train'?", "--help")


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb != "completion"])
def test_empty_word_and_a_lone_dash_dash_are_refused(
    command: Command, tmp_path: Path, verb: str
) -> None:
    """Path("") is the current folder, and `train` of no word trains."""
    command(verb, "").is_refused_with(f"'gansweep {verb}' is empty", "remove it")
    command(verb, "--").is_refused_with("'--'", "remove it")
    assert names(tmp_path) == []


def test_help_answers_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Under 0.4 s is promised; a loaded machine is slower, so the imports are what is tested."""
    code = "import sys; from gansweep.cli.main import main; main(['--help']); print(*sys.modules)"
    times = []
    for _ in range(5):
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        times.append(time.perf_counter() - started)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert "gansweep.cli.main" in loaded
        assert not loaded & {"torch", "pytorch_lightning", "wandb", "hydra", "numpy", "optuna"}
    with capsys.disabled():
        print(f"\ngansweep --help: {min(times):.3f} s")
    assert min(times) < 2


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_help_fits_into_80_columns(
    command: Command, monkeypatch: pytest.MonkeyPatch, verb: str | None
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = command(*filter(None, [verb, "--help"]))
    assert shown.code == 0 and "gansweep" in shown.out
    assert verb is None or shown.out.startswith(f"Usage: gansweep {verb} ")
    assert [line for line in shown.out.splitlines() if len(line) > 80] == []


def test_help_of_train_lists_every_group_and_where_all_options_are(command: Command) -> None:
    shown = command("train", "--help")
    assert shown.code == 0 and "--cfg job" in shown.out
    assert len(shown.out.splitlines()) < 80
    listed = shown.out.partition("Groups and their choices")[2].partition("\n\n")[0]
    unfolded = listed.replace("\n    ", " ").splitlines()
    groups = dict(line.strip().split(": ", 1) for line in unfolded if ": " in line)
    assert not groups.keys() & {"sweep", "launcher", "model/base", "reproduce"}, (
        "nobody can choose these"
    )
    for group in ("data", "model", "trainer", "callbacks", "metrics", "tracker", "experiment"):
        assert groups[group].split(", ") == sorted(
            p.stem for p in (conf_dir() / group).glob("*.yaml")
        )


def test_cfg_job_prints_what_was_chosen_and_trains_nothing(
    command: Command, tmp_path: Path
) -> None:
    shown = command("train", "--cfg", "job", "model=wgan_gp", "seed=7")
    assert shown.code == 0
    assert "seed: 7" in shown.out and "gansweep.terms.losses.Wasserstein" in shown.out
    assert names(tmp_path) == []


def test_multirun_makes_one_numbered_run_for_each_combination(
    command: Command, tmp_path: Path
) -> None:
    done = command("train", "--multirun", "model=gan,dcgan", "seed=0,1", *TINY)
    assert done.code == 0, done.err
    runs = tmp_path / "runs" / "digits"
    assert names(runs) == [f"{model}-seed{n}-001" for model in ("dcgan", "gan") for n in (0, 1)]
    assert "\njob 3: model=dcgan seed=0\n" in done.err
    table = done.out[done.out.index("job  status") :].splitlines()
    assert [line.split()[0] for line in table] == ["job", "1", "2", "3", "4"]
    assert table[2].endswith("model=gan seed=1    runs/digits/gan-seed1-001")
    results = [RunRecord(runs / name).result() for name in names(runs)]
    assert [(r["model"], r["seed"]) for r in results] == [
        ("dcgan", 0), ("dcgan", 1), ("gan", 0), ("gan", 1)
    ]  # fmt: skip
    assert all(r["status"] == "finished" for r in results)
    assert "model=gan seed=1" in results[3]["command"] and "," not in results[3]["command"]


def test_group_of_several_folders_is_named_in_full(command: Command, tmp_path: Path) -> None:
    done = command("train", *TINY, "group=exp/one")
    run = Path("runs/exp/one/dcgan-001")
    assert f"wrote {run}\n" in done.out and RunRecord(run).exists
    done = command("train", *TINY, "-m", "name=deep/er", "seed=0")
    assert done.out.rstrip().endswith("runs/digits/deep/er")


def test_failing_job_of_a_multirun_is_named_and_the_others_run(
    command: Command, tmp_path: Path
) -> None:
    done = command(
        "train", "-m", "batch_size=5000,32", "seed=3", *[w for w in TINY if "batch" not in w]
    )
    assert done.code == 2 and "Traceback" not in done.err
    assert done.err.count("gansweep: batch_size=5000 is larger") == 1
    assert "1 of 2 runs failed:\n  batch_size=5000: batch_size=5000 is larger" in done.err
    name = "dcgan-batch_size32-001"
    assert names(tmp_path / "runs" / "digits") == [name]
    assert RunRecord(tmp_path / "runs" / "digits" / name).result()["status"] == "finished"


def test_interrupted_run_ends_a_multirun_with_130(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.callbacks.samples import Samples

    monkeypatch.setattr(Samples, "work", lambda *_: os.kill(os.getpid(), signal.SIGINT))
    words = ["callbacks.samples.every_kimg=0.2", "budget_kimg=50"]
    done = command("train", "-m", "seed=0,1", "~callbacks.neighbours", *TINY, *words)
    assert done.code == 130 and "interrupted after 0.2" in done.out
    assert "jobs after this one were not started" in done.err
    assert "    gansweep train -m seed=1 " in done.err
    assert done.err.partition("To train them:")[2].count("~callbacks.neighbours") == 1
    assert names(tmp_path / "runs" / "digits") == ["dcgan-seed0-001"]
    record = RunRecord(tmp_path / "runs" / "digits" / "dcgan-seed0-001")
    assert record.result()["status"] == "interrupted" and record.result()["kimg"] == 0.224
    assert (record.checkpoints / "last.pt").exists()


def test_second_interruption_ends_the_run_at_once(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.callbacks.samples import Samples

    def twice(self: Samples, module: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
        raise AssertionError("the second signal did not interrupt")

    outer = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(Samples, "work", twice)
    done = command("train", "callbacks.samples.every_kimg=0.2", *TINY, "budget_kimg=50")
    assert done.code == 130, done
    record = RunRecord(tmp_path / "runs" / "digits" / "dcgan-001")
    assert record.result()["status"] == "interrupted"
    assert not (record.checkpoints / "last.pt").exists()
    assert signal.getsignal(signal.SIGINT) is outer


def test_second_sigterm_is_the_same_request(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM sends it to every process of a job, and the worker of a sweep passes its own on."""
    from gansweep.callbacks.samples import Samples

    def twice(self: Samples, module: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Samples, "work", twice)
    command("train", "callbacks.samples.every_kimg=0.2", *TINY, "budget_kimg=50")
    record = RunRecord(tmp_path / "runs" / "digits" / "dcgan-001")
    assert record.result()["status"] == "interrupted"
    assert (record.checkpoints / "last.pt").exists()


# A user's own model, from the files that the README shows


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is where the commands are typed."""
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True, ignore=lambda *_: ["__pycache__"])
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    return tmp_path


@pytest.mark.parametrize("found_by", ["--config-dir conf", "hydra.searchpath=[file://conf]"])
def test_own_model_trains_and_its_command_runs_it_again(
    command: Command, mine: Path, found_by: str
) -> None:
    small = [w for w in TINY if "generator" not in w]
    words = [*found_by.split(), "model=my_gan", "extra_packages=[my_nets]", *small]
    done = command("train", *words)
    assert done.code == 0, done.err
    first = RunRecord(mine / "runs" / "digits" / "my_gan-001")
    assert first.result()["status"] == "finished" and first.result()["model"] == "my_gan"
    hidden = 100 * 256 + 256 + 2 * 256 + 256 * 64 + 64
    assert first.result()["parameters"]["generator"] == hidden
    again = shlex.split(first.result()["command"])
    assert again[0] == "gansweep"
    assert command(*again[1:]).code == 0
    second = RunRecord(mine / "runs" / "digits" / "my_gan-002")
    same = first.config_path.read_text() == second.config_path.read_text()
    assert same and second.result()["parameters"] == first.result()["parameters"]
    module, _ = gansweep.load_run(second.directory, extra_packages=["my_nets"])
    assert type(module.generator).__module__ == "my_nets"


def test_continued_run_of_an_own_model_needs_its_package_allowed_again(
    command: Command, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = [w for w in TINY if "generator" not in w]
    command("train", "--config-dir", "conf", "model=my_gan", "extra_packages=[my_nets]", *small)
    record = RunRecord(mine / "runs" / "digits" / "my_gan-001")
    before = record.result()["command"]
    again = ["train", f"resume={record.directory}", "budget_kimg=0.2"]
    command(*again).is_refused_with("'my_nets.Generator'", "'extra_packages=[my_nets]'")
    generate = ["generate", str(record.directory), "n=1"]
    command(*generate).is_refused_with("'extra_packages=[my_nets]'")
    assert command(*generate, "extra_packages=[my_nets]").code == 0
    monkeypatch.setenv("GANSWEEP_EXTRA_PACKAGES", "")
    done = command(*again, "extra_packages=[my_nets]")
    assert done.code == 0, done.err
    result = record.result()
    assert result["kimg"] == pytest.approx(0.2, abs=0.04)
    kept = before.replace(" budget_kimg=0.1", "").replace(" 'extra_packages=[my_nets]'", "")
    assert result["command"] == f"{kept} budget_kimg=0.2 'extra_packages=[my_nets]'"


def test_a_run_of_any_name_is_continued_and_begun_with_as_messages_name_it(
    command: Command, tmp_path: Path
) -> None:
    name = "été (1), it's a=b"
    quoted = name.replace("'", "\\'")
    assert command("train", "model=gan", *TINY, f"name='{quoted}'").code == 0
    record = RunRecord(tmp_path / "runs" / "digits" / name)
    done = command("train", f"resume=runs/digits/{name}", "budget_kimg=0.2")
    assert done.code == 0, done.err
    assert record.result()["kimg"] == pytest.approx(0.2, abs=0.04)
    done = command("train", "model=gan", *TINY, f"init=runs/digits/{name}@last")
    assert done.code == 0, done.err
    again = RunRecord(tmp_path / "runs" / "digits" / "gan-001").result()["command"]
    assert gansweep.compose(shlex.split(again)[2:]).init == f"runs/digits/{name}@last"


def test_own_class_is_refused_until_its_package_is_allowed(command: Command, mine: Path) -> None:
    done = command("train", "--config-dir", "conf", "model=my_gan", *TINY)
    done.is_refused_with("'my_nets.Generator'", "'extra_packages=[my_nets]'")
    assert not (mine / "runs").exists()


def test_package_that_is_not_there_is_named(command: Command, mine: Path) -> None:
    (mine / "my_nets.py").unlink()
    words = ["--config-dir", "conf", "model=my_gan", "extra_packages=[my_nets]"]
    command("train", *words, *TINY).is_refused_with("my_nets is not in", "PYTHONPATH")
    assert not (mine / "runs").exists()


@pytest.mark.slow
def test_installed_command_trains_and_writes_a_readable_record(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gansweep", "train", "model=gan", *TINY],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "digits" / "gan-001"
    assert f"wrote {run.relative_to(tmp_path)}" in done.stdout
    assert json.loads((run / "result.json").read_text())["status"] == "finished"
