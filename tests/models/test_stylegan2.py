"""StyleGAN2: its layers, its path lengths and its lazy penalties against slow references."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.style import (
    Generator,
    Mapping,
    ModulatedConv2d,
    Synthesis,
    _Blur,
    _smoothly_doubled,
)
from gansweep.models.draws import Draws
from gansweep.models.stylegan2 import StyleGAN2, path_lengths

TINY = [
    "model=stylegan2",
    "model.latent_dim=6",
    "model.generator.width=4",
    "model.generator.depth=2",
    "model.discriminator.width=4",
]


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def stylegan2(
    *overrides: str, dtype: torch.dtype = torch.float32, n_classes: int | None = None
) -> StyleGAN2:
    node = config.model_node(config.compose([*TINY, *overrides]), is_points=False)
    torch.manual_seed(0)
    model = config.instantiate(node, sample_shape=(1, 8, 8), n_classes=n_classes, source_shape=None)
    assert isinstance(model, StyleGAN2)
    model.to(dtype).configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch_of(n: int = 8, dtype: torch.dtype = torch.float32) -> Batch:
    return Batch(normal(n, 1, 8, 8, seed=3).to(dtype))


@pytest.mark.parametrize("demodulate", [True, False])
@torch.no_grad()
def test_modulated_convolution_equals_one_with_each_samples_own_weights(demodulate: bool) -> None:
    layer = ModulatedConv2d(5, 7, 3, 6, demodulate=demodulate)
    maps, w = normal(3, 5, 8, 8), normal(3, 6, seed=1)
    style = layer.style(w)
    for sample in range(3):
        weight = layer.weight / math.sqrt(5 * 9) * style[sample, None, :, None, None]
        if demodulate:
            norms = [math.sqrt(sum(x**2 for x in row.flatten().tolist()) + 1e-8) for row in weight]
            weight = weight / torch.tensor(norms)[:, None, None, None]
        expected = F.conv2d(maps[sample : sample + 1], weight, padding=1)
        torch.testing.assert_close(
            layer(maps, w)[sample : sample + 1], expected, rtol=1e-4, atol=1e-5
        )


def test_demodulated_maps_have_unit_spread_whatever_the_style() -> None:
    layer = ModulatedConv2d(64, 64, 3, 6)
    made = layer(normal(8, 64, 16, 16), 30 * normal(8, 6, seed=1))[:, :, 1:-1, 1:-1]
    assert made.std().item() == pytest.approx(1, abs=0.1)


def test_mapping_sees_the_direction_of_a_latent_alone() -> None:
    mapping, z = Mapping(6, depth=3, lr_multiplier=0.01), normal(4, 6)
    torch.testing.assert_close(mapping(z), mapping(5 * z), rtol=1e-4, atol=1e-5)


def test_doubling_is_the_papers_binomial_filter_inside_the_border() -> None:
    maps = normal(1, 2, 6, 6)
    spread = maps.new_zeros(1, 2, 12, 12)
    spread[:, :, ::2, ::2] = maps
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = torch.outer(taps, taps).expand(2, 1, 4, 4)
    filtered = F.conv2d(F.pad(spread, (2, 1, 2, 1)), kernel, groups=2)
    inside = slice(1, -1)
    torch.testing.assert_close(
        _smoothly_doubled(maps)[:, :, inside, inside], filtered[:, :, inside, inside]
    )


def test_blur_keeps_grey_and_removes_the_chequerboard() -> None:
    grey = torch.ones(1, 2, 8, 8)
    torch.testing.assert_close(_Blur()(grey, 0), torch.ones(1, 2, 5, 5))
    rows = torch.arange(8)
    chequered = ((rows[:, None] + rows) % 2 * 2.0 - 1).expand(1, 2, 8, 8)
    torch.testing.assert_close(_Blur()(chequered, 0), torch.zeros(1, 2, 5, 5))


def test_noise_moves_the_image_by_its_learned_strength() -> None:
    synthesis = Synthesis((1, 8, 8), 6, width=4, wide_to=64)
    assert synthesis.noise_numbers == 16 + 64 + 64
    w, quiet, loud = normal(2, 4, 6), torch.zeros(2, 144), normal(2, 144)
    assert torch.equal(synthesis(w, quiet), synthesis(w, loud)), "strengths begin at 0"
    nn.init.ones_(synthesis.layers[2].noise_strength)
    part = loud.clone()
    part[:, :80] = 0  # of the layers before it, which listen not yet
    assert torch.equal(synthesis(w, part), synthesis(w, loud))
    assert not torch.equal(synthesis(w, part), synthesis(w, quiet))


def test_mixed_images_follow_each_latent_in_its_own_layers() -> None:
    generator = Generator((1, 8, 8), 6, width=4, depth=2)
    rows, others = normal(4, 6 + 144), normal(4, 6, seed=1)
    w, other_w = generator.mapping(rows[:, :6]), generator.mapping(others)
    mixed = generator.mixed(rows, others, torch.tensor([0, 1, 3, 4]))
    for sample, crossover in enumerate((0, 1, 3, 4)):
        chosen = [w[sample]] * crossover + [other_w[sample]] * (4 - crossover)
        styles = torch.stack(chosen).unsqueeze(0)
        expected = generator.synthesis(styles, rows[sample : sample + 1, 6:])
        torch.testing.assert_close(mixed[sample : sample + 1], expected)
    torch.testing.assert_close(mixed[3:], generator(rows)[3:])


def test_share_of_mixed_samples_and_their_layers() -> None:
    model = stylegan2("model.mixing=0.9")
    assert model.draws is not None
    crossover = model.draw(model.draws, batch_of(4000), model.clock)["crossover"]
    shares = crossover.bincount(minlength=5) / 4000
    assert shares.tolist() == pytest.approx([0, 0.3, 0.3, 0.3, 0.1], abs=0.03)
    unmixed = stylegan2("model.mixing=0")
    assert unmixed.draws is not None
    assert (unmixed.draw(unmixed.draws, batch_of(), unmixed.clock)["crossover"] == 4).all()


class Linear(nn.Module):
    """Two styles of three features each -> 2x2 pixels, by one matrix (4, 6) for each sample."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.matrix = nn.Parameter(normal(n, 4, 6, seed=7).double())

    def forward(self, w: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return (self.matrix @ w.flatten(1)[:, :, None]).reshape(-1, 1, 2, 2)


def test_path_lengths_equal_those_of_the_jacobian() -> None:
    """|J^T y| / side, with the root mean square over the styles, and its gradient."""
    synthesis, noise = Linear(3), torch.zeros(3, 0)
    w = normal(3, 2, 3).double().requires_grad_(True)
    y = normal(3, 1, 2, 2, seed=1).double()
    lengths = path_lengths(synthesis, w, noise, y)  # type: ignore[arg-type]
    expected = []
    for sample in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda v, k=sample: synthesis.matrix[k] @ v, w[sample].flatten(), create_graph=True
        )
        by_style = (jacobian.T @ y[sample].flatten()).reshape(2, 3)
        expected.append(by_style.square().sum(1).mean().sqrt() / 2)
    torch.testing.assert_close(lengths, torch.stack(expected))
    slow, fast = (
        torch.autograd.grad(value.sum(), synthesis.matrix, retain_graph=True)[0]
        for value in (torch.stack(expected), lengths)
    )
    torch.testing.assert_close(fast, slow)


