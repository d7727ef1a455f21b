"""Classes of StyleGAN2 and of R3GAN: embeddings beside the latent, projections in D."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers import r3, style
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.stylegan2 import StyleGAN2, path_lengths

N_CLASSES, SHAPE = 3, (1, 8, 8)
VARIANTS = ["stylegan2_conditional", "r3gan_conditional"]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def game_of(variant: str, *overrides: str, n_classes: int | None = N_CLASSES) -> GAN:
    cfg = config.compose([f"model={variant}"])
    cfg.model.merge_with(cfg.model.tiny)
    for word in overrides:
        key, _, value = word.partition("=")
        config.OmegaConf.update(cfg, key, float(value))
    torch.manual_seed(0)
    node = config.model_node(cfg, is_points=False)
    game: GAN = config.instantiate(node, sample_shape=SHAPE, n_classes=n_classes)
    game.configure_optimizers()
    game.draws = Draws(1, torch.device("cpu"))
    return game


def leaky(features: Tensor) -> Tensor:
    return math.sqrt(2) * F.leaky_relu(features, 0.2)


def unit(row: Tensor) -> Tensor:
    return row / row.square().mean().sqrt()


@torch.no_grad()
def test_w_comes_from_the_normalised_latent_and_the_normalised_embedding() -> None:
    mapping = style.Mapping(4, depth=2, lr_multiplier=0.01, n_classes=N_CLASSES)
    nn.init.normal_(mapping.embedding.bias)
    z, labels = normal(3, 4), torch.tensor([2, 0, 2])
    for sample, label in enumerate(labels):
        vector = mapping.embedding.weight[:, label] / math.sqrt(N_CLASSES) + mapping.embedding.bias
        row = torch.cat([unit(z[sample]), unit(vector)])
        for layer in mapping.layers:
            weight = 0.01 * layer.weight / math.sqrt(len(row))
            row = leaky(weight @ row + 0.01 * layer.bias)
        torch.testing.assert_close(mapping(z, labels)[sample], row, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_style_score_is_the_scaled_product_of_outputs_and_the_mapped_class() -> None:
    critic = style.Discriminator(SHAPE, width=4, group=1, n_classes=N_CLASSES, depth=2)
    images, labels = normal(3, *SHAPE), torch.tensor([0, 1, 1])
    outputs = critic.output(critic.features(images))
    for sample, label in enumerate(labels):
        vector = critic.classes(label[None])[0]
        expected = sum(a * b for a, b in zip(outputs[sample], vector, strict=True)) / 2
        torch.testing.assert_close(critic(images, labels)[sample], expected)


@torch.no_grad()
def test_plain_blocks_are_two_convolutions_without_a_skip() -> None:
    plain = style.Discriminator(SHAPE, width=4, group=1, residual=False).blocks[0]
    names = {name.partition(".")[0] for name, _ in plain.named_parameters()}
    assert names == {"first", "second"}
    maps = normal(2, 4, 8, 8)
    expected = leaky(plain.second(plain.blur(leaky(plain.first(maps)), padding=2)))
    torch.testing.assert_close(plain(maps), expected)


@torch.no_grad()
def test_r3_class_joins_the_latent_and_is_projected_on_the_features() -> None:
    generator = r3.Generator(SHAPE, 5, width=8, blocks=1, n_classes=N_CLASSES)
    z, labels = normal(2, 5), torch.tensor([2, 1])
    joined = torch.cat([z, generator.embedding.weight[labels]], dim=1)
    maps = generator.basis * (joined @ generator.modulation.weight.T)[:, :, None, None]
    torch.testing.assert_close(generator(z, labels), generator.layers(maps))
    head = r3.ClassProduct(2, N_CLASSES)
    head.project.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
    head.embedding.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 3.0], [-1.0, 1.0]]))
    features = torch.tensor([[3.0, 4.0]]).expand(3, 2)  # which the head turns into (11, 4)
    assert head(features, torch.arange(3)).tolist() == [11, 12, -7]


@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_both_players_follow_the_label(variant: str) -> None:
    game = game_of(variant)
    with torch.random.fork_rng():  # away from Fix-up's zeros
        for weight in game.discriminator.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    batch = Batch(normal(4, *SHAPE), torch.zeros(4, dtype=torch.int64))
    other = Batch(batch.images, torch.ones(4, dtype=torch.int64))
    made = [game.fakes(b, torch.Generator().manual_seed(0)) for b in (batch, batch, other)]
    assert torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])
    scores = [game.judge(b.images, b.labels, game.clock) for b in (batch, other)]
    assert not torch.equal(*scores)
    assert game.kinds == N_CLASSES


@pytest.mark.parametrize("variant", VARIANTS)
def test_embedded_classes_need_labels(variant: str) -> None:
    with pytest.raises(UserError, match="the data have no labels.*data=digits"):
        game_of(variant, n_classes=None)


@pytest.mark.parametrize("variant", ["stylegan2", "r3gan"])
def test_without_classes_a_network_has_no_class_weights(variant: str) -> None:
    """So that checkpoints and random numbers are those of before there were classes."""
    game = game_of(variant)
    named = [*game.generator.state_dict(), *game.discriminator.state_dict()]
    assert not [name for name in named if "embedding" in name or "classes" in name]


def test_path_lengths_are_those_of_the_drawn_classes() -> None:
    game = game_of("stylegan2_conditional", "model.path_weight=2")
    assert isinstance(game, StyleGAN2) and game.draws is not None
    nn.init.constant_(game.path_mean.value, 0.5)
    batch = Batch(normal(8, *SHAPE), torch.arange(8) % N_CLASSES)
    drawn = game.draw(game.draws, batch, game.clock)
    fakes = game.make(batch, drawn, game.clock)
    terms = game.player_loss("generator", batch, drawn, fakes, game.clock)
    labels = drawn["path.labels"]  # for half of the batch
    assert labels.shape == (4,) and set(labels.tolist()) <= {*range(N_CLASSES)}
    w, noise = game.generator.styles(drawn["path.z"], labels)
    lengths = path_lengths(game.generator.synthesis, w, noise, drawn["path.y"])
    penalty = (lengths - 0.5).square().mean()
    torch.testing.assert_close(terms.parts["penalty/path"], penalty.detach())
    w, _ = game.generator.styles(drawn["path.z"], (labels + 1) % N_CLASSES)
    of_others = path_lengths(game.generator.synthesis, w, noise, drawn["path.y"])
    assert not torch.allclose(lengths, of_others)
