"""R1 and R2 of samples that augmentation changes, against a gradient sample by sample."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.terms.augment import ADA
from gansweep.terms.clock import Clock
from gansweep.terms.penalties import R1, R2, Consistency, Penalty
from gansweep.terms.resampling import read

N, SHAPE = 4, (1, 8, 8)
ADAPTIVE = "model.augment={_target_: gansweep.terms.augment.ADA, start: 0.8}"
FIXED = (
    "model.augment={_target_: gansweep.terms.augment.DiffAugment, "
    "policy: [color, translation, cutout]}"
)


def game_of(*words: str, through: bool = True) -> GAN:
    penalties = [
        f"+model.penalties.{name}={{_target_: gansweep.terms.penalties.{name.upper()}, weight: 1, "
        f"through_augmentation: {str(through).lower()}}}"
        for name in ("r1", "r2")
    ]
    small = ["model.generator.width=4", "model.discriminator.width=4"]
    cfg = config.compose(
        ["model=dcgan", *small, "model.discriminator.norm=none", *penalties, *words]
    )
    torch.manual_seed(0)
    game: GAN = config.instantiate(config.model_node(cfg, False), sample_shape=SHAPE).double()
    game.draws = Draws(1, torch.device("cpu"))
    return game


def found(game: GAN) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, Tensor]:
    """The penalties of a step, its draws, the real samples, the fakes."""
    rng = torch.Generator().manual_seed(3)
    images = torch.rand(N, *SHAPE, generator=rng, dtype=torch.float64) * 2 - 1
    assert game.draws is not None
    drawn = game.draw(game.draws, Batch(images), game.clock)
    fakes = game.make(Batch(images), drawn, game.clock).detach()
    parts = game.discriminator_loss(Batch(images), drawn, fakes, game.clock).parts
    return parts, drawn, images, fakes


def slow(game: GAN, drawn: dict[str, Tensor], samples: Tensor, view: str) -> float:
    """Half the mean squared norm of the gradient of each sample's own score."""
    total = 0.0
    for k in range(N):
        own = {name: row[k : k + 1] for name, row in drawn.items()}
        image = samples[k : k + 1].clone().requires_grad_(True)
        score = game.discriminator(game.shown(image, own, view, Clock()))
        (gradient,) = torch.autograd.grad(score.sum(), image)
        total += 0.5 * float(gradient.square().sum()) / N
    return total


@pytest.mark.parametrize("augment", [ADAPTIVE, FIXED], ids=["ada", "diffaugment"])
def test_gradients_are_those_at_the_samples_before_augmentation(augment: str) -> None:
    game = game_of(augment)
    parts, drawn, images, fakes = found(game)
    assert parts["penalty/r1"].item() == pytest.approx(slow(game, drawn, images, "real"))
    assert parts["penalty/r2"].item() == pytest.approx(slow(game, drawn, fakes, "fake"))


def test_gradients_at_what_d_sees_are_other_ones() -> None:
    game = game_of(ADAPTIVE, through=False)
    parts, drawn, images, _ = found(game)
    seen = game.shown(images, drawn, "real", Clock()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(game.discriminator(seen).sum(), seen)
    at_what_d_sees = 0.5 * gradient.square().flatten(1).sum(1).mean().item()
    assert parts["penalty/r1"].item() == pytest.approx(at_what_d_sees)
    assert found(game_of(ADAPTIVE))[0]["penalty/r1"].item() != pytest.approx(at_what_d_sees)


def test_without_augmentation_both_are_the_same() -> None:
    parts = [found(game_of(through=through))[0] for through in (True, False)]
    assert torch.equal(parts[0]["penalty/r1"], parts[1]["penalty/r1"])
    assert torch.equal(parts[0]["penalty/r2"], parts[1]["penalty/r2"])


def test_of_a_pack_the_gradient_is_that_of_all_its_samples() -> None:
    through, at_packs = (found(game_of("model.packing=2", through=t))[0] for t in (True, False))
    for name in ("penalty/r1", "penalty/r2"):
        torch.testing.assert_close(through[name], at_packs[name])


def test_discriminator_learns_from_a_gradient_through_augmentation() -> None:
    """The penalty's own gradient agrees with finite differences of the slow reference."""
    game = game_of(ADAPTIVE)
    assert isinstance(game.terms["augment"], ADA)
    _, drawn, images, _ = found(game)
    weight = next(game.discriminator.parameters())
    loss = game.terms["r1"](  # type: ignore[operator]
        lambda x: game.discriminator(game.shown(x, drawn, "real", Clock())), images, images, {}
    )
    (gradient,) = torch.autograd.grad(loss, weight)
    place = tuple(int(k) for k in torch.nonzero(gradient.abs() == gradient.abs().max())[0])
    ends = []
    for step in (1e-6, -1e-6):
        with torch.no_grad():
            weight[place] += step
        ends.append(slow(game, drawn, images, "real"))
        with torch.no_grad():
            weight[place] -= step
    assert gradient[place].item() == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4)


