"""Fine-tuning: a run that starts with another run's weights, against a loop that loads them."""

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gansweep.callbacks.checkpoint import as_bytes, read_checkpoint
from gansweep.cli.sweep_run import run_sweep
from gansweep.config import compose as config
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.feed import Feed
from gansweep.models.transfer import transfer
from gansweep.records.record import RunRecord
from gansweep.run.build import build_data, build_model
from gansweep.run.early import initial_run
from gansweep.run.initial import in_words
from gansweep.run.train import NOISE_OFFSET, train

TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["tracker=none", "metrics=none", "trainer=cpu", "budget_kimg=0.128"]
TINY += ["~callbacks.quality", "~callbacks.samples", "model.ema_kimg=0.05"]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps."""
    directory = tmp_path_factory.mktemp("runs") / "digits" / "first"
    train(config.compose([*TINY, "seed=3"]), run_dir=directory, progress=False)
    return directory


def game(directory: Path) -> dict[str, Any]:
    state: dict[str, Any] = read_checkpoint(directory / "checkpoints" / "last.pt")["game"]
    return state


def by_hand(words: list[str], start: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights of the players, and the average's, after a plain loop from those of `start`."""
    cfg = config.compose(words)
    data = build_data(cfg)
    model = build_model(cfg, data)
    for name, network in model.players.items():
        network.load_state_dict(start["players"][name])
    average = copy.deepcopy(model.generator)
    average.load_state_dict(start["averages"]["generator"])
    model.configure_optimizers()
    model.draws = Draws(cfg.seed + NOISE_OFFSET, torch.device("cpu"))
    for k, batch in enumerate(Feed(data, model, cfg)):
        model.training_step(batch, k)
        seen = start["images_seen"] + model.images_seen  # the average is as old as both runs
        forget = 1 - 0.5 ** (32 / min(50, 0.05 * seen))
        for kept, live in zip(average.parameters(), model.generator.parameters(), strict=True):
            kept.data.lerp_(live.data, forget)
    weights = {name: network.state_dict() for name, network in model.players.items()}
    return weights, {n: p.detach() for n, p in average.named_parameters()}


def test_fine_tuning_equals_a_loop_that_loads_the_weights_and_continues_exactly(
    before: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    shutil.copytree(before, source)
    words = [*TINY, "seed=1", f"init={source}@last"]
    result = train(config.compose(words), run_dir=tmp_path / "tuned")
    said = " ".join(capsys.readouterr().err.split())
    assert f"starts with last.pt of {source} at 0.128 kimg: discriminator all " in said
    assert "the moving average of generator" in said
    tuned = game(tmp_path / "tuned")
    weights, average = by_hand(words, game(before))
    for name, state in weights.items():
        for key, value in state.items():
            assert torch.equal(tuned["players"][name][key], value), key
    found = {name: tuned["averages"]["generator"][name] for name in average}
    torch.testing.assert_close(found, average)

    init = result["init"]
    assert init["run"] == str(source) and init["kimg"] == 0.128 and init["checkpoint"] == "last.pt"
    seal = (source / "checkpoints" / "last.pt").read_bytes()[-64:].decode()
    assert init["digest"] == seal and init["averages"] == ["generator"]
    assert init["players"]["generator"]["taken"] == len(weights["generator"])
    assert result["kimg"] == 0.128, "the clock is its own"

    train(config.compose(words), run_dir=tmp_path / "paused", until_kimg=0.064, progress=False)
    shutil.rmtree(source)  # a continued run reads it no more
    continued = train(config.compose(words), run_dir=tmp_path / "paused")
    assert "starts with" not in capsys.readouterr().err
    assert continued["status"] == "finished" and continued["init"] == init
    again = game(tmp_path / "paused")
    for kind in ("players", "averages"):
        for name, state in tuned[kind].items():
            for key, value in state.items():
                assert torch.equal(again[kind][name][key], value), key


def test_other_classes_take_what_fits_and_the_record_says_what_did_not(
    before: Path, tmp_path: Path
) -> None:
    words = [*TINY, "model.latent_dim=7", "model.ema_kimg=null", "budget_kimg=0.032"]
    result = train(
        config.compose([*words, f"init={before}"]), run_dir=tmp_path / "run", progress=False
    )
    generator = result["init"]["players"]["generator"]
    (other,) = generator["other_shape"]
    names = game(before)["players"]["generator"]
    assert generator["taken"] == len(names) - 1 and names[other].shape[1] == 100
    assert generator["new"] == generator["unused"] == result["init"]["averages"] == []
    stored = json.loads((tmp_path / "run" / "result.json").read_text())
    assert stored["init"] == result["init"]


def test_transfer_by_hand() -> None:
    ours = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    state = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(4), "2.weight": torch.ones(1)}
    assert transfer(ours, state) == {
        "taken": ["0.weight"],
        "other_shape": ["0.bias"],
        "new": ["1.weight"],
        "unused": ["2.weight"],
    }
    assert torch.equal(ours[0].weight.detach(), torch.ones(3, 2))