def test_a_saturated_sample_leaves_the_gradient_of_path_lengths_finite() -> None:
    synthesis, w = Linear(2), normal(2, 2, 3).double().requires_grad_(True)
    with torch.no_grad():
        synthesis.matrix[0] = 0  # no style moves this one
    y = normal(2, 1, 2, 2, seed=1).double()
    lengths = path_lengths(synthesis, w, torch.zeros(2, 0), y)  # type: ignore[arg-type]
    assert lengths[0] == 0 < lengths[1]
    (slopes,) = torch.autograd.grad(lengths.sum(), synthesis.matrix)
    assert slopes.isfinite().all() and slopes[1].abs().sum() > 0


@pytest.mark.parametrize("side", [8, 256])
def test_weight_of_two_is_that_of_the_paper(side: int) -> None:
    """ln 2 / (r^2 (ln r - ln 2)) on lengths that are neither averaged nor divided by the side."""
    n_styles = 2 * math.log2(side) - 2
    ours = 2 / (side**2 * n_styles)
    assert ours == pytest.approx(math.log(2) / (side**2 * (math.log(side) - math.log(2))))


def test_path_penalty_joins_every_kth_loss_of_the_generator_k_times_as_strong() -> None:
    model = stylegan2("model.path_interval=4", "model.path_weight=2", "model.n_critic=2")
    assert model.draws is not None
    nn.init.constant_(model.path_mean.value, 0.5)
    batch, due = batch_of(), []
    for model.steps in range(1, 18, 2):  # the generator's steps
        drawn = model.draw(model.draws, batch, model.clock)
        fakes = model.make(batch, drawn, model.clock)
        terms = model.player_loss("generator", batch, drawn, fakes, model.clock)
        due.append("path_length" in terms.parts)
        if not due[-1]:
            continue
        w, noise = model.generator.styles(drawn["path.z"])
        lengths = path_lengths(model.generator.synthesis, w, noise, drawn["path.y"])
        assert len(lengths) == 4, "half of the batch"
        plain = model.generator_loss(batch, drawn, fakes, model.clock).loss
        penalty = 2 * 4 * (lengths - 0.5).square().mean()
        torch.testing.assert_close(terms.loss, plain + penalty)
    assert due == [True, False, False, False] * 2 + [True]


