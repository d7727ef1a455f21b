"""Settings that change on the image clock, against loops written by hand in plain PyTorch."""

import copy
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor
from torch.nn.functional import softplus

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.records.record import RunRecord
from gansweep.run.train import train
from gansweep.terms.augment import ADA, DiffAugment, StochasticAugment
from gansweep.terms.clock import Clock
from gansweep.terms.schedules import Ramp, geometric, halving, value_at


def ramp(start: float, end: float, until: str = "0.04", shape: str = "cosine") -> str:
    words = f"start: {start}, end: {end}, until_kimg: {until}, shape: {shape}"
    return f"{{_target_: gansweep.terms.schedules.Ramp, {words}}}"


R1 = "+model.penalties.r1={_target_: gansweep.terms.penalties.R1, weight: " + ramp(2, 0.2) + "}"
BETAS = f"model.optimizer.generator.betas=[0.0, {ramp(0.9, 0.99)}]"  # the other player follows
EMA = f"model.ema_kimg={ramp(0, 0.05)}"
AUGMENT = "model.augment={_target_: gansweep.terms.augment.StochasticAugment, p: %s}"
SCHEDULED = [R1, BETAS, EMA]
TINY = ["model.generator.width=4", "model.discriminator.width=4", "batch_size=8"]
TINY += ["tracker=none", "metrics=none", "trainer=cpu", "callbacks.losses.every_steps=1"]
TINY += ["model.discriminator.norm=none", "~callbacks.quality", "~callbacks.samples"]


def build(*words: str, shape: Sequence[int] = (2,), budget_kimg: float = math.inf) -> GAN:
    torch.manual_seed(0)
    cfg = config.compose(["model=gan", *words])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    model: GAN = config.instantiate(
        config.model_node(cfg, len(shape) == 1), sample_shape=tuple(shape)
    )
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    model.budget_kimg = budget_kimg
    return model


def batches(n: int, shape: Sequence[int] = (2,)) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    return [torch.rand(8, *shape, generator=rng) * 2 - 1 for _ in range(n)]


# The ramp itself


@pytest.mark.parametrize(
    ("shape", "kimg", "value"),
    [
        ("cosine", 0, 0.9),
        ("cosine", 20 / 3, 0.9225),  # 60 degrees: a quarter of the way
        ("cosine", 10, 0.945),
        ("cosine", 20, 0.99),
        ("cosine", 70, 0.99),
        ("linear", 0, 0.9),
        ("linear", 5, 0.9225),
        ("linear", 20, 0.99),
        ("linear", 70, 0.99),
    ],
)
def test_a_ramp_by_hand(shape: str, kimg: float, value: float) -> None:
    ends = {"start": 0.9, "end": 0.99, "shape": shape}
    assert Ramp(**ends, until_kimg=20)(kimg, 100) == pytest.approx(value, abs=1e-12)
    assert Ramp(**ends)(5 * kimg, 100) == pytest.approx(value, abs=1e-12)  # of the whole budget
    assert {Ramp(**ends)(0, math.inf), Ramp(**ends)(1, 1)} == {0.9, 0.99}  # the corners exactly


@pytest.mark.parametrize(
    ("kimg", "every", "times"),
    [(0.3, 0.1, 3), (0.6, 0.2, 3), (1.2, 0.4, 3), (0.299, 0.1, 2), (59.999, 60, 0), (60, 60, 1)],
)
def test_steps_come_on_their_image_also_where_floats_do_not_divide(
    kimg: float, every: float, times: int
) -> None:
    assert halving(kimg, 100, every_kimg=every) == 0.5**times
    assert geometric(kimg, 100, factor=0.9, every_kimg=every) == 0.9**times


def test_a_plain_number_is_its_own_value() -> None:
    number = 0.1
    assert value_at(number, Clock(images_seen=500)) is number


# In the game


