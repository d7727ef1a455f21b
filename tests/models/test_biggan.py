"""BigGAN: its generator's inputs, orthogonality, truncation."""

import math

import pytest
import torch
from torch import Tensor, nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers import biggan
from gansweep.layers.spatial import SIDES, stages
from gansweep.models.biggan import BigGAN, orthogonal_penalty, truncated_normal
from gansweep.models.draws import Draws


def generator_of(side: int, latent_dim: int, **options: object) -> biggan.Generator:
    torch.manual_seed(0)
    sizes = {"width": 8, "embedding_dim": 6, "n_classes": 3} | options
    return biggan.Generator((1, side, side), latent_dim, **sizes)  # type: ignore[arg-type]


def game_of(*overrides: str) -> BigGAN:
    cfg = config.compose(["model=biggan", *overrides])
    cfg.model.merge_with(cfg.model.tiny)
    torch.manual_seed(0)
    game: BigGAN = config.instantiate(
        config.model_node(cfg, False), sample_shape=(1, 8, 8), n_classes=3
    )
    return game


def batch_of(n: int) -> Batch:
    return Batch(torch.zeros(n, 1, 8, 8), torch.arange(n) % 3)


def slow_penalty(weights: list[Tensor]) -> float:
    """|W W^T (1 - I)|^2 as written, entry by entry."""
    total = 0.0
    for weight in weights:
        rows = weight.flatten(1)
        for i in range(len(rows)):
            for j in range(len(rows)):
                total += float(rows[i] @ rows[j]) ** 2 if i != j else 0.0
    return total


def test_orthogonal_penalty_equals_the_hand_worked_value() -> None:
    network = nn.Linear(2, 2)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    # the rows' product is 3 + 8 = 11, twice off the diagonal; biases do not count
    assert orthogonal_penalty(network).item() == pytest.approx(2 * 11**2)


def test_orthogonal_penalty_equals_the_explicit_matrix_and_leaves_out_embeddings() -> None:
    torch.manual_seed(0)
    tall, wide = nn.Linear(3, 7, dtype=torch.float64), nn.Conv2d(2, 4, 3, dtype=torch.float64)
    network = nn.Sequential(tall, wide, nn.Embedding(5, 4))
    expected = slow_penalty([tall.weight.detach(), wide.weight.detach()])
    assert orthogonal_penalty(network).item() == pytest.approx(expected, rel=1e-9)
    with torch.autocast("cpu", torch.bfloat16):
        assert orthogonal_penalty(network.float()).item() == pytest.approx(expected, rel=1e-5)


def test_orthogonal_penalty_is_zero_for_orthogonal_filters_of_any_length() -> None:
    network = nn.Conv2d(2, 4, 3)
    nn.init.orthogonal_(network.weight)
    with torch.no_grad():
        network.weight.mul_(torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None])
    assert orthogonal_penalty(network).item() == pytest.approx(0, abs=1e-8)


def test_generator_alone_is_regularised_with_the_configured_weight() -> None:
    batch = batch_of(6)
    losses, penalty = [], 0.0
    for weight in (0.0, 0.5):
        game = game_of(f"model.orthogonal_weight={weight}").eval()
        drawn = {"z": torch.randn(6, 12, generator=torch.Generator().manual_seed(3))}
        terms = game.player_loss(
            "generator", batch, drawn, game.make(batch, drawn, game.clock), game.clock
        )
        losses.append(terms.loss.item())
        penalty = orthogonal_penalty(game.generator).item()
        assert ("penalty/orthogonal" in terms.parts) == (weight > 0)
        assert not game.player_loss(
            "discriminator", batch, drawn, game.make(batch, drawn, game.clock), game.clock
        ).parts
    assert penalty > 0
    assert losses[1] - losses[0] == pytest.approx(0.5 * penalty, rel=1e-4)


def test_both_networks_start_orthogonal() -> None:
    generator = generator_of(8, 4, spectral_norm=False)
    discriminator = biggan.Discriminator((1, 8, 8), width=8, n_classes=3, spectral_norm=False)
    for network in (generator, discriminator):
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear | nn.Embedding):
                rows = layer.weight.detach().flatten(1)
                gram = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
                assert torch.allclose(gram, torch.eye(len(gram)), atol=1e-5)


