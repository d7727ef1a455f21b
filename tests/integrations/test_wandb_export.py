"""`engine=wandb`: the file of the W&B sweep, what agents make of it, and the agents themselves."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from gansweep.config.compose import conf_dir
from gansweep.engine.lease.gpus import GpuShare
from gansweep.errors import UserError
from gansweep.integrations import wandb_engine
from gansweep.integrations.wandb_engine import Agents
from gansweep.integrations.wandb_export import SweepFile, export
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings
from gansweep.search.space import Space

Command = Callable[..., Any]
METRIC = "fid_digitsnet_1k_train"
TRACKER = {
    "_target_": "gansweep.callbacks.tracking.wandb_logger",
    "project": "gans",
    "mode": "auto",
}
PRESETS, MODELS = (sorted(conf_dir().glob(f"{group}/*.yaml")) for group in ("sweep", "model"))
SCHEMA = json.loads((Path(__file__).parent / "wandb_sweep_schema.json").read_text())

formats = jsonschema.FormatChecker()
formats.checks("float")(lambda value: isinstance(value, float))
formats.checks("integer")(lambda value: isinstance(value, int))


def validate(content: dict[str, Any]) -> None:
    """Hold a sweep file to W&B's own schema, with the checks beside it that JSON cannot state."""
    jsonschema.Draft7Validator(SCHEMA, format_checker=formats).validate(content)
    for parameter in content["parameters"].values():
        if "min" in parameter:
            assert parameter["min"] < parameter["max"]


def settings(**changes: Any) -> Settings:
    plain: dict[str, Any] = {
        "name": "first",
        "n_trials": 20,
        "budget_kimg": 50.0,
        "base_seed": 0,
        "space": {},
        "overrides": ["model=dcgan"],
        "objective": {"metric": "fid", "direction": "auto", "at": "last"},
        "sampler": {"name": "random", "seed": 0, "startup_trials": 5},
        "pruner": {
            "name": "none", "warmup_fraction": 0.2, "startup_trials": 5, "reduction_factor": 3,
        },
        "confirm": {"top": 0, "per": "config", "seeds": 1, "n_fake": None},
        "max_retries": 2,
        "runs_dir": "runs",
        "evaluation_kimg": 4.0,
    }  # fmt: skip
    for key, value in changes.items():
        plain[key] = {**plain.get(key, {}), **value} if isinstance(value, dict) else value
    return Settings(**plain)


def exported(space: dict[str, Any], tracker: dict[str, Any] = TRACKER, **changes: Any) -> Any:
    files = export(settings(**changes), Space.parse(space), tracker, lambda overrides: METRIC)
    for file in files:
        validate(file.content)
    return files


def agents_words(file: SweepFile, drawn: dict[str, Any]) -> list[str]:
    """The command that W&B's own agent makes of a file for the parameters drawn."""
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

    macros = create_sweep_command_args({"args": {k: {"value": v} for k, v in drawn.items()}})
    macros["env"] = ["/usr/bin/env"]
    command = yaml.safe_load(yaml.safe_dump(file.content))["command"]
    words = create_sweep_command(command)
    return [w for word in words for w in macros.get(word.strip("${}"), [word])]


# The file


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_every_preset_becomes_valid_files_or_is_refused_with_the_mend(preset: Path) -> None:
    defaults = OmegaConf.load(conf_dir() / "sweep.yaml")
    node = OmegaConf.merge(defaults.sweep, OmegaConf.load(preset))
    changes: dict[str, Any] = OmegaConf.to_container(node)  # type: ignore[assignment]
    space = changes.pop("space")
    if space == "own":
        return  # the next test has them
    if changes["sampler"]["name"] == "grid":
        changes["n_trials"] = len(Space.parse(space).grid())
    try:
        assert exported(space, **changes)
    except UserError as refused:
        assert "W&B sweeps" in str(refused) and "engine=optuna" in str(refused)
        assert preset.stem in ("pareto", "pbt")


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.stem)
def test_every_search_block_of_a_model_becomes_a_valid_file(model: Path) -> None:
    block = OmegaConf.load(model).get("search") or {"n_critic": "choice(1, 2)"}
    (file,) = exported({f"model.{key}": value for key, value in block.items()})
    assert len(file.content["parameters"]) == len(block)


@pytest.mark.parametrize(
    ("entry", "parameter"),
    [
        ("choice(32, 64)", {"values": [32, 64]}),
        ("interval(0, 1)", {"distribution": "uniform", "min": 0.0, "max": 1.0}),
        (
            "tag(log, interval(1e-5, 1e-3))",
            {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-3},
        ),
        ("int(interval(1, 8))", {"distribution": "int_uniform", "min": 1, "max": 8}),
        (
            "tag(log, int(interval(1, 64)))",
            {"distribution": "q_log_uniform_values", "min": 1, "max": 64, "q": 1},
        ),
        ("range(1, 4)", {"values": [1, 2, 3]}),
        (0.5, {"value": 0.5}),
    ],
)
def test_entries_keep_their_distribution(entry: Any, parameter: dict[str, Any]) -> None:
    (file,) = exported({"model.x": entry})
    assert file.content["parameters"] == {"model.x": parameter}


