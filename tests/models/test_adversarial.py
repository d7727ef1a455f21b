"""What models/adversarial.py owns, against values worked out by hand and slow references."""

import copy
import functools
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.records.record import RunRecord
from gansweep.run.train import train
from gansweep.terms import schedules
from gansweep.terms.clock import Clock

TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=32"]
TINY += ["tracker=none", "metrics=none", "trainer=cpu", "callbacks.losses.every_steps=1"]


def build(*overrides: str, shape: tuple[int, ...] = (2,)) -> Adversarial:
    """The model that the overrides describe, with small networks and 8 samples a batch."""
    torch.manual_seed(0)
    cfg = config.compose([*overrides])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    node = config.model_node(cfg, is_points=len(shape) == 1)
    model: Adversarial = config.instantiate(node, sample_shape=shape)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def step(model: Adversarial, k: int, shape: tuple[int, ...] = (2,), n: int = 8) -> None:
    rng = torch.Generator().manual_seed(k)
    model.training_step(Batch(torch.rand(n, *shape, generator=rng) * 2 - 1), k)


def weights(network: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in network.parameters()]


# Learning rates


@pytest.mark.parametrize(
    ("schedule", "kimg", "factor"),
    [
        (functools.partial(schedules.linear_decay), 0, 1.0),
        (functools.partial(schedules.linear_decay), 25, 0.75),
        (functools.partial(schedules.linear_decay), 100, 0.0),
        (functools.partial(schedules.linear_decay), 120, 0.0),
        (functools.partial(schedules.linear_decay, start=0.5), 0, 1.0),
        (functools.partial(schedules.linear_decay, start=0.5), 50, 1.0),
        (functools.partial(schedules.linear_decay, start=0.5), 75, 0.5),
        (functools.partial(schedules.linear_decay, start=0.5), 100, 0.0),
        (schedules.cosine, 0, 1.0),
        (schedules.cosine, 50, 0.5),
        (schedules.cosine, 100 / 3, 0.75),  # (1 + cos(60 degrees)) / 2
        (schedules.cosine, 100, 0.0),
        (schedules.cosine, 150, 0.0),
        (functools.partial(schedules.halving, every_kimg=20), 19.9, 1.0),
        (functools.partial(schedules.halving, every_kimg=20), 20, 0.5),
        (functools.partial(schedules.halving, every_kimg=20), 60, 0.125),
        (functools.partial(schedules.halving, every_kimg=20, floor=0.2), 60, 0.2),
    ],
)
def test_schedule_by_hand(schedule: schedules.Schedule, kimg: float, factor: float) -> None:
    assert schedule(kimg, 100) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(
    ("interval", "every", "factors"),
    [(1, 1, [1] * 8), (4, 1, [4, 0, 0, 0, 4, 0, 0, 0]), (2, 2, [2, 2, 0, 0, 2, 2, 0, 0])],
)
def test_a_lazy_term_acts_every_kth_move_k_times_as_strong_or_always_once(
    interval: int, every: int, factors: list[int]
) -> None:
    clocks = [Clock(step=step) for step in range(8)]
    assert [clock.factor(interval, every) for clock in clocks] == factors
    assert all(replace(clock, lazy=False).factor(interval, every) == 1 for clock in clocks)


def test_a_lazy_term_counts_the_moves_of_a_turn() -> None:
    """Two moves on every third step, of which every third acts: moves 0, 3 and 6 of these."""
    clocks = [Clock(step=step, repeat=repeat) for step in (2, 5, 8, 11) for repeat in (0, 1)]
    factors = [clock.factor(3, every=3, moves=2) for clock in clocks]
    assert factors == [3, 0, 0, 3, 0, 0, 3, 0]


def test_schedule_moves_the_rates_of_both_players_on_the_image_clock(tmp_path: Path) -> None:
    """Whatever the batch size: here 50 batches of 32 images, the rate of the batch being
    that of the images seen before it."""
    linear = "{_target_: gansweep.terms.schedules.linear_decay, _partial_: true, start: 0.5}"
    words = [f"model.lr_schedule={linear}", "budget_kimg=1.6"]
    words += ["model.optimizer.discriminator.lr=8e-4"]
    train(config.compose([*TINY, *words]), run_dir=tmp_path / "r", progress=False)
    rows = [row for row in RunRecord(tmp_path / "r").history() if "lr/generator" in row]
    assert len(rows) == 50
    for row in rows:
        before = row["kimg"] - 0.032
        factor = 1.0 if before < 0.8 else (1.6 - before) / 0.8
        assert row["lr/generator"] == pytest.approx(2e-4 * factor, rel=1e-9)
        assert row["lr/discriminator"] == pytest.approx(8e-4 * factor, rel=1e-9)
    assert rows[-1]["lr/generator"] == pytest.approx(2e-4 * 0.04)


def test_schedule_decides_how_far_a_step_goes() -> None:
    """Adam's first step is lr long in every weight: a halved rate halves it."""
    moved = []
    for factor in (1.0, 0.5):
        model = build("model=dcgan")
        model.lr_schedule = lambda kimg, budget, factor=factor: factor
        before = weights(model.players["discriminator"])
        step(model, 0)
        after = weights(model.players["discriminator"])
        moved.append(max(float((a - b).abs().max()) for a, b in zip(after, before, strict=True)))
    assert moved[0] == pytest.approx(2e-4, rel=1e-3)
    assert moved[1] == pytest.approx(moved[0] / 2, rel=1e-3)


