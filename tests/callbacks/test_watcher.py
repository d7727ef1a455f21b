"""What the callbacks read from a game: gradients, balance, overfitting, spread."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from gansweep.callbacks.balance import Balance
from gansweep.callbacks.gradients import GradientNorms
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.losses import Losses
from gansweep.callbacks.memorised import Memorised
from gansweep.callbacks.overfitting import ROWS_KEPT, SEED, Overfitting
from gansweep.callbacks.progress import ProgressBar, watched
from gansweep.callbacks.quality import Quality
from gansweep.callbacks.real_samples import Rows
from gansweep.callbacks.stop_on_failure import StopOnFailure, worsened
from gansweep.callbacks.watcher import GameCallback
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.data.images import Digits
from gansweep.data.order import generator_for
from gansweep.data.source import DataSource, Split
from gansweep.errors import DivergedError
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.models.player_loss import Scores
from gansweep.records.cadence import steps_apart
from gansweep.records.record import RunRecord
from gansweep.run.train import train

TRAINER: Any = SimpleNamespace(world_size=1, is_global_zero=True)


def game(*overrides: str, data: str = "ring") -> Adversarial:
    words = [f"data={data}", "model=gan", *overrides]
    shape = (2,) if data == "ring" else (1, 8, 8)
    torch.manual_seed(0)
    node = config.model_node(config.compose(words), data == "ring")
    model: Adversarial = config.instantiate(node, sample_shape=shape)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch_of(n: int = 16, seed: int = 0, shape: tuple[int, ...] = (2,)) -> Batch:
    return Batch(torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1)


def play(model: Adversarial, watcher: GameCallback, steps: int) -> dict[str, list[Any]]:
    """Rows of each name as (step, value), from `steps` steps with `watcher`."""
    watcher.journal = Journal(None, None)
    batch = batch_of()
    for k in range(steps):
        model.training_step(batch, k)
        watcher.on_train_batch_end(TRAINER, model, None, batch, k)
    return {
        name: [(round(kimg * 1000) // len(batch), value) for kimg, value in curve]
        for name, curve in watcher.journal.curves.items()
    }


# Gradients


def test_gradient_norm_is_that_of_all_of_a_players_weights() -> None:
    model = game()
    found = play(model, GradientNorms(every_steps=1), 3)
    for player, network in model.players.items():
        everything = torch.cat(
            [p.grad.flatten() for p in network.parameters() if p.grad is not None]
        )
        step, norm = found[f"grad_norm/{player}"][-1]
        assert step == 3 and norm == pytest.approx(everything.norm().item(), rel=1e-5)


@pytest.mark.parametrize(
    ("every", "n_critic", "discriminator", "generator"),
    [
        (5, 1, [5, 10, 15, 20], [5, 10, 15, 20]),
        (5, 2, [5, 10, 15, 20], [6, 10, 16, 20]),
        (5, 3, [5, 10, 15, 20], [6, 12, 15]),  # that of 20 comes at 21
        (2, 5, [2, 4, 6, 8, 10, 12, 14, 16, 18, 20], [5, 10, 15, 20]),
    ],
)
def test_only_players_that_just_moved_are_looked_at(
    every: int, n_critic: int, discriminator: list[int], generator: list[int]
) -> None:
    found = play(game(f"model.n_critic={n_critic}"), GradientNorms(every_steps=every), 20)
    steps = {name: [step for step, _ in curve] for name, curve in found.items()}
    assert steps == {
        "grad_norm/discriminator": discriminator,
        "grad_norm/generator": generator,
    }


def test_clipped_gradients_are_left_to_the_model_which_sees_them_whole() -> None:
    model = game("model.clip_grad_norm=1e-6")
    assert play(model, GradientNorms(every_steps=1), 2) == {}
    still = "model.optimizer.discriminator.lr=0"  # so that both generators meet the same one
    whole = play(game(still), GradientNorms(every_steps=1), 1)
    model = game(still, "model.clip_grad_norm=1e-6")
    model.training_step(batch_of(), 0)
    logged = model.recent_means()
    for name in ("grad_norm/discriminator", "grad_norm/generator"):
        assert logged[name] == pytest.approx(whole[name][0][1]), name


# Balance


def test_global_measure_is_logged_where_the_scores_state_their_ratio() -> None:
    watcher, model = Balance(), game()
    watcher.journal = Journal(None, None)
    model.last_scores = Scores(torch.tensor([0.4]), torch.tensor([0.1]), "energy", gamma=0.5)
    watcher.look(model)
    assert watcher.journal.latest["critic/global_measure"] == pytest.approx(0.4 + 0.1)


@pytest.mark.parametrize("accumulate", [2, 8])
def test_balance_of_a_batch_in_slices_is_that_of_the_whole_batch(accumulate: int) -> None:
    rows = []
    for slices in (1, accumulate):
        model = game(f"model.accumulate={slices}").double()
        batch = Batch(batch_of().images.double())
        model.training_step(batch, 0)
        assert model.last_scores is not None and len(model.last_scores.real) == len(batch)
        watcher = Balance()
        watcher.journal = Journal(None, None)
        watcher.look(model)
        rows.append(dict(watcher.journal.latest))
    assert rows[1] == pytest.approx(rows[0], rel=1e-6) and "balance/distance" in rows[0]


# Losses


def test_losses_of_a_batch_in_slices_count_once_in_a_row() -> None:
    rows = []
    for slices in (1, 8):
        model = game(f"model.accumulate={slices}").double()
        assert model._recent["loss/discriminator"].maxlen == 1000
        for k in range(3):
            model.training_step(Batch(batch_of(seed=k).images.double()), k)
        assert {len(values) for values in model._recent.values()} == {3}
        rows.append(model.recent_means())
    assert rows[1] == pytest.approx(rows[0], rel=1e-9)


# Overfitting


class Memory(nn.Module):
    """Scores training images 2, held-out images 1 and all others -1."""

    def __init__(self, data: DataSource) -> None:
        super().__init__()
        self.known = {}
        for split, score in (("validation", 1.0), ("train", 2.0)):
            for images, _ in data.arrays(split):  # type: ignore[arg-type]
                self.known |= {image.numpy().tobytes(): score for image in images}

    def forward(self, images: Tensor) -> Tensor:
        stored = images.add(1).mul(127.5).round().byte()
        exact = (stored.float() / 127.5 - 1 - images).flatten(1).abs().amax(1) < 1e-6
        scores = [self.known.get(image.numpy().tobytes(), -1.0) for image in stored]
        return torch.where(exact, torch.tensor(scores), -1.0)


def overfitting_of(
    model: Adversarial, data: DataSource, remembering: bool = True
) -> dict[str, float]:
    watcher = Overfitting(every_steps=1, images=32)
    watcher.data, watcher.journal = data, Journal(None, None)
    batch = batch_of(shape=(1, 8, 8))
    model.training_step(batch, 0)
    if remembering and isinstance(data, Digits):
        model.discriminator = Memory(data)  # type: ignore[assignment]
    watcher.on_train_batch_end(TRAINER, model, None, batch, 0)
    return watcher.journal.latest


def test_each_kind_of_image_is_shown_as_what_it_is() -> None:
    found = overfitting_of(game(data="digits"), Digits(n_validation=None))
    assert found == {"overfit/r_t": 1, "overfit/r_v": pytest.approx((2 - 1) / (2 - -1))}


@pytest.mark.parametrize(
    ("words", "size"),
    [
        # at most as many at once as there are generated ones: closeness grows with the batch
        (["model=dcgan", "+term=minibatch_discrimination"], 16),
        (["model=pacgan", "model.packing=4"], 32),
    ],
)
def test_no_kind_of_image_is_judged_beside_another(words: list[str], size: int) -> None:
    widths = ["model.discriminator.width=8", "model.generator.width=8"]
    data, model = Digits(n_validation=None), game(*words, *widths, data="digits")
    found = overfitting_of(model, data, remembering=False)
    rng = generator_for(SEED, model.images_seen)
    assert model.last_fakes is not None

    def mean(rows: Batch) -> float:
        said = [model.scores(rows[slice(k, k + size)], rng) for k in range(0, len(rows), size)]
        return torch.cat([scores.real for scores in said if scores is not None]).mean().item()

    splits: tuple[Split, Split] = ("train", "validation")
    real = [Rows.of(data, split, ROWS_KEPT).draw(32, rng, model) for split in splits]
    train, held_out, fake = (mean(rows) for rows in (*real, Batch(model.last_fakes)))
    expected = (train - held_out) / (train - fake)
    assert found["overfit/r_v"] == pytest.approx(expected, rel=1e-3)


def test_signs_of_a_critic_mean_nothing() -> None:
    model = game("model=wgan", data="digits")
    assert set(overfitting_of(model, Digits(n_validation=None))) == {"overfit/r_v"}


def test_without_validation_images_nothing_is_logged() -> None:
    watcher = Overfitting(every_steps=1)
    watcher.data, watcher.journal = Digits(n_validation=0), Journal(None, None)
    model = game(data="digits")
    model.training_step(batch_of(shape=(1, 8, 8)), 0)
    watcher.look(model)
    assert watcher.journal.latest == {}


# When losses and balance are written


@pytest.mark.parametrize(
    ("budget_kimg", "batch_size", "apart"),
    [(100, 64, 15), (10_000, 64, 50), (1000, 64, 50), (0.032, 16, 1), (1.6, 16, 1), (3.2, 16, 2)],
)
def test_a_run_gets_a_hundred_rows_of_its_losses(
    budget_kimg: float, batch_size: int, apart: int
) -> None:
    assert steps_apart(budget_kimg, batch_size) == apart
    steps = math.ceil(budget_kimg * 1000 / batch_size)
    assert steps // apart >= min(steps, 100)


def test_a_continued_run_writes_its_losses_at_the_steps_of_an_uninterrupted_one() -> None:
    def rows(*parts: int) -> list[int]:
        """The steps with a row, where a process of its own trains each part."""
        model: Any = SimpleNamespace(budget_kimg=9.6, steps=0)
        found: list[int] = []
        for part in parts:
            watcher: Any = Losses(every_steps=None)
            watcher.look = lambda module: found.append(module.steps)
            for _ in range(part):
                model.steps += 1
                watcher.after_step(TRAINER, model, 16)
        return found

    assert rows(600) == rows(7, 390, 203) == list(range(6, 601, 6))


def test_memorised_is_the_distance_to_the_nearest_sample_of_the_batch() -> None:
    watcher = Memorised(every_steps=1)
    watcher.journal = Journal(None, None)
    watcher.batch = Batch(torch.tensor([[0.0, 0.0], [1.0, 1.0], [-1.0, 1.0]]))
    fakes = torch.tensor([[0.0, 0.2], [1.0, 1.0], [0.9, 1.0], [0.0, 0.0]])
    model: Any = SimpleNamespace(images_seen=4, last_fakes=fakes)
    watcher.look(model)
    assert watcher.journal.latest["memorised/distance"] == pytest.approx(0.3 / 4 / 2**0.5)
    assert watcher.journal.latest["memorised/share"] == pytest.approx(2 / 3)
    model.last_fakes = fakes[:, :1]  # codes, say: not comparable
    watcher.journal.latest.clear()
    watcher.look(model)
    assert watcher.journal.latest == {}


# The guard


def test_a_loss_that_was_not_finite_between_two_looks_ends_the_run() -> None:
    watcher = StopOnFailure(every_steps=50)
    watcher.journal = Journal(None, None)
    for kimg, value in enumerate((0.7, math.inf, 0.6)):
        watcher.journal.log(kimg * 1000, {"loss/generator": value})
    model: Any = SimpleNamespace(images_seen=2000, last_fakes=None)
    watcher.look(model)
    assert watcher.journal.verdict == ("diverged", "loss/generator is inf (at 2.0 kimg)")


def test_spread_is_the_deviation_over_the_batch() -> None:
    model = game()
    found = play(model, StopOnFailure(every_steps=2), 4)
    assert [step for step, _ in found["spread/fakes"]] == [2, 4]
    assert model.last_fakes is not None
    expected = model.last_fakes.std(dim=0).mean().item()
    assert found["spread/fakes"][-1][1] == pytest.approx(expected)


def test_verdict_names_the_rule() -> None:
    watcher = StopOnFailure(every_steps=1, collapse_spread=1000, collapse_kimg=0.03)
    play(game(), watcher, 4)
    assert watcher.journal.verdict is not None and watcher.journal.verdict[0] == "collapsed"
    assert watcher.journal.stopped_by == "stop_on_failure"


# All of them in a run


@pytest.mark.slow
def test_default_run_writes_the_state_of_its_game(tmp_path: Path) -> None:
    words = ["data=digits", "model=gan", "batch_size=32", "tracker=none", "trainer=cpu"]
    words += ["trainer.threads=1", "metrics=none", "~callbacks.samples", "budget_kimg=3.2"]
    result = train(config.compose(words), run_dir=tmp_path / "run", progress=False)
    assert result["status"] == "finished" and result["stopped_by"] is None
    logged = {name for row in RunRecord(tmp_path / "run").history() for name in row}
    assert {
        "grad_norm/generator",
        "grad_norm/discriminator",
        "balance/distance",
        "overfit/r_t",
        "overfit/r_v",
        "spread/fakes",
    } <= logged


# Quality


def test_a_first_evaluation_that_fails_names_no_objective() -> None:
    """Later rules would look for the scores until the run has ended."""

    def refuse(*_: object) -> None:
        raise DivergedError("not finite")

    quality = Quality(every_kimg=1)
    quality.journal = Journal(None, None)
    panel: Any = SimpleNamespace(prepare=lambda device: None, score=refuse, objective="fid")
    quality.panel, quality.conditions, quality.data = panel, panel, panel
    quality.work(game())
    assert quality.journal.verdict is not None and quality.journal.verdict[0] == "diverged"
    assert quality.journal.objective is None
    assert worsened(quality.journal, factor=2, kimg=50) is None


def test_a_bug_of_the_model_at_an_evaluation_is_no_divergence() -> None:
    """Its traceback would be lost, and a sweep would rank the run among the diverged ones."""
    too_many = "too many values to unpack"

    def unpack(*_: object) -> None:
        raise ValueError(too_many)

    quality = Quality(every_kimg=1)
    quality.journal = Journal(None, None)
    panel: Any = SimpleNamespace(prepare=lambda device: None, score=unpack, objective="fid")
    quality.panel, quality.conditions, quality.data = panel, panel, panel
    with pytest.raises(ValueError, match=too_many):
        quality.work(game())
    assert quality.journal.verdict is None


def test_progress_in_a_pipe_has_no_trailing_spaces(capsys: pytest.CaptureFixture[str]) -> None:
    bar = ProgressBar(budget_kimg=0.016)
    bar.journal = Journal(None, None)
    model: Any = SimpleNamespace(images_seen=16)
    bar.after_step(TRAINER, model, images=16)
    assert capsys.readouterr().err == "0.016/0.016 kimg\n"


def test_a_narrow_line_of_progress_keeps_both_losses() -> None:
    journal = Journal(None, None)
    journal.objective = "fid_x"
    journal.last["fid_x"] = {"value": 35.2, "kimg": 1.0}
    journal.protocols["fid_x"] = {"score": "fid"}
    journal.latest = {
        "balance/real_mean": 0.61,
        "balance/fake_mean": 0.42,
        "loss/discriminator": -123.456,
        "loss/generator": 1234.5,
        "throughput/images_per_second": 12345.0,
    }
    whole = "fid 35.2  D(x) 0.61  D(G) 0.42  loss D -123.46  G 1234.50  12,345 img/s"
    assert watched(journal, 80) == whole
    assert watched(journal, 60) == "fid 35.2  D(x) 0.61  D(G) 0.42  loss D -123.46  G 1234.50"
    assert watched(journal, 40) == "fid 35.2  loss D -123.46  G 1234.50"
    assert watched(journal, 20) == "loss D -123.46  G 1234.50"


@pytest.mark.parametrize("budget_kimg", [100, 100_000])
@pytest.mark.parametrize(
    ("losses", "shown"),
    [
        ({"discriminator": -123.456, "generator": 1234.5}, "loss D -123.46  G 1234.50"),
        (
            {"discriminator": 0.691, "decoder": 0.021, "encoder": 12.3},  # of an AAE
            "loss D 0.69  decoder 0.02  encoder 12.30",
        ),
        ({"autoencoder": 0.5}, "autoencoder 0.50"),
    ],
)
def test_the_bar_shows_every_loss_at_eighty_columns(
    losses: dict[str, float], shown: str, budget_kimg: float
) -> None:
    bar, out = ProgressBar(budget_kimg), io.StringIO()
    bar.console = Console(width=80, file=out, force_terminal=True, color_system=None)
    bar.journal = Journal(None, None)
    bar.journal.objective = "class_error_validation"
    bar.journal.last["class_error_validation"] = {"value": 0.0352, "kimg": 1.0}
    bar.journal.protocols["class_error_validation"] = {"score": "class_error"}
    bar.journal.latest = {f"loss/{player}": value for player, value in losses.items()}
    bar.journal.latest |= {"throughput/images_per_second": 12345.0, "balance/real_mean": 0.5}
    model = game()
    bar.on_train_start(TRAINER, model)
    bar.after_step(TRAINER, model, images=16)
    bar.on_train_end(TRAINER, model)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())  # moves of the cursor
    line = [line for line in re.split(r"[\r\n]+", text) if "kimg" in line][-1]
    assert f"0/{budget_kimg} kimg" in line
    assert shown in line and len(line.rstrip()) <= 80, line