def test_mean_path_length_begins_with_the_first_and_moves_by_a_hundredth_each_time() -> None:
    model = stylegan2("model.path_interval=2", "model.path_decay=0.99")
    expected, penalties = 0.0, []
    for step in range(4):
        model.training_step(batch_of(), step)
        if step % 2 == 0:
            length = model._recent["path_length"][-1].item()
            penalties.append(model._recent["penalty/path"][-1].item())
            expected = 0.99 * expected + 0.01 * length if expected else length
        assert model.path_mean.value.item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0
    assert penalties[0] == 0 and penalties[1] > 0
    state = model.game_state()
    other = stylegan2()
    other.load_networks(state)
    assert torch.equal(other.path_mean.value, model.path_mean.value)


def test_mean_path_length_of_slices_is_that_of_the_batch() -> None:
    means = []
    for accumulate in (1, 2):
        model = stylegan2(f"model.accumulate={accumulate}", dtype=torch.float64)
        model.training_step(batch_of(dtype=torch.float64), 0)
        means.append(model.path_mean.value.item())
    assert means[0] > 0 and means[1] == pytest.approx(means[0], rel=1e-9)


def with_classes(accumulate: int) -> StyleGAN2:
    """Its path penalty is due at every step, against a mean of 0.7; one class of three is rare."""
    words = ["model=stylegan2_conditional", "model.augment=null", "model.discriminator.group=4"]
    words += ["model.path_weight=2", "model.path_interval=1", f"model.accumulate={accumulate}"]
    model = stylegan2(*words, dtype=torch.float64, n_classes=3)
    assert model.draws_classes
    model.class_ends = torch.tensor([1, 40, 100])
    model.path_mean.value.fill_(0.7)
    return model


def labelled(n: int) -> Batch:
    return Batch(batch_of(n, torch.float64).images, torch.arange(n) % 3)


def test_classes_of_the_path_penalty_are_the_same_however_the_batch_is_cut() -> None:
    moved = []
    for accumulate in (1, 2, 4):
        model = with_classes(accumulate)
        model.training_step(labelled(16), 0)
        moved.append([*model.generator.parameters(), model.path_mean.value])
    for other in moved[1:]:
        torch.testing.assert_close(other, moved[0], rtol=1e-9, atol=1e-12)


def test_classes_of_the_path_penalty_are_the_same_on_two_processes() -> None:
    model, penalties, classes = with_classes(1), [], []
    for rank, world in ((0, 1), (0, 2), (1, 2)):
        draws, n = Draws(1, torch.device("cpu"), rank, world), 16 // world
        part = labelled(16)[rank * n : (rank + 1) * n]
        drawn = model.draw(draws, part, model.clock)
        fakes = model.make(part, drawn, model.clock)
        terms = model.player_loss("generator", part, drawn, fakes, model.clock)
        penalties.append(terms.parts["penalty/path"])
        classes.append(drawn["path.labels"])
    torch.testing.assert_close((penalties[1] + penalties[2]) / 2, penalties[0])
    assert torch.equal(torch.cat(classes[1:]), classes[0])