VALUES = [None, True, False, 3, 1e-05, 0.5, "dcgan", "null", "true", "1e-3", "a b", "it's", "x,y"]
VALUES += ["[z]", "a=b", "{q: 1}", "naïve", [0.5, 0.9], ["a", "b c"], [None], {"k": 1}]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_value_reaches_hydra_as_it_is_through_the_agent(value: Any) -> None:
    """The agent writes KEY=str(value), which makes None of a null and loses quotes."""
    from gansweep.search.domains import override_text

    (file,) = exported({"model.x": f"choice({override_text(value)}, 7)"})
    # as the server sends it: the file is kept as JSON
    sent = json.loads(json.dumps(yaml.safe_load(yaml.safe_dump(file.content))))
    drawn = sent["parameters"]["model.x"]["values"][0]
    word = agents_words(file, {"model.x": drawn})[-1]
    read = OverridesParser.create().parse_override(word).value()
    assert read == value and type(read) is type(value)


def test_command_is_gansweep_train_with_what_holds_for_every_run(tmp_path: Path) -> None:
    (file,) = exported(
        {"model.n_critic": "choice(1, 5)", "+note": "fixed"},
        config_dir=str(tmp_path),
        runs_dir="my runs",
    )
    assert agents_words(file, {"model.n_critic": 5}) == [
        *("/usr/bin/env", "gansweep", "train", "--config-dir", str(tmp_path), "model=dcgan"),
        *("runs_dir='my runs'", "group=first", "+note=fixed", "model.n_critic=5"),
    ]
    assert file.content["program"] == "gansweep"  # agents fail without one


def test_options_that_are_all_added_are_added_by_the_agent() -> None:
    (file,) = exported({"+a": "choice(1, 2)", "+b.c": "choice(1, 2)"})
    assert agents_words(file, {"a": 1, "b.c": 2})[-2:] == ["+a=1", "+b.c=2"]


def test_blocks_become_a_sweep_for_each_choice_with_an_equal_share() -> None:
    space = {
        "model": "choice(gan, wgan, wgan_gp)",
        "lr": "interval(0, 1)",
        "model=wgan,wgan_gp": {"model.n_critic": "choice(1, 5)"},
        "model=wgan_gp": {"lr": 0.5, "weight": "choice(1, 10)"},
    }
    gan, wgan, wgan_gp = exported(space, n_trials=20)
    assert [f.content["run_cap"] for f in (gan, wgan, wgan_gp)] == [7, 7, 6]
    assert [list(f.content["parameters"]) for f in (gan, wgan, wgan_gp)] == [
        ["lr"], ["lr", "model.n_critic"], ["lr", "model.n_critic", "weight"]
    ]  # fmt: skip
    assert wgan_gp.content["parameters"]["lr"] == {"value": 0.5}  # that of the inner block
    assert "model=wgan_gp" in wgan_gp.content["command"]
    assert wgan_gp.file_name == "wandb_sweep-wgan_gp.yaml"
    assert wgan_gp.content["name"] == "first wgan_gp"


def test_choice_that_only_another_one_brings_makes_branches_there_alone() -> None:
    space = {
        "model": "choice(gan, wgan)",
        "model=wgan": {"clip": "choice(soft, hard)"},
        "clip=hard": {"bound": "choice(0.1, 0.2)"},
    }
    files = exported(space)
    assert [f.file_name for f in files] == [
        "wandb_sweep-gan.yaml", "wandb_sweep-wgan-soft.yaml", "wandb_sweep-wgan-hard.yaml"
    ]  # fmt: skip
    assert files[0].content["parameters"] == {"model": {"value": "gan"}}  # W&B wants one
    assert list(files[2].content["parameters"]) == ["bound"]


def test_whole_grid_is_capped_at_the_points_of_each_branch() -> None:
    space = {"m": "choice(a, b)", "n": "range(0, 3)", "m=b": {"k": "choice(1, 2)"}}
    files = exported(space, sampler={"name": "grid"}, n_trials=9)
    assert [(f.content["method"], f.content["run_cap"]) for f in files] == [
        ("grid", 3),
        ("grid", 6),
    ]
    files = exported(space, sampler={"name": "grid"}, n_trials=4)
    assert [f.content["run_cap"] for f in files] == [2, 2]


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_first_rung_is_counted_in_logged_scores(pruner: str) -> None:
    (file,) = exported({"x": "interval(0, 1)"}, pruner={"name": pruner})
    # a fifth of 50 kimg, scored every 4: after the third score
    assert file.content["early_terminate"] == {
        "type": "hyperband", "min_iter": 3, "eta": 3, "strict": True
    }  # fmt: skip


