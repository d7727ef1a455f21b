"""The duality gap: exact on games solved by hand, and without any effect on the run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.callbacks.duality import DualityGap, slices, unchanged
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.real_samples import Rows
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.data.images import Digits
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import Split
from gansweep.data.toy import Ring
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.records.record import RunRecord
from gansweep.run.build import build_data, build_model
from gansweep.run.train import train
from gansweep.terms.losses import Hinge, Loss, Minimax, RelativisticPairing, Wasserstein
from gansweep.terms.penalties import R1, Penalty
from gansweep.terms.schedules import Ramp

# The Dirac-GAN: the data are the point 0, the generator makes the point theta, and the
# discriminator is x -> psi x.


class Zeros(ResidentSource):
    name = "zeros"
    shape = (1,)
    class_names = None

    has_validation = True

    def __init__(self, n_validation: int = 100) -> None:
        super().__init__()
        self.sizes = {"train": 100, "validation": n_validation}

    def read(self, split: Split) -> Arrays:
        return torch.zeros(self.sizes[split], 1), None


class Point(nn.Module):
    """theta, clamped to [-1, 1] if it is bounded."""

    def __init__(self, theta: float, bounded: bool) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(theta))
        self.bounded = bounded

    def forward(self, z: Tensor) -> Tensor:
        return (self.raw.clamp(-1, 1) if self.bounded else self.raw).expand(len(z), 1)


class Slope(nn.Module):
    def __init__(self, psi: float) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(psi))

    def forward(self, x: Tensor) -> Tensor:
        return self.psi * x[:, 0]


def dirac(
    theta: float,
    psi: float,
    loss: Loss,
    bounded: bool = False,
    penalties: Mapping[str, Penalty] | None = None,
) -> GAN:
    model = GAN(
        sample_shape=(1,),
        generator=lambda sample_shape, latent_dim: Point(theta, bounded),
        discriminator=lambda sample_shape: Slope(psi),
        loss=loss,
        penalties=penalties or {},
        latent_dim=1,
        weight_clip=1.0 if bounded else None,
        optimizer=dict.fromkeys(("discriminator", "generator"), partial(torch.optim.SGD, lr=0.1)),
    )
    model.configure_optimizers()
    model.draws = Draws(0, torch.device("cpu"))
    return model


def gap_of(model: GAN, steps: int = 20, lr: float = 0.01) -> dict[str, float]:
    watcher = DualityGap(every_kimg=1, steps=steps, batch_size=8, learning_rate=lr)
    watcher.data, watcher.journal = Zeros(), Journal(None, None)
    watcher.on_train_start(None, model)  # type: ignore[arg-type]
    watcher._images_seen_here = 1
    watcher.work(model)
    return {name.removeprefix("game/"): value for name, value in watcher.journal.latest.items()}


@pytest.mark.parametrize(("theta", "psi"), [(1.0, -1.0), (0.5, 2.0), (-3.0, -0.7)])
def test_gap_of_a_linear_game_is_what_its_players_could_move(theta: float, psi: float) -> None:
    """M = -psi theta. Adam moves a player by its rate under a constant gradient: 20 x 0.01."""
    found = gap_of(dirac(theta, psi, Wasserstein()))
    assert found["worst_discriminator"] == pytest.approx(-psi * theta + 0.2 * abs(theta), abs=1e-5)
    assert found["worst_generator"] == pytest.approx(-psi * theta - 0.2 * abs(psi), abs=1e-5)
    assert found["duality_gap"] == pytest.approx(0.2 * (abs(theta) + abs(psi)), abs=1e-5)


@pytest.mark.parametrize(("theta", "psi"), [(0.5, 0.5), (-0.25, 0.75), (0.9, -0.1)])
def test_gap_of_the_minimax_game_in_a_box(theta: float, psi: float) -> None:
    """M = -log 2 - softplus(psi theta) over |theta|, |psi| <= 1, each at its worst at a corner."""

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    found = gap_of(dirac(theta, psi, Minimax(), bounded=True), steps=40, lr=0.1)
    worst_discriminator = -math.log(2) - softplus(-abs(theta))
    worst_generator = -math.log(2) - softplus(abs(psi))
    assert found["worst_discriminator"] == pytest.approx(worst_discriminator, abs=1e-5)
    assert found["worst_generator"] == pytest.approx(worst_generator, abs=1e-5)
    assert found["duality_gap"] == pytest.approx(worst_discriminator - worst_generator, abs=1e-5)


@pytest.mark.parametrize(
    ("loss", "value"),
    [(Minimax(), -1.386294), (RelativisticPairing(), -math.log(2)), (Wasserstein(), 0.0)],
)
def test_gap_is_0_at_the_equilibrium(loss: Loss, value: float) -> None:
    found = gap_of(dirac(0.0, 0.0, loss, penalties={"r1": R1(weight=1.0)}))
    assert found["worst_discriminator"] == pytest.approx(value, abs=1e-6)
    assert found["duality_gap"] == 0


def test_opponent_that_training_made_no_worse_counts_as_it_was() -> None:
    """A strong penalty drives psi to 0, so the trained discriminator is worse than the current."""
    found = gap_of(dirac(0.1, -1.0, Wasserstein(), penalties={"r1": R1(weight=100.0)}))
    assert found["worst_discriminator"] == pytest.approx(0.1)


# What is refused, before any training


class Energy(Hinge):
    kind = "energy"


class Three(GAN):
    @property
    def players(self) -> dict[str, nn.Module]:
        return {**super().players, "critic": self.discriminator}


@pytest.mark.parametrize(
    ("data", "model", "words"),
    [
        (Zeros(0), dirac(1.0, 1.0, Minimax()), "at least 4"),
        (Zeros(), dirac(1.0, 1.0, Energy()), "energy"),
    ],
    ids=["no held-out images", "no value"],
)
def test_unfit_games_are_refused(data: Zeros, model: GAN, words: str) -> None:
    watcher = DualityGap(every_kimg=1, steps=1, batch_size=8, learning_rate=0.1)
    watcher.data = data
    with pytest.raises(UserError, match=f"{words}.*~callbacks.duality_gap"):
        watcher.on_train_start(None, model)  # type: ignore[arg-type]


def test_game_of_three_is_refused() -> None:
    model = dirac(1.0, 1.0, Minimax())
    model.__class__ = Three
    watcher = DualityGap(every_kimg=1, steps=1, batch_size=8, learning_rate=0.1)
    watcher.data = Zeros()
    with pytest.raises(UserError, match="discriminator, generator, critic"):
        watcher.on_train_start(None, model)  # type: ignore[arg-type]


# Held-out halves


def test_halves_of_the_test_split_share_no_sample_with_each_other_or_with_training() -> None:
    adversary, test = Rows.of(Ring(n_train=500), "test", 1000).halves()
    assert len(adversary) == len(test) == 500
    train_points = {tuple(row) for row in Rows.of(Ring(n_train=500), "train", 500).images.tolist()}
    points = [tuple(row) for half in (adversary, test) for row in half.images.tolist()]
    assert len(set(points)) == 1000 and not train_points & set(points)


def test_rows_are_fed_as_training_feeds_them() -> None:
    rows, model = Rows.of(Digits(), "test", 50), dirac(1.0, 1.0, Minimax()).double()
    batch = rows.batch(torch.arange(50), model)
    assert batch.images.dtype == torch.float64 and batch.labels is not None
    assert batch.images.min() == -1 and batch.images.max() == 1
    torch.testing.assert_close((batch.images + 1) * 127.5, rows.images.double())


# The run is not affected


@pytest.fixture
def small_words(tmp_path: Path) -> Iterator[list[str]]:
    words = ["data=digits", "model.generator.width=8", "model.discriminator.width=8"]
    words += ["batch_size=32", "tracker=none", "trainer=cpu", "trainer.threads=1"]
    words += ["callbacks.quality.every_kimg=0.5", "metrics.n_fake=100", "metrics.scores=[fid]"]
    yield [*words, "~callbacks.samples", "model.ema_kimg=0.2", "budget_kimg=1"]


GAP = ["callbacks=diagnosis", "callbacks.duality_gap.every_kimg=0.4"]
GAP += ["callbacks.duality_gap.steps=3"]


def finished(directory: Path, words: list[str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = train(config.compose(words), run_dir=directory, progress=False)
    assert result["status"] == "finished", result["reason"]
    checkpoint = read_checkpoint(directory / "checkpoints" / "last.pt")
    return checkpoint, RunRecord(directory).history()


def curve(rows: list[dict[str, Any]], start: str) -> list[Any]:
    return [(row["kimg"], key, row[key]) for row in rows for key in row if key.startswith(start)]


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["dcgan", "sngan", "wgan_gp", "wgan"])
def test_run_is_bit_identical_with_and_without_its_gap(
    tmp_path: Path, small_words: list[str], variant: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*small_words, f"model={variant}", "model.n_critic=2"]
    words += ["callbacks.overfitting.every_steps=5", "callbacks.gradients.every_steps=5"]
    plain, plain_rows = finished(tmp_path / "plain", words)
    assert "duality gap" not in capsys.readouterr().err
    watched, rows = finished(tmp_path / "watched", [*words, *GAP])
    assert plain["game"].keys() == watched["game"].keys()
    assert_same(plain["game"], watched["game"])
    assert_same(plain["rng"], watched["rng"])
    for start in ("fid", "grad_norm", "overfit"):
        assert curve(plain_rows, start) == curve(rows, start) != [], start
    gaps = curve(rows, "game/duality_gap")
    assert [kimg for kimg, _, _ in gaps] == pytest.approx([0.416, 0.8, 1.024])
    assert all(value >= 0 for _, _, value in gaps)
    (line,) = (line for line in capsys.readouterr().err.splitlines() if "duality gap" in line)
    assert "3 steps of 64 images every 0.4 kimg" in line and "on top of training" in line


def assert_same(a: Any, b: Any) -> None:
    if isinstance(a, Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


def test_what_is_done_to_players_is_undone() -> None:
    model = dirac(1.0, 1.0, Minimax())
    model.training_step(Batch(torch.zeros(4, 1)), 0)
    gradients = [p.grad for p in model.parameters()]
    before, state = [p.detach().clone() for p in model.parameters()], torch.get_rng_state()
    with pytest.raises(ZeroDivisionError), unchanged(model):
        for p in model.parameters():
            assert p.grad is None
            p.data += torch.rand(())
        raise ZeroDivisionError
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(a is p.grad for a, p in zip(gradients, model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.slow
def test_discriminator_that_the_run_holds_still_is_found_out(
    tmp_path: Path, small_words: list[str]
) -> None:
    """The outputs are 1/2, but another discriminator would win easily."""
    words = [w for w in small_words if "budget" not in w] + ["model=dcgan", "budget_kimg=0.5"]
    words += [*GAP, "callbacks.duality_gap.steps=60", "model.optimizer.discriminator.lr=0"]
    _, rows = finished(tmp_path / "run", words)
    gaps = curve(rows, "game/duality_gap")
    assert gaps[-1][-1] > 0.5


# The measured game


@pytest.mark.parametrize(("interval", "steps"), [(1, 0), (16, 0), (16, 1)])
def test_gap_is_exact_at_any_interval_of_a_lazy_penalty(interval: int, steps: int) -> None:
    """max over psi of -psi theta - psi^2 / 2 is at psi = -theta, where M = theta^2 = 1.

    The generator wins nothing from a flat discriminator, so this is the gap.
    """
    model = dirac(1.0, 0.0, Wasserstein(), penalties={"r1": R1(weight=1.0)})
    model.terms.penalty_interval, model.steps = interval, steps
    assert gap_of(model, steps=200, lr=0.05)["duality_gap"] == pytest.approx(1.0, abs=1e-3)


def test_worst_opponents_see_the_weight_that_a_penalty_has_at_the_moment() -> None:
    """max over psi of -psi theta - w psi^2 / 2 is at psi = -theta / w, where M = theta^2 / w."""
    weight = Ramp(start=4.0, end=1.0, until_kimg=1, shape="linear")
    model = dirac(1.0, 0.0, Wasserstein(), penalties={"r1": R1(weight=weight)})
    model.images_seen = 500
    assert gap_of(model, steps=200, lr=0.05)["duality_gap"] == pytest.approx(1 / 2.5, abs=1e-3)


def gap_of_a_variant(*words: str, batch_size: int) -> dict[str, float]:
    """The gap of a tiny untrained model on digits, with two halves of 143 validation images."""
    cfg = config.compose(["data=digits", *words])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    data = build_data(cfg)
    model = build_model(cfg, data)
    model.configure_optimizers()
    watcher = DualityGap(every_kimg=1, steps=2, batch_size=batch_size, learning_rate=1e-3)
    watcher.data, watcher.journal = data, Journal(None, None)
    watcher.on_train_start(None, model)  # type: ignore[arg-type]
    watcher._images_seen_here = 1
    watcher.work(model)
    return watcher.journal.latest


@pytest.mark.parametrize(
    ("batch_size", "words"),
    [
        (32, ["model=stylegan2"]),
        (50, ["model=stylegan2"]),
        (32, ["model=stylegan2", "model.packing=2"]),
        (32, ["model=progan"]),
        (32, ["model=pacgan", "model.packing=7"]),
    ],
)
def test_a_discriminator_that_judges_samples_together_is_given_whole_groups(
    batch_size: int, words: list[str]
) -> None:
    assert gap_of_a_variant(*words, batch_size=batch_size)["game/duality_gap"] >= 0


@pytest.mark.parametrize(
    ("n", "size", "together", "lengths"),
    [
        (180, 64, 1, [60, 60, 60]),
        (180, 32, 4, [32, 32, 32, 28, 28, 28]),
        (176, 64, 8, [64, 56, 56]),
        (24, 4, 8, [8, 8, 8]),  # smaller than a group
    ],
)
def test_slices_are_whole_groups_in_their_order(
    n: int, size: int, together: int, lengths: list[int]
) -> None:
    found = list(slices(n, size, together))
    assert [len(part) for part in found] == lengths
    assert torch.cat(found).tolist() == list(range(n))