CONSISTENT = "+model.penalties.cr={_target_: gansweep.terms.penalties.Consistency, weight: 10}"


@pytest.mark.parametrize(
    "words",
    [[], [ADAPTIVE], ["model.packing=2"], ["model.discriminator.norm=batch"], [CONSISTENT]],
    ids=["plain", "ada", "packing", "batch_norm", "consistency"],
)
def test_the_scores_of_the_loss_serve_the_penalties_too(words: list[str]) -> None:
    """D judges each sample once, and learns what it learns where each penalty judges anew."""
    game = game_of(*words)
    rng = torch.Generator().manual_seed(3)
    batch = Batch(torch.rand(N, *SHAPE, generator=rng, dtype=torch.float64) * 2 - 1)
    assert game.draws is not None
    drawn = game.draw(game.draws, batch, game.clock)
    fakes = game.make(batch, drawn, game.clock).detach()
    weights = list(game.discriminator.parameters())

    judged: list[int] = []
    counting = game.discriminator.register_forward_hook(lambda *given: judged.append(1))
    loss = game.discriminator_loss(batch, drawn, fakes, game.clock).loss
    counting.remove()
    assert len(judged) == (3 if CONSISTENT in words else 2)
    gradients = torch.autograd.grad(loss, weights)

    real, fake = (
        game.shown(x, drawn, v, game.clock) for x, v in ((batch.images, "real"), (fakes, "fake"))
    )
    anew = game.loss.discriminator(game.discriminator(real), game.discriminator(fake))
    for name, view in (("r1", "real"), ("r2", "fake")):

        def judge(x: Tensor, view: str = view) -> Tensor:
            return game.discriminator(game.shown(x, drawn, view, game.clock))

        anew = anew + game.terms[name](judge, batch.images, fakes, {})  # type: ignore[operator]
    if CONSISTENT in words:
        draw = {key: drawn[f"cr.{key}"] for key in ("shift", "flip")}
        anew = anew + 10 * game.terms["cr"](game.discriminator, real, fake, draw)  # type: ignore[operator]
    assert loss.item() == pytest.approx(anew.item(), rel=1e-12)
    for ours, slow_one in zip(gradients, torch.autograd.grad(anew, weights), strict=True):
        torch.testing.assert_close(ours, slow_one, rtol=1e-10, atol=1e-12)


def test_under_autocast_the_penalties_judge_anew_in_full_precision() -> None:
    game = game_of().float()
    rng = torch.Generator().manual_seed(3)
    batch = Batch(torch.rand(N, *SHAPE, generator=rng) * 2 - 1)
    assert game.draws is not None
    drawn = game.draw(game.draws, batch, game.clock)
    fakes = game.make(batch, drawn, game.clock).detach()
    full = game.discriminator_loss(batch, drawn, fakes, game.clock).parts
    with torch.autocast("cpu", torch.bfloat16):
        half = game.discriminator_loss(batch, drawn, fakes, game.clock).parts
    for name in ("penalty/r1", "penalty/r2"):
        assert half[name].item() == pytest.approx(full[name].item(), rel=1e-5)


def test_a_lazy_penalty_makes_the_samples_differentiable_where_it_is_due() -> None:
    game = game_of("model.penalty_interval=2", CONSISTENT)
    both: frozenset[str] = frozenset({"real", "fake"})
    assert [game.terms.at_samples(Clock(k)) for k in range(4)] == [both, frozenset()] * 2


@pytest.mark.parametrize("maker", [R1, R2, Consistency])
def test_a_subclass_is_called_as_it_is_written(maker: type[Penalty]) -> None:
    class Mine(maker):  # type: ignore[valid-type,misc]
        def __call__(self, *given: Any) -> Tensor:
            return torch.tensor(7.0, dtype=torch.float64)

    game = game_of()
    game.terms.by_name["r1"] = Mine(weight=1.0)
    batch = Batch(torch.rand(N, *SHAPE, dtype=torch.float64))
    assert game.draws is not None
    drawn = game.draw(game.draws, batch, game.clock)
    fakes = game.make(batch, drawn, game.clock).detach()
    parts = game.discriminator_loss(batch, drawn, fakes, game.clock).parts
    assert parts["penalty/r1"].item() == 7


def test_reading_is_that_of_pytorch_and_can_be_differentiated_twice() -> None:
    images = torch.randn(2, 1, 3, 4, dtype=torch.float64, requires_grad=True)
    places = 1.5 * torch.rand(2, 3, 3, 2, dtype=torch.float64) - 0.75
    expected = F.grid_sample(images, places, padding_mode="reflection", align_corners=False)
    assert torch.equal(read(images, places), expected)
    assert torch.autograd.gradcheck(lambda x: read(x, places), images)
    assert torch.autograd.gradgradcheck(lambda x: read(x, places).square(), images)