def test_two_learning_rates_reach_the_optimizers() -> None:
    """Heusel et al. 2017, arXiv:1706.08500: one rate for each player."""
    words = ["model.optimizer.generator.lr=1e-3", "model.optimizer.discriminator.lr=4e-3"]
    model = build("model=dcgan", *words)
    assert model.learning_rates == {"generator": 1e-3, "discriminator": 4e-3}
    before = {name: weights(net) for name, net in model.players.items()}
    step(model, 0)
    for name, rate in model.learning_rates.items():
        pairs = zip(weights(model.players[name]), before[name], strict=True)
        longest = max(float((a - b).abs().max()) for a, b in pairs)
        assert longest == pytest.approx(rate, rel=1e-3), name


# The moving average


@pytest.mark.parametrize(("n_critic", "n_generator"), [(1, 1), (2, 1), (2, 3)])
def test_average_follows_its_slow_reference_through_the_ramp(
    n_critic: int, n_generator: int
) -> None:
    """average <- average + (live - average) (1 - 2^(-images / half-life)), where the half-life
    is 5 % of the images seen until it reaches ema_kimg; once for each turn of the generator."""
    words = [f"model.n_critic={n_critic}", f"model.n_generator={n_generator}"]
    model = build("model=dcgan", "model.ema_kimg=0.004", *words, shape=(1, 8, 8))
    slow = [w.double() for w in weights(model.players["generator"])]
    ramped = set()
    for k in range(1, 25):
        step(model, k, (1, 8, 8))
        seen = 8 * k
        if k % n_critic == 0:
            half_life = min(4.0, 0.05 * seen)
            ramped.add(half_life < 4.0)
            forget = 1 - math.pow(0.5, 8 * n_critic / half_life)
            live = weights(model.players["generator"])
            slow = [s + (w.double() - s) * forget for s, w in zip(slow, live, strict=True)]
        for kept, expected in zip(model.sampler().parameters(), slow, strict=True):
            torch.testing.assert_close(kept.double(), expected, rtol=0, atol=1e-6)
    assert ramped == {True, False}


def test_average_takes_the_latest_batch_statistics() -> None:
    model = build("model=dcgan", "model.ema_kimg=1", shape=(1, 8, 8))
    for k in range(3):
        step(model, k, (1, 8, 8))
    live = dict(model.players["generator"].named_buffers())
    assert live
    for name, kept in model.sampler().named_buffers():
        assert torch.equal(kept, live[name]), name


def test_samples_come_from_the_average() -> None:
    model = build("model=dcgan", "model.ema_kimg=1")
    step(model, 0)
    request = Batch(torch.zeros(4, 2))
    before = model.fakes(request, torch.Generator().manual_seed(0))
    for p in model.players["generator"].parameters():
        p.data.add_(1.0)
    assert torch.equal(before, model.fakes(request, torch.Generator().manual_seed(0)))


# Bounds


def test_gradients_are_clipped_to_the_norm_as_pytorch_does() -> None:
    model = build("model=dcgan", "model.clip_grad_norm=0.01")
    free = build("model=dcgan")
    norms = {}
    for name, chosen in (("clipped", model), ("free", free)):
        step(chosen, 0)
        gradients = [p.grad for p in chosen.players["discriminator"].parameters()]
        norms[name] = float(torch.cat([g.flatten() for g in gradients if g is not None]).norm())
    assert norms["free"] > 0.02 > 0.0101 > norms["clipped"] > 0.0098
    assert model.recent_means()["grad_norm/discriminator"] == pytest.approx(norms["free"], rel=1e-5)


def test_gradients_below_the_norm_are_left_alone() -> None:
    model, free = build("model=dcgan", "model.clip_grad_norm=1e6"), build("model=dcgan")
    step(model, 0)
    step(free, 0)
    for a, b in zip(weights(model), weights(free), strict=True):
        assert torch.equal(a, b)


def test_critic_weights_stay_within_the_clip_and_the_generators_are_free() -> None:
    model = build("model=wgan", "model.weight_clip=0.03", "model.n_critic=2")
    start = weights(model.players["discriminator"])
    assert max(float(w.abs().max()) for w in start) > 0.03
    for k in range(4):
        step(model, k)
        largest = max(float(w.abs().max()) for w in weights(model.players["discriminator"]))
        assert largest <= 0.03 + 1e-9
    assert largest == pytest.approx(0.03)
    assert max(float(w.abs().max()) for w in weights(model.players["generator"])) > 0.03


# Compiled networks


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the compiler's own imports
def test_compiled_networks_train_as_eager_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Traced forwards and backwards; the kernels that Inductor would write take a minute more."""
    from torch._dynamo.utils import counters

    traced = functools.partialmethod(torch.nn.Module.compile, backend="aot_eager")
    monkeypatch.setattr(torch.nn.Module, "compile", traced)
    losses = {}
    for compiled in ("false", "true"):
        counters.clear()
        words = ["model=gan", "data=ring", "batch_size=32", "budget_kimg=0.064", "tracker=none"]
        words += ["metrics=none", "trainer=cpu", "callbacks.losses.every_steps=1"]
        words += [f"trainer.compile={compiled}", "~callbacks.samples"]
        train(config.compose(words), run_dir=tmp_path / compiled, progress=False)
        assert (counters["frames"]["ok"] >= 2) == (compiled == "true")
        rows = RunRecord(tmp_path / compiled).history()
        losses[compiled] = [row[k] for row in rows for k in row if k.startswith("loss/")]
    assert len(losses["true"]) == 4
    assert losses["true"] == pytest.approx(losses["false"], abs=1e-4)


def test_compiled_networks_keep_the_names_of_their_weights() -> None:
    """A run may be continued with the other choice of trainer.compile."""
    model = build("model=gan", shape=(1, 8, 8))
    plain = copy.deepcopy(model.game_state()["players"])
    model.compile_networks()
    for player, state in model.game_state()["players"].items():
        assert state.keys() == plain[player].keys()