def test_the_opening_names_the_first_tensors_that_were_not_taken() -> None:
    parts = {"taken": 8, "other_shape": ["a", "b", "c", "d"], "new": ["e"], "unused": ["f"]}
    found = {"run": "runs/a", "checkpoint": "best.pt", "kimg": 20.0, "players": {"encoder": parts}}
    assert in_words(found | {"averages": [], "no_player": ["critic"]}) == (
        "best.pt of runs/a at 20 kimg: encoder 8 of 13 tensors (other shape: a, b, c and 1 more; "
        "new: e; unused: f), nothing of critic, which is no player here"
    )


def test_a_checkpoint_is_named_by_its_kimg(before: Path, tmp_path: Path) -> None:
    words = [*TINY, "budget_kimg=0.032"]
    cfg = config.compose([*words, f"init={before}@0.128"])
    assert train(cfg, run_dir=tmp_path / "a", progress=False)["init"]["checkpoint"] == "last.pt"
    cfg = config.compose([*words, f"init={before}@5"])
    with pytest.raises(UserError, match=r"no checkpoint at 5 kimg\. It has @last \(0.128 kimg\)\."):
        train(cfg, run_dir=tmp_path / "b", progress=False)
    for word, which in (("", "best"), ("@best", "best"), ("@last", "last"), ("@7.5", "7.5")):
        record, found = initial_run(f"{before}{word}")
        assert (record.directory, found) == (before, which)


def broken(source: Path, to: Path, content: bytes) -> Path:
    shutil.copytree(source, to)
    for name in ("previous.pt", "best.pt"):
        (to / "checkpoints" / name).unlink(missing_ok=True)
    (to / "checkpoints" / "last.pt").write_bytes(content)
    return to


def test_what_cannot_be_started_from_is_refused_before_anything_is_written(
    before: Path, tmp_path: Path
) -> None:
    content = (before / "checkpoints" / "last.pt").read_bytes()
    flipped = bytes([content[5000] ^ 1])
    damaged = broken(before, tmp_path / "damaged", content[:5000] + flipped + content[5001:])
    other = broken(before, tmp_path / "other", as_bytes({"game": {"players": {"generator": 3}}}))
    code = broken(before, tmp_path / "code", pickle.dumps(Path("evil")))
    empty = tmp_path / "empty"
    shutil.copytree(before, empty)
    shutil.rmtree(empty / "checkpoints")
    for start, words, message in (
        (tmp_path / "missing", [], "missing is not a run"),
        (empty, [], "no checkpoint of gansweep.*Give another run"),
        (damaged, [], "damaged.*Take another run"),
        (code, [], "is damaged.*Take another run"),
        (other, [], "is not a checkpoint of gansweep"),
        (before, ["model=r3gan"], "Nothing of .* fits this model.*width="),
    ):
        cfg = config.compose([*words, *TINY, f"init={start}", f"runs_dir={tmp_path / 'runs'}"])
        with pytest.raises(UserError, match=message):
            train(cfg, progress=False)
    assert not list((tmp_path / "runs").glob("*/*"))


def test_a_sweep_refuses_a_missing_run_before_its_first_trial(tmp_path: Path) -> None:
    words = ["model.n_critic=choice(1,2)", "n_trials=2", f"runs_dir={tmp_path}", "init=runs/none"]
    with pytest.raises(UserError, match="runs/none is not a run"):
        run_sweep(words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_processes_start_with_the_same_weights(
    before: Path, tmp_path: Path, quick_ranks: None
) -> None:
    plain = ["model.generator.norm=none", "model.discriminator.norm=none"]
    plain += ["trainer.precision=64-true", f"init={before}"]
    ends = []
    for devices in (1, 2):
        cfg = config.compose([*TINY, *plain, f"trainer.devices={devices}"])
        train(cfg, run_dir=tmp_path / str(devices), progress=False)
        assert RunRecord(tmp_path / str(devices)).result()["init"]["averages"] == ["generator"]  # type: ignore[index]
        ends.append(game(tmp_path / str(devices)))
    for kind in ("players", "averages"):
        for name, state in ends[0][kind].items():
            for key, value in state.items():
                torch.testing.assert_close(value, ends[1][kind][name][key], rtol=1e-9, atol=1e-12)