def by_hand(model: GAN, data: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """R3GAN's schedules around the game of Goodfellow et al.: weights and averages at the end."""
    g, d = copy.deepcopy(model.generator), copy.deepcopy(model.discriminator)
    average, draws, seen = copy.deepcopy(g), Draws(1, torch.device("cpu")), 0
    rate = model.learning_rates["generator"]
    og, od = (torch.optim.Adam(net.parameters(), rate, (0.0, 0.9), fused=True) for net in (g, d))
    for real in data:
        share = (1 - math.cos(math.pi * min(1, seen / 40))) / 2
        for optimizer in (og, od):
            optimizer.param_groups[0]["betas"] = (0.0, 0.9 + 0.09 * share)
        fake = g(model.latents(draws, 8, real.dtype))
        real = real.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(d(real).sum(), real, create_graph=True)
        loss = softplus(-d(real)).mean() + softplus(d(fake.detach())).mean()
        loss = loss + (2 - 1.8 * share) * slope.square().sum(1).mean() / 2
        od.zero_grad()
        loss.backward()
        od.step()
        og.zero_grad()
        softplus(-d(fake)).mean().backward()
        og.step()
        seen += 8
        half_life = 50 * (1 - math.cos(math.pi * min(1, seen / 40))) / 2  # in images
        with torch.no_grad():
            for kept, live in zip(average.parameters(), g.parameters(), strict=True):
                kept.lerp_(live, 1 - 0.5 ** (8 / half_life))
    return [p for net in (d, g) for p in net.parameters()], list(average.parameters())


def test_scheduled_training_equals_a_loop_written_by_hand() -> None:
    model, data = build(*SCHEDULED), batches(8)
    expected, averages = by_hand(model, data)
    for k, images in enumerate(data):
        model.training_step(Batch(images), k)
    found = [p for net in (model.discriminator, model.generator) for p in net.parameters()]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(list(model.sampler().parameters()), averages, rtol=1e-5, atol=1e-7)


def test_a_run_continues_exactly_and_another_configuration_takes_effect_at_once() -> None:
    model, data = build(*SCHEDULED), batches(6)
    for k in range(3):
        model.training_step(Batch(data[k]), k)
    state = copy.deepcopy(model.game_state())
    twin, other = build(*SCHEDULED), build(R1, f"model.ema_kimg={ramp(0, 1)}")
    for one in (twin, other):
        one.load_networks(state)
        one.load_optimizers(copy.deepcopy(state))
    assert twin.last_clock is None
    for k in range(3, 6):
        for one in (model, twin, other):
            one.training_step(Batch(data[k]), k)
    for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    groups = [one._optimizers["discriminator"].param_groups[0] for one in (model, other)]
    betas = [tuple(group["betas"]) for group in groups]
    assert betas == [(0.0, 0.99), (0.5, 0.999)]  # the new configuration has constants
    expected = {"ema_kimg": 0.5, "r1/weight": 1.1}
    assert other.scheduled(Clock(images_seen=20)) == pytest.approx(expected)


def test_momentum_follows_a_schedule() -> None:
    """Goodfellow et al. 2014: SGD whose momentum goes from 0.5 to 0.7 along a line."""
    momentum = ramp(0.5, 0.7, shape="linear")
    sgd = f"{{_target_: torch.optim.SGD, _partial_: true, lr: 0.1, momentum: {momentum}}}"
    model = build(
        "~model.optimizer.generator",
        f"+model.optimizer.generator={sgd}",
        "model.optimizer.discriminator.lr=1e-3",
        "model.optimizer.discriminator.betas=[0.5, 0.999]",
    )
    weight = torch.nn.Parameter(torch.zeros(1))
    velocity, expected = 0.0, 0.0
    maker = model.optimizer_makers["generator"]
    optimizer = maker([weight])
    for k in range(4):
        weight.grad = torch.ones(1)
        maker.set(optimizer, Clock(images_seen=10 * k))
        optimizer.step()
        velocity = (0.5 + 0.05 * k) * velocity + 1
        expected -= 0.1 * velocity
    assert weight.item() == pytest.approx(expected)
    assert model.scheduled(Clock(images_seen=20)) == {"momentum/generator": pytest.approx(0.6)}


# Augmentation


def test_a_scheduled_augmentation_changes_nothing_at_0_and_as_ada_does_at_its_p() -> None:
    images = batches(1, (3, 8, 8))[0]
    given = StochasticAugment(p=Ramp(start=0.0, end=0.55, until_kimg=1))
    adaptive = ADA(start=0.55)
    rng = torch.Generator().manual_seed(0)
    draw = {
        name: getattr(torch, "rand" if kind == "uniform" else "randn")(shape, generator=rng)
        for name, (kind, shape) in given.noise(images).items()
    }
    assert torch.equal(given.shown(images, draw, Clock()), images)
    late = Clock(images_seen=3000)
    assert torch.equal(given.shown(images, draw, late), adaptive.shown(images, draw, late))
    assert not torch.equal(given.shown(images, draw, late), images)


def test_diffaugment_with_a_p_leaves_the_other_images_as_they_are() -> None:
    images = batches(1, (3, 8, 8))[0]
    policy = ["color", "translation", "cutout"]
    always = DiffAugment(policy=policy)
    sometimes = DiffAugment(policy=policy, p=Ramp(start=0.0, end=1.0, until_kimg=1, shape="linear"))
    rng = torch.Generator().manual_seed(0)
    draw = {
        n: torch.rand(shape, generator=rng) for n, (_, shape) in sometimes.noise(images).items()
    }
    assert set(always.noise(images)) == set(policy)  # its random numbers are those of before
    assert torch.equal(sometimes.shown(images, draw, Clock()), images)
    assert torch.equal(sometimes.shown(images, draw, Clock(images_seen=1000)), always(images, draw))
    half = sometimes.shown(images, draw, Clock(images_seen=500))
    alone = {name: draw[f"{name}_happens"][:, 0] < 0.5 for name in policy}
    untouched = ~(alone["color"] | alone["translation"] | alone["cutout"])
    assert torch.equal(half[untouched], images[untouched])
    only_colour = alone["color"] & ~alone["translation"] & ~alone["cutout"]
    coloured = DiffAugment(policy=["color"])(images, draw)
    assert torch.equal(half[only_colour], coloured[only_colour])
    assert untouched.any() and only_colour.any()


def test_both_losses_are_pure_functions_of_the_clock_of_their_augmentation() -> None:
    shape = (1, 8, 8)
    model = build(AUGMENT % ramp(0, 0.55), shape=shape)
    plain = build(shape=shape)
    batch = Batch(batches(1, shape)[0])
    drawn = model.draw(model.draws, batch, Clock())
    fakes = model.make(batch, drawn, Clock())
    late = Clock(images_seen=40)
    for player in model.players:
        losses = [
            one.player_loss(player, batch, drawn, fakes, Clock()).loss for one in (model, plain)
        ]
        assert torch.equal(*losses)
        assert model.player_loss(player, batch, drawn, fakes, late).loss != losses[0]


# What a user meets


def test_scheduled_values_are_curves_and_the_opening_shows_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*TINY, "model=dcgan", *SCHEDULED, AUGMENT % ramp(0, 0.55, "null"), "budget_kimg=0.08"]
    words += [f"model.lr_schedule={ramp(1, 0.25, 'null', 'linear')}"]
    train(config.compose(words), run_dir=tmp_path / "run")
    said = " ".join(capsys.readouterr().err.split())
    assert "beta2/discriminator 0.9 to 0.99" in said and "lr times 1 to 0.25" in said
    assert "r1/weight 2 to 0.2" in said and "augment/p 0 to 0.55" in said
    assert "ema_kimg 0 to 0.05" in said
    rows = [row for row in RunRecord(tmp_path / "run").history() if "r1/weight" in row]
    assert len(rows) == 10
    for row in rows:
        before = row["kimg"] - 0.008  # a row is written after the step
        early = (1 - math.cos(math.pi * min(1, before / 0.04))) / 2
        slow = (1 - math.cos(math.pi * before / 0.08)) / 2
        assert row["r1/weight"] == pytest.approx(2 - 1.8 * early)
        assert row["beta2/generator"] == pytest.approx(0.9 + 0.09 * early)
        assert row["augment/p"] == pytest.approx(0.55 * slow)
        assert row["lr/generator"] == pytest.approx(2e-4 * (1 - 0.75 * before / 0.08))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([R1.replace("start: 2", "start: -1")], r"r1\.weight\.start=-1 .* 0 to .*start=0\."),
        ([BETAS.replace("end: 0.99", "end: 1")], r"betas\[1\]\.end=1 is not .*below 1"),
        ([EMA.replace("start: 0", "start: -5")], r"ema_kimg\.start=-5 is not .*start=0\."),
        ([EMA.replace("until_kimg: 0.04", "until_kimg: 0")], "until_kimg=0 is not .* above 0"),
        ([AUGMENT % ramp(0, 1.5)], r"augment\.p\.end=1\.5 is not a number from 0 to 1.*end=1\."),
        ([R1.replace("cosine", "sine")], "one of cosine, linear.*'cosine'"),
        ([R1.replace("start: 2, ", "")], "start"),
        ([R1.replace("start", "begin")], "Ramp has no option 'begin'"),
        (["model.ema_kimg=0"], "ema_kimg=0 is not a number above 0"),
        ([f"model.optimizer.generator.lr={ramp(1, 0)}"], "lr=.* is not a number from 0 up"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_fix(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(*words, shape=(1, 8, 8))


def test_a_number_takes_the_place_of_a_schedule_and_its_ends_are_options() -> None:
    schedule = build(R1, "model.penalties.r1.weight.end=0.5").terms["r1"].weight
    assert callable(schedule) and schedule(1, 1) == 0.5
    assert build(R1, "model.penalties.r1.weight=0.25").terms["r1"].weight == 0.25


@pytest.mark.slow
def test_two_processes_follow_the_same_schedules(tmp_path: Path) -> None:
    words = [*TINY, "model=dcgan", "model.generator.norm=none", *SCHEDULED]
    words += [AUGMENT % ramp(0, 0.55, "null"), "budget_kimg=0.08", "trainer.precision=64-true"]
    ends = []
    for devices in (1, 2):
        cfg = config.compose([*words, f"trainer.devices={devices}"])
        train(cfg, run_dir=tmp_path / str(devices), progress=False)
        ends.append(read_checkpoint(tmp_path / str(devices) / "checkpoints" / "last.pt")["game"])
    for kind in ("players", "averages"):
        for name, state in ends[0][kind].items():
            for key, value in state.items():
                torch.testing.assert_close(value, ends[1][kind][name][key], rtol=1e-9, atol=1e-12)