def test_generator_normalises_every_weight_but_the_class_embedding() -> None:
    generator = generator_of(16, 6, attention=8)
    layers = [m for m in generator.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert len(layers) == 1 + 2 * (3 + 4) + 1 + 4  # stem, blocks, image, attention
    assert all(hasattr(layer, "parametrizations") for layer in layers)
    assert not hasattr(generator.embedding, "parametrizations")


def test_each_part_of_the_latent_vector_enters_at_its_own_block() -> None:
    generator = generator_of(16, 6).eval()
    labels, latents = torch.zeros(1, dtype=torch.int64), torch.randn(1, 6)

    def inputs(z: Tensor) -> list[Tensor]:
        """What reaches the first map and each block's conditional normalisation."""
        seen: list[Tensor] = []
        hooks = [
            layer.register_forward_pre_hook(lambda m, given: seen.append(given[0].clone()))
            for layer in (generator.stem, *(block.norm1.gain for block in generator.blocks))
        ]
        generator(z, labels)
        for hook in hooks:
            hook.remove()
        return seen

    before = inputs(latents)
    assert [part.shape[1] for part in before] == [2, 6 + 2, 6 + 2]
    for k in range(3):
        changed = latents.clone()
        changed[:, 2 * k : 2 * k + 2] += 1
        differs = [not torch.equal(a, b) for a, b in zip(before, inputs(changed), strict=True)]
        assert differs == [place == k for place in range(3)]


def test_a_latent_vector_that_cannot_be_cut_evenly_is_refused() -> None:
    with pytest.raises(UserError, match="latent_dim=10 .*4 equal parts.*latent_dim=12"):
        generator_of(32, 10)


def test_the_papers_latent_vector_can_be_cut_for_every_image_size() -> None:
    assert all(120 % (stages((1, side, side))[1] + 1) == 0 for side in SIDES)


def test_networks_at_128_pixels_have_the_widths_of_table_4() -> None:
    ch = 12
    generator = biggan.Generator(
        (3, 128, 128), 120, width=4 * ch, max_width=16 * ch, embedding_dim=128, n_classes=3
    )
    widths = [block.conv1.in_channels for block in generator.blocks]
    assert generator.part_dim == 20
    assert [w // ch for w in (*widths, generator.to_image.in_channels)] == [16, 16, 8, 4, 2, 1]
    discriminator = biggan.Discriminator(
        (3, 128, 128), width=2 * ch, max_width=16 * ch, n_classes=3
    )
    blocks = list(discriminator.blocks)
    assert [block.conv2.out_channels // ch for block in blocks] == [1, 2, 4, 8, 16, 16]
    assert all(block.conv1.out_channels == block.conv2.out_channels for block in blocks)


def test_truncated_normals_are_those_of_redrawing() -> None:
    rng = torch.Generator().manual_seed(0)
    drawn = torch.randn(400_000, generator=rng, dtype=torch.float64)
    redrawn = drawn[drawn.abs() <= 0.8].sort().values
    uniform = torch.rand(len(redrawn), generator=rng, dtype=torch.float64)
    made = truncated_normal(uniform, 0.8)
    assert made.abs().max() <= 0.8
    # the largest distance of two empirical distributions; 0.006 is a chance of 1 in 1,000
    shares = torch.searchsorted(made.sort().values, redrawn) / len(made)
    steps = torch.arange(len(redrawn)) / len(redrawn)
    assert (shares - steps).abs().max() < 0.006


def test_a_wide_threshold_gives_the_whole_normal_distribution_and_stays_finite() -> None:
    uniform = torch.tensor([0.0, 0.25, 0.5, 0.75], dtype=torch.float64)
    quartile = 0.6744897501960817
    expected = [-20.0, -quartile, 0.0, quartile]
    assert truncated_normal(uniform, 20.0).tolist() == pytest.approx(expected, abs=1e-9)


def test_truncation_narrows_samples_and_leaves_training_alone() -> None:
    plain, narrow = game_of(), game_of("model.truncation=0.1")
    seen: dict[str, Tensor] = {}
    for name, game in (("plain", plain), ("narrow", narrow)):
        game.generator.register_forward_pre_hook(
            lambda m, given, name=name: seen.__setitem__(name, given[0])
        )
        game.fakes(batch_of(64), torch.Generator().manual_seed(0))
    assert seen["plain"].abs().max() > 1
    assert 0 < seen["narrow"].abs().max() <= 0.1
    assert math.isclose(float(seen["narrow"].std()), 0.1 / math.sqrt(3), rel_tol=0.1)
    z = [g.draw(Draws(1, torch.device("cpu")), batch_of(8), g.clock)["z"] for g in (plain, narrow)]
    assert torch.equal(*z)


@pytest.mark.parametrize("threshold", [0, -1.0])
def test_a_threshold_that_leaves_nothing_is_refused(threshold: float) -> None:
    with pytest.raises(UserError, match="model.truncation=.*above 0"):
        game_of(f"model.truncation={threshold}")


def test_truncation_of_uniform_latents_is_refused() -> None:
    with pytest.raises(UserError, match="latent_distribution=normal"):
        game_of("model.truncation=0.5", "model.latent_distribution=uniform")


def test_the_published_average_keeps_its_share_at_each_step_of_the_generator() -> None:
    cfg = config.compose(["experiment=paper_biggan"])
    images = cfg.model.batch_size * cfg.model.n_critic  # of one step of G
    kept = 0.5 ** (images / (1000 * cfg.model.ema_kimg))
    assert kept == pytest.approx(0.9999, abs=1e-8)


def test_a_mixture_of_two_classes_can_be_made() -> None:
    generator = generator_of(8, 4).eval()
    latents = torch.randn(1, 4)
    first, second = (generator.embedding(torch.tensor([k])) for k in (0, 1))
    images = [generator.grown_from(latents, torch.lerp(first, second, t)) for t in (0.0, 0.5, 1.0)]
    assert torch.equal(images[0], generator(latents, torch.tensor([0])))
    assert not torch.equal(images[0], images[1]) and not torch.equal(images[1], images[2])


def test_biggan_without_classes_names_the_fix() -> None:
    with pytest.raises(UserError, match="model.conditional=true"):
        game_of("model.conditional=false")