@pytest.mark.parametrize(
    ("sampler", "method"),
    [("tpe", "bayes"), ("gp", "bayes"), ("cmaes", "bayes"), ("qmc", "random")],
)
def test_sampler_that_wandb_lacks_is_replaced_and_named(sampler: str, method: str) -> None:
    (file,) = exported({"x": "interval(0, 1)"}, sampler={"name": sampler})
    assert file.content["method"] == method
    named = any(f"sampler {sampler}: W&B has none" in note for note in file.notes)
    assert named == (sampler != "gp")


def test_what_is_left_out_is_named() -> None:
    (file,) = exported(
        {"x": "interval(0, 1)"},
        pruner={"name": "median"},
        seeds=3,
        enqueue=["defaults"],
        constraints=["seconds <= 60"],
        confirm={"top": 3},
    )
    assert "early_terminate" not in file.content
    told = " ".join(file.notes)
    for word in ("median", "seeds=3", "enqueue", "constraints", "confirm", "sampler.seed"):
        assert word in told


@pytest.mark.parametrize(
    ("space", "changes", "words"),
    [
        ({}, {"objective": {"metric": ["fid", "coverage"]}}, ["optimise one score", "2"]),
        ({}, {"tracker": {"_target_": None}}, ["tracker=wandb"]),
        ({}, {"tracker": {**TRACKER, "mode": "offline"}}, ["tracker.mode=auto"]),
        ({}, {"launcher": {"name": "slurm"}}, ["launcher=slurm", "--dry-run"]),
        ({"+y": "choice(1, 2)"}, {}, ["'y: choice(1,2)'", "drop the '+'"]),
        ({"term@a": "choice(b, c)"}, {}, ["term@a", "name that W&B sweeps do not accept"]),
        ({"x=1": {"z": "choice(1, 2)"}}, {"n_trials": 1}, ["2 branches", "n_trials=2"]),
    ],
)
def test_what_wandb_has_no_words_for_is_refused_with_the_mend(
    space: dict[str, Any], changes: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(UserError) as refused:
        exported({"x": "choice(1, 2)", **space}, **changes)
    assert all(word in str(refused.value) for word in words), refused.value


# The command


@pytest.mark.slow
def test_score_that_the_runs_do_not_log_is_refused_with_those_they_log(command: Command) -> None:
    done = command("sweep", "sweep=random", "engine=wandb", "--dry-run", "data=ring", "model=gan",
                   "sweep.objective.metric=is", "trainer=cpu")  # fmt: skip
    done.is_refused_with("sweep.objective.metric names 'is'", "reverse_kl")


def test_name_of_the_score_is_asked_of_the_data(command: Command, tmp_path: Path) -> None:
    done = command("sweep", "sweep=random", "engine=wandb", "--dry-run", "data=ring", "model=gan",
                   "trainer=cpu")  # fmt: skip
    assert done.code == 0, done.err
    content = yaml.safe_load((tmp_path / "runs/random-ring/wandb_sweep.yaml").read_text())
    assert content["metric"] == {"name": "scores/reverse_kl_2500", "goal": "minimize"}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["engine=wandb"], ["wandb login", "--dry-run", "WANDB_MODE=offline"]),
        (["--dry-run"], ["add engine=wandb"]),
        (["engine=wand"], ["Did you mean 'wandb'?"]),
    ],
)
def test_engine_that_cannot_be_used_is_refused_with_the_mend(
    given: list[str], words: list[str], command: Command, tmp_path: Path
) -> None:
    command("sweep", "sweep=random", *given).is_refused_with(*words)
    assert not (tmp_path / "runs").exists()


# Agents

NOTE = "import os, sys; print(sys.argv[1], os.environ['OMP_NUM_THREADS'], flush=True)"


@pytest.mark.slow
def test_sweep_is_registered_once_and_agents_are_started_on_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    registered: list[tuple[Any, ...]] = []

    def sweep(config: dict[str, Any], entity: str | None, project: str | None) -> str:
        registered.append((config["name"], entity, project))
        return f"id{len(registered)}"

    monkeypatch.setattr(wandb, "sweep", sweep)
    monkeypatch.setattr(wandb_engine, "AGENT", (sys.executable, "-c", NOTE))
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "none")
    words = ["sweep=random", "engine=wandb", "name=x", "workers=2", "tracker.entity=team"]
    words += [f"sweep.objective.metric={METRIC}", "trainer=cpu"]
    assert command("sweep", *words).code == 0
    assert registered == [("x", "team", "gansweep")]
    logs = [tmp_path / f"runs/x/workers/agent{i}.log" for i in range(2)]
    assert all(log.read_text().startswith("team/gansweep/id1 ") for log in logs)
    assert command("sweep", *words).code == 0 and len(registered) == 1  # it goes on
    assert command("sweep", *words, "n_trials=7").code == 0 and len(registered) == 2
    assert logs[0].read_text().splitlines()[-1].startswith("team/gansweep/id2 ")