def test_classes_of_the_path_penalty_are_drawn_as_often_as_the_data_have_them() -> None:
    model = with_classes(1)
    assert model.draws is not None
    drawn = model.draw(model.draws, labelled(4000), model.clock)["path.labels"]
    assert (drawn.bincount() / 2000).tolist() == pytest.approx([0.01, 0.39, 0.6], abs=0.03)


@pytest.mark.parametrize(("share", "batch_size", "total"), [(0.5, 32, 16), (0.3, 40, 12)])
def test_rows_of_the_path_penalty_are_a_share_of_the_batch_of_all_processes(
    share: float, batch_size: int, total: int
) -> None:
    for world, accumulate in ((1, 1), (2, 1), (1, 4), (2, 2)):
        model = stylegan2(f"model.path_share={share}", f"model.accumulate={accumulate}")
        assert model.path_rows(batch_size // world, world) * world == total


def test_rows_of_the_path_penalty_that_cannot_be_shared_are_refused() -> None:
    words = ["model.accumulate=3", "model.discriminator.group=1", "model.path_share=0.5"]
    # half of 6 is 3: it was 2 on two processes, and 6 on six
    model = stylegan2(*words)
    assert model.path_rows(6, 1) == 3
    with pytest.raises(UserError, match=r"0.5 of 6 images is 3 .* 6 parts .*batch_size=12,"):
        model.path_rows(3, 2)
    assert model.path_rows(6, 2) == 3
    with pytest.raises(UserError, match=r"0.5 of 9 images is 4 .* 3 parts .*path_share=1"):
        model.training_step(batch_of(9), 0)
    assert stylegan2("model.path_share=1", *words[:2]).path_rows(3, 2) == 3
    never = stylegan2("model.path_weight=0", *words)
    never.training_step(batch_of(9), 0)


def test_r1_joins_every_kth_loss_of_the_discriminator_k_times_as_strong() -> None:
    lazy, never = stylegan2("model.penalty_interval=3"), stylegan2("~model.penalties.r1")
    assert lazy.draws is not None
    batch = batch_of()
    drawn = lazy.draw(lazy.draws, batch, lazy.clock)
    fakes = lazy.make(batch, drawn, lazy.clock)
    penalty = lazy.terms["r1"](lazy.discriminator, batch.images, fakes, {})
    for lazy.steps in range(4):
        with_it, without = (
            model.player_loss("discriminator", batch, drawn, fakes, model.clock).loss
            for model in (lazy, never)
        )
        share = 3 * 10.0 if lazy.steps % 3 == 0 else 0
        torch.testing.assert_close(with_it, without + share * penalty)


def test_scores_of_a_batch_of_any_size_and_refusal_of_uneven_groups() -> None:
    model = stylegan2()
    whole = model.scores(batch_of(8), torch.Generator().manual_seed(0))
    part = model.scores(batch_of(8)[:5], torch.Generator().manual_seed(0))
    assert part.real.shape == (5,)
    torch.testing.assert_close(part.real[:4], whole.real[:4])
    # a lone sample fills its group of 4, whose spread is 0 then
    alone = model.scores(batch_of(8)[:1], torch.Generator().manual_seed(0))
    four = Batch(batch_of(8).images[:1].repeat(4, 1, 1, 1))
    torch.testing.assert_close(
        alone.real, model.scores(four, torch.Generator().manual_seed(0)).real[:1]
    )
    with pytest.raises(UserError, match=r"6 samples.*batch_size=8 "):
        model.training_step(batch_of(6), 0)


@pytest.mark.parametrize(
    ("override", "fix"),
    [
        ("model.path_interval=0", "Use model.path_interval=1"),
        ("model.penalty_interval=0", "Use model.penalty_interval=1"),
    ],
)
def test_options_that_do_not_fit_are_refused(override: str, fix: str) -> None:
    with pytest.raises(UserError, match=fix):
        node = config.model_node(config.compose([*TINY, override]), is_points=False)
        config.instantiate(node, sample_shape=(1, 8, 8), n_classes=10, source_shape=None)
