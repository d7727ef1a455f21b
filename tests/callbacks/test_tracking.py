"""Trackers: what each gets from a run, read back from its own files without a network."""

import csv
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from gansweep.callbacks import tracking
from gansweep.callbacks.journal import Journal
from gansweep.config import compose as config
from gansweep.judging.labels import assignments, seedless_label
from gansweep.provenance.reading import marks_of
from gansweep.records.record import RunRecord
from gansweep.run.train import train

Command = Callable[..., Any]
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["budget_kimg=0.1", "trainer=cpu", "callbacks.losses.every_steps=1"]
SCORED = ["metrics.n_fake=20", "metrics.scores=[fid,is]", "callbacks.quality.every_kimg=0.05"]
TINY_SCORED = [*TINY, *SCORED, "~callbacks.overfitting", "~callbacks.neighbours"]
TINY += ["metrics=none"]
SWEEP = {"name": "first", "role": "trial", "key": "t0000", "attempt": 0}
SWEEP |= {"params": {"seed": 3, "model.optimizer.generator.lr": 0.01}}


def flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            leaves |= flat(value, f"{prefix}{key}.")
        else:
            leaves[prefix + key] = value
    return leaves


def hyperparameters(cfg: DictConfig) -> dict[str, Any]:
    return flat(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def recorded(record: RunRecord) -> dict[float, float]:
    """kimg -> the generator's loss, from the run's own history."""
    rows = record.history()
    return {row["kimg"]: row["loss/generator"] for row in rows if "loss/generator" in row}


def started(directory: Path, **options: Any) -> Any:
    """The run of wandb that a logger starts when it is first needed."""
    logger: Any = tracking.wandb_logger(
        directory=directory, group="g", name="n", tags=[], **options
    )
    return logger.experiment


def is_png(place: Path) -> bool:
    return place.is_file() and place.read_bytes().startswith(b"\x89PNG")


# Weights & Biases


@pytest.fixture(scope="module")
def offline(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunRecord, DictConfig, dict[str, list[dict[str, Any]]], int]]:
    """A run of a sweep by a user without an account: its record, configuration, the entries of
    its W&B log by type, and how often a server was called."""
    folder = tmp_path_factory.mktemp("wandb")
    words = ["tracker=wandb", "tracker.tags=[mine]", "tracker.checkpoint=best"]
    cfg = config.compose([*TINY_SCORED, *words, "model.lr_schedule=null"])
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.MonkeyPatch.context() as patch:
        server.settimeout(0)
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        patch.setenv("WANDB_BASE_URL", address)
        patch.setenv("HTTPS_PROXY", address)
        patch.setenv("NETRC", str(folder / "none"))
        patch.setenv("WANDB_DATA_DIR", str(folder / "data"))  # where artifacts wait
        patch.delenv("WANDB_API_KEY", raising=False)
        patch.delenv("WANDB_MODE", raising=False)
        train(cfg, run_dir=folder / "digits" / "one", sweep=SWEEP, progress=False)
        calls = 0
        try:
            server.accept()
            calls += 1
        except BlockingIOError:
            pass
    record = RunRecord(folder / "digits" / "one")
    (log,) = record.directory.glob("wandb/offline-run-*/*.wandb")
    shown = subprocess.run(
        [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)],
        capture_output=True,
        text=True,
    )
    if shown.returncode:
        pytest.skip(f"this wandb cannot read its own log: {shown.stderr[-200:]}")
    entries: dict[str, list[dict[str, Any]]] = {}
    for line in shown.stdout.splitlines():
        entry = json.loads(line)
        entries.setdefault(entry["type"], []).append(entry.get(entry["type"], {}))
    yield record, cfg, entries, calls


@pytest.mark.slow
def test_wandb_of_a_user_without_an_account_calls_no_server(offline: Any) -> None:
    assert offline[3] == 0


def test_wandb_shows_every_setting_that_a_training_reads(offline: Any) -> None:
    _, cfg, entries, _ = offline
    panel: dict[str, Any] = {}
    for entry in entries["config"]:
        panel |= flat(entry["update"])
    unread = ("model.tiny", "model.search", "model.changeable")
    expected = {k: v for k, v in hyperparameters(cfg).items() if not k.startswith(unread)}
    assert {key: panel[key] for key in expected} == expected
    assert panel["model.optimizer.generator.lr"] == 2e-4
    assert not [key for key in panel if key.startswith(unread)]


