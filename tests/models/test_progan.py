"""ProGAN: its layers against slow references, its clock against worked values, its growth."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers import equalized
from gansweep.layers.minibatch_stddev import MinibatchStddev
from gansweep.layers.progressive import (
    Discriminator,
    Generator,
    Stage,
    at_stage,
    doubled,
    stage_at,
    top_level,
)
from gansweep.models.draws import Draws
from gansweep.models.progan import DriftingWasserstein, ProGAN
from gansweep.run.train import train

TINY = [
    "model=progan",
    "model.latent_dim=8",
    "model.generator.width=4",
    "model.discriminator.width=4",
    "batch_size=8",
    "tracker=none",
    "trainer=cpu",
]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def progan(shape: tuple[int, ...] = (1, 16, 16), *overrides: str) -> ProGAN:
    """Fresh from 4x4: 1 kimg stable and 2 kimg of fading for each level."""
    words = [*TINY, "model.stable_kimg=1", "model.fade_kimg=2", *overrides]
    node = config.model_node(config.compose(words), is_points=False)
    torch.manual_seed(0)
    model = config.instantiate(node, sample_shape=shape, n_classes=None, source_shape=None)
    assert isinstance(model, ProGAN)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def step(model: ProGAN, n: int = 8) -> None:
    model.training_step(Batch(normal(n, *model.sample_shape)), 0)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(equalized.Linear(50, 4000), (50,)), (equalized.Conv2d(8, 300, 3), (8, 9, 9))],
)
def test_equalized_layers_store_unit_normals_and_scale_them_at_use(
    layer: nn.Module, shape: tuple[int, ...]
) -> None:
    assert layer.weight.std().item() == pytest.approx(1, abs=0.05)
    fan_in = layer.weight[0].numel()
    made = layer(normal(64, *shape))
    scaled = layer.weight * (2 / fan_in) ** 0.5
    plain = F.linear if len(shape) == 1 else lambda x, w: F.conv2d(x, w, padding=1)
    torch.testing.assert_close(made, plain(normal(64, *shape), scaled))


def test_slow_layer_begins_alike_and_moves_by_the_multiplier() -> None:
    torch.manual_seed(0)
    plain = equalized.Linear(6, 3, bias=0.5)
    torch.manual_seed(0)
    slow = equalized.Linear(6, 3, bias=0.5, lr_multiplier=0.01)
    x = normal(4, 6)
    torch.testing.assert_close(slow(x), plain(x))
    moved = []
    for layer in (plain, slow):
        before = layer(x)
        with torch.no_grad():
            layer.weight += 1
            layer.bias += 1
        moved.append(layer(x) - before)
    torch.testing.assert_close(moved[1], 0.01 * moved[0], rtol=1e-3, atol=1e-6)


def test_pixel_norm_gives_every_pixel_a_root_mean_square_of_one() -> None:
    maps = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)
    expected = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1) / 12.5**0.5
    torch.testing.assert_close(equalized.pixel_norm(maps), expected)
    assert not equalized.pixel_norm(torch.zeros(1, 2, 1, 1)).any()


def test_minibatch_stddev_equals_a_loop_over_its_groups() -> None:
    maps = normal(8, 3, 2, 2)
    out = MinibatchStddev(4)(maps)
    assert out.shape == (8, 4, 2, 2) and torch.equal(out[:, :3], maps)
    for sample in range(8):
        group = maps[:4] if sample < 4 else maps[4:]
        spreads = [
            group[:, c, y, x].std(correction=0) for c in range(3) for y in range(2) for x in (0, 1)
        ]
        expected = torch.stack(spreads).mean().expand(2, 2)
        torch.testing.assert_close(out[sample, 3], expected)


def test_slices_of_whole_groups_see_what_the_undivided_batch_shows() -> None:
    layer, maps = MinibatchStddev(4), normal(16, 3, 2, 2)
    parts = torch.cat([layer(part) for part in maps.split(8)])
    assert torch.equal(parts, layer(maps))


def test_a_batch_without_equal_groups_names_the_next_that_has_them() -> None:
    with pytest.raises(UserError, match=r"6 samples.*batch_size=8 .*group=2"):
        MinibatchStddev(4)(normal(6, 3, 2, 2))
    with pytest.raises(UserError, match=r"6 samples.*batch_size=8 "):
        step(progan(), n=6)  # real and fake samples together would be three groups


@pytest.mark.parametrize(
    ("kimg", "stage"),
    [
        (0, Stage(0)),
        (599.9, Stage(0)),
        (600, Stage(1, 0.0)),
        (750, Stage(1, 0.25)),
        (1199.4, Stage(1, 0.999)),
        (1200, Stage(1)),
        (1799.9, Stage(1)),
        (2100, Stage(2, 0.5)),
        (2400, Stage(2)),
        (1e6, Stage(2)),
    ],
)
def test_schedule_of_the_paper(kimg: float, stage: Stage) -> None:
    found = stage_at(kimg, stable_kimg=600, fade_kimg=600, top=2)
    assert (found.level, found.alpha) == (stage.level, pytest.approx(stage.alpha))


def test_schedules_without_fading_or_without_standing_still() -> None:
    stages = [stage_at(k, stable_kimg=1, fade_kimg=0, top=2) for k in (0.5, 1, 1.5, 2)]
    assert stages == [Stage(0), Stage(1), Stage(1), Stage(2)]
    assert stage_at(0.5, stable_kimg=0, fade_kimg=1, top=2) == Stage(1, 0.5)
    assert stage_at(0, stable_kimg=0, fade_kimg=0, top=2) == Stage(2)


@pytest.mark.parametrize("side", [28, 4, 2048])
def test_a_side_that_doubling_cannot_reach_is_refused_with_one_that_it_can(side: int) -> None:
    nearest = {28: 32, 4: 8, 2048: 1024}[side]
    with pytest.raises(UserError, match=f"data.image_size={nearest}"):
        top_level((1, side, side))


def test_refused_before_anything_is_written(tmp_path: Path) -> None:
    cfg = config.compose([*TINY, "data.image_size=12"])
    with pytest.raises(UserError, match="data.image_size=16"):
        train(cfg, run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_networks_of_the_paper_up_to_1024_pixels() -> None:
    """The channels of Table 2, and its numbers of trainable parameters: 23.1 million each."""
    with torch.device("meta"):
        generator = Generator((3, 1024, 1024), 512, width=512)
        discriminator = Discriminator((3, 1024, 1024), width=512)
    channels = [colours.weight.shape[1] for colours in generator.colours]
    assert channels == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    for network in (generator, discriminator):
        assert sum(p.numel() for p in network.parameters()) == pytest.approx(23.1e6, rel=0.01)


def test_reals_fade_as_the_generators_images_do() -> None:
    images = normal(2, 1, 8, 8)
    small = F.avg_pool2d(images, 2)
    assert torch.equal(at_stage(images, Stage(0)), small)
    assert torch.equal(at_stage(images, Stage(1)), images)
    blended = 0.75 * doubled(small) + 0.25 * images
    torch.testing.assert_close(at_stage(images, Stage(1, 0.25)), blended)


@pytest.mark.parametrize("level", [1, 2])
def test_fade_in_leads_from_the_old_networks_to_the_new(level: int) -> None:
    generator = Generator((1, 16, 16), 8, width=4)
    discriminator = Discriminator((1, 16, 16), width=4)
    z, young, old, new = normal(4, 8), Stage(level - 1), Stage(level, 0.0), Stage(level, 1.0)
    images = generator(z, young)
    torch.testing.assert_close(generator(z, old), doubled(images))
    torch.testing.assert_close(discriminator(doubled(images), old), discriminator(images, young))
    half = generator(z, Stage(level, 0.5))
    torch.testing.assert_close(half, (doubled(images) + generator(z, new)) / 2)


def test_a_tanh_holds_the_images_of_both_levels_before_they_are_blended() -> None:
    plain = Generator((1, 16, 16), 8, width=8)
    held = Generator((1, 16, 16), 8, width=8, tanh=True)
    held.load_state_dict(plain.state_dict())
    latents = normal(4, 8)
    old, new = (plain(latents, Stage(level)).tanh() for level in (1, 2))
    blended = torch.lerp(doubled(old), new, 0.3)
    torch.testing.assert_close(held(latents, Stage(2, 0.3)), blended)
    torch.testing.assert_close(held(latents), new)


def test_a_stage_uses_what_it_says_and_nothing_else() -> None:
    for network, x in (
        (Generator((1, 16, 16), 8, width=4), lambda s: normal(4, 8)),
        (Discriminator((1, 16, 16), width=4), lambda s: normal(4, 1, s.side, s.side)),
    ):
        for stage in (Stage(0), Stage(1, 0.5), Stage(1), Stage(2, 0.5), Stage(2)):
            network.zero_grad(set_to_none=True)
            network(x(stage), stage).sum().backward()
            touched = {id(p) for p in network.parameters() if p.grad is not None}
            assert touched == {id(p) for p in network.used(stage)}, stage


def test_drift_adds_a_thousandth_of_the_squared_real_scores() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.5])
    loss = DriftingWasserstein(drift=1e-3)
    assert loss.discriminator(real, fake).item() == pytest.approx(0.5 - 2 + 1e-3 * 5)
    assert loss.generator(None, fake).item() == pytest.approx(-0.5)


def test_only_the_present_levels_learn_and_fakes_are_always_full_size() -> None:
    model = progan()
    top = [p.clone() for p in model.generator.blocks[1].parameters()]
    model.images_seen = 992
    step(model)  # up to 1 kimg, at 4x4
    assert model.last_fakes is not None and model.last_fakes.shape == (8, 1, 16, 16)
    assert all(map(torch.equal, top, model.generator.blocks[1].parameters()))
    fakes = model.fakes(Batch(torch.zeros(3, 1, 16, 16)), torch.Generator().manual_seed(0))
    assert fakes.shape == (3, 1, 16, 16)
    assert torch.equal(fakes[:, :, 0, 0], fakes[:, :, 1, 1]), "8x8 yet to be learnt: up-scaled"
    model.images_seen = 2000
    step(model)
    assert not any(map(torch.equal, top, model.generator.blocks[1].parameters()))
    means = model.recent_means()
    assert means["growth/level"] == 0.5 and means["growth/alpha"] == 0.75  # of the two steps


def test_growth_follows_the_clock_that_a_loss_is_given() -> None:
    """4x4 at the start, and full-grown at 8 kimg, whatever the model itself has seen."""
    model, batch = progan(), Batch(normal(8, 1, 16, 16))
    assert model.draws is not None
    for images_seen, side in ((0, 4), (8000, 16)):
        clock = replace(model.clock, images_seen=images_seen)
        drawn = model.draw(model.draws, batch, clock)
        fakes = model.make(batch, drawn, clock)
        terms = model.player_loss("discriminator", batch, drawn, fakes, clock)
        assert fakes.shape == (8, 1, side, side)
        assert terms.parts["growth/level"] == model.stage(images_seen).level
    assert model.images_seen == 0


def test_optimizers_forget_at_each_new_level_and_only_there() -> None:
    model = progan()
    first = next(model.generator.parameters())
    steps = []
    for model.images_seen in (976, 984, 992, 1000, 1008, 2992, 3000, 3992, 4000, 4008):
        step(model)
        steps.append(int(model._optimizers["generator"].state[first]["step"]))
    assert steps == [1, 2, 3, 1, 2, 3, 4, 5, 1, 2]


def test_moving_average_of_the_paper_is_a_half_life_of_eleven_kimg() -> None:
    cfg = config.compose(["model=progan"])
    assert 0.5 ** (cfg.model.batch_size / (1000 * cfg.model.ema_kimg)) == pytest.approx(
        0.999, abs=1e-5
    )


def test_scores_of_a_batch_of_any_size() -> None:
    model = progan()
    model.images_seen = 2000
    batch = Batch(normal(8, 1, 16, 16))
    whole = model.scores(batch, torch.Generator().manual_seed(0))
    part = model.scores(batch[:5], torch.Generator().manual_seed(0))
    assert part.real.shape == part.fake.shape == (5,)
    torch.testing.assert_close(part.real[:4], whole.real[:4])


def test_a_budget_that_ends_too_early_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["metrics=none", "budget_kimg=0.016", "model.stable_kimg=1", "model.fade_kimg=2"]
    train(config.compose([*TINY, *words]), run_dir=tmp_path / "run", progress=False)
    printed = capsys.readouterr().err
    assert "grow to 8x8 in 3 kimg" in printed and "ends at 4x4" in printed


def test_classes_are_refused() -> None:
    with pytest.raises(UserError, match="model=cgan"):
        progan((1, 16, 16), "model.conditional=true")


@pytest.mark.slow
def test_resume_inside_a_fade_in_is_bit_identical(tmp_path: Path) -> None:
    words = [*TINY, "model.stable_kimg=0.064", "model.fade_kimg=0.128", "data.image_size=16"]
    words += ["metrics=none", "~callbacks.samples"]

    def run(name: str, kimg: float) -> dict[str, object]:
        cfg = config.compose([*words, f"budget_kimg={kimg}"])
        train(cfg, run_dir=tmp_path / name, progress=False)
        return read_checkpoint(tmp_path / name / "checkpoints" / "last.pt")["game"]

    whole = run("whole", 0.4)  # into the second fade
    for cut_at in (0.12, 0.304):  # within either one
        run("cut", cut_at)
        torch.manual_seed(12345)
    cut = run("cut", 0.4)
    flat_whole, flat_cut = (torch.utils._pytree.tree_flatten(game) for game in (whole, cut))
    assert flat_whole[1] == flat_cut[1]
    for a, b in zip(flat_whole[0], flat_cut[0], strict=True):
        assert torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b