def test_agent_that_fails_is_told_with_its_last_line(tmp_path: Path) -> None:
    fails = [sys.executable, "-c", "print('no such sweep'); raise SystemExit(1)"]
    agents = Agents(tmp_path, ["a/b/c", "a/b/d"], 1, GpuShare(), False, fails)
    with pytest.raises(UserError, match="no such sweep .*agent0.log"):
        agents.run(every_seconds=0.01)


def test_agents_have_gpus_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSWEEP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    monkeypatch.setenv("PATH", "/nowhere")  # no nvidia-smi
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    agents = Agents(tmp_path, ["s"], 3, GpuShare(), True, [sys.executable, "-c", code])
    with pytest.raises(UserError, match="All GPUs are taken"):
        Agents(tmp_path, ["s"], 1, GpuShare(), True, [])
    assert agents.run(every_seconds=0.01)
    found = sorted(log.read_text().strip() for log in (tmp_path / "workers").glob("*.log"))
    assert found == ["4", "5"]


# W&B's agent as it is, with a server that only this process knows.
REAL_AGENT = """
import json, sys
import wandb
from wandb import wandb_agent
from wandb.apis.public import sweeps
file, draws = sys.argv[1], json.loads(sys.argv[2])
wandb.Api = wandb.teardown = lambda *a, **k: None
sweeps._sweep_with_runs = lambda *a, **k: {"config": open(file).read()}
sweeps._register_agent = lambda *a, **k: {"id": "agent"}
def heartbeat(api, agent, metrics, running):
    if running:
        return []
    if not draws:
        return [{"type": "exit"}]
    run_id, args = draws.pop(0)
    args = {name: {"value": value} for name, value in args.items()}
    return [{"type": "run", "run_id": run_id, "args": args, "program": "gansweep"}]
sweeps._agent_heartbeat = heartbeat
wandb_agent.Agent.POLL_INTERVAL = 0.2
wandb_agent.run_agent(sys.argv[3])
"""


@pytest.mark.slow
def test_agent_trains_what_the_file_says_and_has_it_saved_when_stopped(
    command: Command, tmp_path: Path
) -> None:
    words = ["sweep=random", "model=gan", "data=ring", "trainer=cpu", "workers=1"]
    words += ["budget_kimg=choice(1, 100000)", "tracker.tags=choice(['a b'], [])"]
    words += ["model.lr_schedule=choice(null)"]
    words += ["callbacks.quality.every_kimg=0.5", "metrics.n_fake=200", "batch_size=64"]
    words += ["~callbacks.samples", "~callbacks.neighbours", "~callbacks.overfitting"]
    done = command("sweep", *words, "engine=wandb", "--dry-run")
    assert done.code == 0, done.err
    directory = tmp_path / "runs" / "random-ring"
    file = directory / "wandb_sweep.yaml"
    content = yaml.safe_load(file.read_text())
    draws = [
        [run, {k: v["values"][i % len(v["values"])] if "values" in v else v["min"]
               for k, v in content["parameters"].items()}]
        for i, run in enumerate(("first", "second"))
    ]  # fmt: skip
    agent = [sys.executable, "-c", REAL_AGENT, str(file), json.dumps(draws)]
    agents = Agents(directory, ["team/gansweep/s1"], 1, GpuShare(), False, agent)

    def stop_the_second() -> None:
        if not agents.stops and (directory / "gan-002" / "history.jsonl").exists():
            agents.stops.many = 1  # as Ctrl-C does

    finished = agents.run(stop_the_second, every_seconds=0.05)
    said = (directory / "workers" / "agent0.log").read_text()
    assert not finished, said
    first, second = (RunRecord(directory / name).result() or {} for name in ("gan-001", "gan-002"))
    assert first["status"] == "finished" and first["kimg"] == pytest.approx(1, abs=0.1), said
    assert second["status"] == "interrupted" and second["kimg"] > 0, said
    assert (directory / "gan-002" / "checkpoints" / "last.pt").exists()
    # what W&B's server would see
    (log,) = directory.glob("gan-001/wandb/offline-run-*-first/*.wandb")
    told = json.loads(f"[{','.join(_logged(log))}]")
    assert content["metric"]["name"] in json.dumps(told), told[-3:]
    assert "Ignoring" not in said and "locked" not in said


def _logged(log: Path) -> list[str]:
    shown = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)],
        capture_output=True,
        text=True,
        check=True,
    )
    return shown.stdout.splitlines()