def test_wandb_label_is_the_same_for_every_seed(offline: Any) -> None:
    labels = [e["update"]["label"] for e in offline[2]["config"] if "label" in e["update"]]
    assert labels == ["dcgan on digits, lr 0.01"]
    one, other = (
        seedless_label("gan", "ring", assignments(["model=gan", f"seed={seed}", "+x.y=3"]))
        for seed in (0, 1)
    )
    assert one == other == "gan on ring, y 3"


def test_wandb_keeps_the_best_value_of_each_score(offline: Any) -> None:
    """The lowest FID and the highest IS, beside the last."""
    record, _, entries, _ = offline
    best = {m["name"]: m["summary"] for m in entries["metric"] if "scores/" in m.get("name", "")}
    assert {name: sorted(kinds) for name, kinds in best.items()} == {
        "scores/fid_digitsnet1_20_train": ["last", "min"],
        "scores/is_digitsnet1_20_10splits": ["last", "max"],
    }
    logged = [
        e["item"] for e in entries["history"] if "scores/is_digitsnet1_20_10splits" in e["item"]
    ]
    rows = [
        row["is_digitsnet1_20_10splits"]
        for row in record.history()
        if "is_digitsnet1_20_10splits" in row
    ]
    assert [row["scores/is_digitsnet1_20_10splits"] for row in logged] == pytest.approx(rows)


def test_wandb_gets_a_table_of_samples_the_best_checkpoint_and_the_console(offline: Any) -> None:
    record, _, entries, _ = offline
    (table,) = record.directory.glob("wandb/offline-run-*/files/media/table/sample_table*.json")
    rows = json.loads(table.read_text())["data"]
    assert [row[0] for row in rows] == [kimg for kimg, _ in record.sample_grids()]
    waiting = (record.directory.parents[1] / "data").rglob("tmp*")
    sheets = [place for place in waiting if is_png(place)]
    assert len(sheets) == len(rows)
    assert {marks_of(place).kind for place in sheets} == {"machine-made"}
    assert "artifact" in str(entries.keys()), sorted(entries)


def test_wandb_groups_and_tags_the_runs_of_a_sweep(offline: Any) -> None:
    run = offline[2]["run"][0]
    assert (run["project"], run["run_group"], run["display_name"]) == ("gansweep", "digits", "one")
    assert run["tags"] == ["mine", "dcgan", "digits", "first", "trial"]
    assert run["job_type"] == "trial"


def test_wandb_draws_everything_over_the_images_seen(offline: Any) -> None:
    record, _, entries, _ = offline
    assert {m.get("glob_name"): m.get("step_metric") for m in entries["metric"]}["*"] == "kimg"
    rows = [e["item"] for e in entries["history"] if "loss/generator" in e["item"]]
    assert {row["kimg"]: row["loss/generator"] for row in rows} == pytest.approx(recorded(record))
    assert len(rows) == 4
    media = record.directory.glob("wandb/offline-run-*/files/media/images/samples*.png")
    assert [marks_of(place).kind for place in media] == ["machine-made"]
    (shown,) = (e["item"] for e in entries["history"] if "samples" in str(e["item"].keys()))
    assert shown["kimg"] == record.sample_grids()[-1][0]


def test_wandb_run_is_closed_so_that_the_next_run_opens_its_own(offline: Any) -> None:
    import wandb

    assert wandb.run is None
    assert offline[2]["exit"]


def test_wandb_goes_online_for_a_user_who_is_logged_in_unless_set_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    modes: list[str] = []

    def init(**given: Any) -> Any:
        modes.append(given["mode"])
        raise InterruptedError

    monkeypatch.setattr(wandb, "init", init)
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    for mode, variable in [("auto", None), ("offline", None), ("auto", "offline")]:
        if variable is not None:
            monkeypatch.setenv("WANDB_MODE", variable)
        with pytest.raises(InterruptedError):
            started(tmp_path, mode=mode)
    assert modes == ["online", "offline", "offline"]


def test_wandb_starts_with_the_first_row_and_once_even_if_it_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the first training step waits neither for its import nor for its service."""
    import wandb

    calls: list[dict[str, Any]] = []

    def init(**given: Any) -> Any:
        calls.append(given)
        raise InterruptedError

    monkeypatch.setattr(wandb, "init", init)
    logger: Any = tracking.wandb_logger(directory=tmp_path, group="g", name="n", tags=[])
    logger.log_hyperparams({"lr": 1.0})
    journal = Journal(None, logger)
    journal.log(64, {"loss/generator": 1.0})
    assert not calls
    with pytest.raises(InterruptedError):
        journal.flush()
    tracking.finish(logger, "failed", {})
    assert len(calls) == 1


@pytest.mark.parametrize("staged", [False, True])
def test_wandb_looks_for_inputs_of_its_launch_only_where_they_can_be_staged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, staged: bool
) -> None:
    """To look it imports the whole of it, two thirds of its start."""
    import wandb
    from wandb.sdk.wandb_run import Run

    looked: list[object] = []
    monkeypatch.setattr(Run, tracking.LOOKS, looked.append)
    own = getattr(Run, tracking.LOOKS)
    module = "wandb.sdk.launch.inputs.internal"
    monkeypatch.delitem(sys.modules, module, raising=False)
    if staged:
        monkeypatch.setitem(sys.modules, module, sys)

    def init(**given: Any) -> Any:
        getattr(Run, tracking.LOOKS)("run")
        raise InterruptedError

    monkeypatch.setattr(wandb, "init", init)
    with pytest.raises(InterruptedError):
        started(tmp_path)
    assert looked == (["run"] if staged else []) and getattr(Run, tracking.LOOKS) == own


def test_wandb_id_is_drawn_once_for_each_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for a new run in the folder of another, or in another container's folder."""
    import wandb

    ids: list[str] = []

    def init(**given: Any) -> Any:
        ids.append(given["id"])
        raise InterruptedError

    monkeypatch.setattr(wandb, "init", init)
    run = tmp_path / "run"
    for _ in range(2):
        RunRecord.create(run, "seed: 0\n")
        for _ in range(2):
            with pytest.raises(InterruptedError):
                started(run)
        shutil.rmtree(run)
    assert ids[0] == ids[1] != ids[2] == ids[3]
    assert all(re.fullmatch("[0-9a-f]{16}", number) for number in ids)

    for begun in ("offline-run-20250101_000000-old", "run-20260101_000000-newer"):
        (run / "wandb" / begun).mkdir(parents=True)
    RunRecord.create(run, "seed: 0\n")
    with pytest.raises(InterruptedError):
        started(run)
    assert ids[-1] == "newer" == tracking._wandb_id(run)


def test_wandb_id_of_a_copy_is_its_own_only_once_it_trains_beside_its_original(
    tmp_path: Path,
) -> None:
    """Its rows would go into the run of the original, which goes on to write there."""
    original, copy, moved = (tmp_path / name for name in ("original", "copy", "moved"))
    RunRecord.create(original, "seed: 0\n")
    first = tracking._wandb_id(original, trains=True)
    (original / "wandb" / f"offline-run-20260101_000000-{first}").mkdir(parents=True)
    shutil.copytree(original, copy)
    assert tracking._wandb_id(copy) == first, "that run trained what is evaluated"
    own = tracking._wandb_id(copy, trains=True)
    assert own != first and own == tracking._wandb_id(copy, trains=True)
    assert tracking._wandb_id(original, trains=True) == first
    original.rename(moved)
    (tmp_path / "link").symlink_to(moved)
    assert {tracking._wandb_id(tmp_path / name, trains=True) for name in ("moved", "link")} == {
        first
    }


def test_wandb_shows_an_evaluation_beside_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    begun: list[dict[str, Any]] = []
    shown: list[dict[str, float]] = []

    class Run:
        config: dict[str, Any] = {}

        def log(self, row: dict[str, float]) -> None:
            shown.append(row)

        def finish(self) -> None:
            shown.append({})

    monkeypatch.setattr(wandb, "init", lambda **given: begun.append(given) or Run())
    run = RunRecord.create(tmp_path / "digits" / "one", "seed: 0\n").directory
    tracking.log_evaluation(run, {"project": "mine", "tags": ["a"]}, "best.pt", 3.0, {"fid": 2.0})
    (given,) = begun
    assert (given["job_type"], given["project"], given["group"]) == ("evaluate", "mine", "digits")
    assert given["id"] is None and given["name"] == "one best.pt" and given["tags"] == ["a"]
    assert Run.config == {"checkpoint": "best.pt", "run": tracking._wandb_id(run)}
    assert shown == [{"kimg": 3.0, "scores/fid": 2.0}, {}]


# The other trackers


def test_csv_keeps_the_rows_of_before_a_continuation(command: Command, tmp_path: Path) -> None:
    assert command("train", *TINY, "tracker=csv", "name=run").code == 0
    run = tmp_path / "runs" / "digits" / "run"
    assert command("train", f"resume={run}", "budget_kimg=0.2").code == 0
    rows: dict[float, float] = {}
    for version in ("version_0", "version_1"):
        with open(run / "csv" / version / "metrics.csv", newline="") as file:
            rows |= {
                float(row["kimg"]): float(row["loss/generator"])
                for row in csv.DictReader(file)
                if row["loss/generator"]
            }
        assert "lr: 0.0002" in (run / "csv" / version / "hparams.yaml").read_text()
    assert rows == pytest.approx(recorded(RunRecord(run))) and len(rows) == 7


def test_tensorboard_gets_numbers_pictures_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tmp_path / "digits" / "run"
    train(config.compose([*TINY, "tracker=tensorboard"]), run_dir=run, progress=False)
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    rows = {event.step / 1000: event.value for event in events.Scalars("loss/generator")}
    assert rows == pytest.approx(recorded(RunRecord(run))) and len(rows) == 4
    (picture,) = events.Images("samples")
    assert picture.step == 128 and picture.width >= 500
    (tmp_path / "shown.png").write_bytes(picture.encoded_image_string)
    assert marks_of(tmp_path / "shown.png").kind == "machine-made"
    saved = OmegaConf.load(run / "tensorboard" / "hparams.yaml")
    assert OmegaConf.select(saved, "model.optimizer.generator.lr") == 2e-4


def test_tensorboard_shows_the_settings_beside_the_last_scores(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    run = tmp_path / "digits" / "run"
    cfg = config.compose([*TINY_SCORED, "tracker=tensorboard"])
    last = train(cfg, run_dir=run, progress=False)["last"]
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    (logged,) = events.Scalars("scores/fid_digitsnet1_20_train")[-1:]
    assert logged.value == pytest.approx(last["fid_digitsnet1_20_train"]["value"])
    contents = events.summary_metadata.values()
    data = [
        HParamsPluginData.FromString(one.plugin_data.content)
        for one in contents
        if one.plugin_data.plugin_name == "hparams"
    ]
    (settings,) = (one.session_start_info.hparams for one in data if one.session_start_info.hparams)
    assert settings["model/optimizer/generator/lr"].number_value == 2e-4
    metrics = [m.name.tag for one in data for m in one.experiment.metric_infos]
    assert "scores/fid_digitsnet1_20_train" in metrics


@pytest.mark.filterwarnings("ignore")  # of mlflow about the packages it is built on
def test_mlflow_gets_numbers_pictures_tags_and_hyperparameters(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    run = tmp_path / "digits" / "run"
    cfg = config.compose([*TINY, "tracker=mlflow", "tracker.tags=[mine]"])
    train(cfg, run_dir=run, progress=False)
    client = MlflowClient(f"sqlite:///{tmp_path / 'digits' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("digits")
    (found,) = client.search_runs([experiment.experiment_id])
    assert found.info.run_name == "run" and found.info.status == "FINISHED"
    assert {"mine", "dcgan", "digits"} <= found.data.tags.keys()
    assert float(found.data.params["model/optimizer/generator/lr"]) == 2e-4
    history = client.get_metric_history(found.info.run_id, "loss/generator")
    assert {m.step / 1000: m.value for m in history} == pytest.approx(recorded(RunRecord(run)))
    assert [a.path for a in client.list_artifacts(found.info.run_id)] == ["samples"]
    (shown,) = (tmp_path / "digits" / "mlflow").rglob("*.png")
    assert marks_of(shown).kind == "machine-made"


@pytest.mark.filterwarnings("ignore")  # of mlflow about the packages it is built on
def test_mlflow_runs_of_a_sweep_have_one_parent(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    from mlflow import MlflowClient

    for name in ("t0000", "t0001"):
        logger = tracking.mlflow_logger(
            directory=tmp_path / "first" / name, group="first", name=name, tags=[], role="trial"
        )
        logger.log_metrics({"a": 1.0}, step=0)
    client = MlflowClient(f"sqlite:///{tmp_path / 'first' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("first").experiment_id])
    names = {run.info.run_name: run for run in found}
    assert set(names) == {"first", "t0000", "t0001"}
    parents = {names[n].data.tags["mlflow.parentRunId"] for n in ("t0000", "t0001")}
    assert parents == {names["first"].info.run_id}
