"""Labels in the two-player game: the projection head and conditional batch normalisation."""

from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers import dcgan, mlp, r3, resnet
from gansweep.layers.conditional_norm import CodeBatchNorm2d, ConditionalBatchNorm2d
from gansweep.layers.heads import Projection
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.run.build import build_data, build_model

N_CLASSES = 3


def name_of(family: ModuleType) -> str:
    return family.__name__.rpartition(".")[2]


def parameters_of(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_projection_gives_the_hand_worked_score() -> None:
    head = Projection(2, N_CLASSES)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[1.0, -1.0]]))
        head.linear.bias.fill_(0.5)
        head.embedding.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0], [-1.0, 1.0]]))
    features = torch.tensor([[1.0, 2.0]]).expand(3, 2)
    # 1 - 2 + 0.5 = -0.5, and 2, 6, 1 along the labels' vectors
    assert head(features, torch.tensor([0, 1, 2])).tolist() == [1.5, 5.5, 0.5]


def test_projection_without_classes_names_the_fix() -> None:
    with pytest.raises(UserError, match="model.conditional=true"):
        Projection(4, None)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        (mlp, {"depth": 2, "activation": "relu", "norm": "none"}),
        (dcgan, {"norm": "none"}),
        (resnet, {"norm": "none", "pooling": "sum"}),
        (r3, {"blocks": 1}),
    ],
    ids=lambda value: name_of(value) if isinstance(value, ModuleType) else "",
)
def test_every_discriminator_takes_labels_through_a_projection(
    family: ModuleType, options: dict[str, object]
) -> None:
    torch.manual_seed(0)
    discriminator = family.Discriminator(
        sample_shape=(1, 8, 8), width=8, head=Projection, n_classes=N_CLASSES, **options
    )
    images = torch.randn(1, 1, 8, 8).expand(3, -1, -1, -1)
    scores = discriminator(images, torch.arange(3))
    assert len(set(scores.tolist())) == 3, "the score of an image must follow its label"
    features = discriminator.features(images)
    difference = discriminator.output.embedding.weight[1] - discriminator.output.embedding.weight[0]
    torch.testing.assert_close(scores[1] - scores[0], features[0] @ difference)


def test_spectral_normalisation_reaches_the_embedding() -> None:
    torch.manual_seed(0)
    discriminator = resnet.Discriminator(
        sample_shape=(1, 8, 8),
        width=8,
        norm="none",
        pooling="sum",
        spectral_norm=True,
        head=Projection,
        n_classes=N_CLASSES,
    )
    for _ in range(60):  # power iterations, one at each pass
        discriminator(torch.randn(3, 1, 8, 8), torch.arange(3))
    norm = torch.linalg.matrix_norm(discriminator.output.embedding.weight, 2)
    assert norm.item() == pytest.approx(1, abs=1e-3)


def class_norm(norm: ConditionalBatchNorm2d, label: int) -> nn.BatchNorm2d:
    """PyTorch's layer with the gain and the bias of one class."""
    plain = nn.BatchNorm2d(norm.gain.shape[1])
    with torch.no_grad():
        plain.weight.copy_(norm.gain[label])
        plain.bias.copy_(norm.bias[label])
    return plain


@pytest.mark.parametrize("training", [True, False])
def test_conditional_norm_is_batch_norm_with_the_gain_and_bias_of_each_class(
    training: bool,
) -> None:
    torch.manual_seed(0)
    norm = ConditionalBatchNorm2d(4, N_CLASSES)
    with torch.no_grad():
        norm.gain.normal_()
        norm.bias.normal_()
    earlier, maps = 2 + 3 * torch.randn(6, 4, 5, 5), torch.randn(6, 4, 5, 5)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    norm(earlier, labels)  # moves the averages that evaluation uses
    got = norm.train(training)(maps, labels)
    for label in range(N_CLASSES):
        plain = class_norm(norm, label)
        plain(earlier)
        expected = plain.train(training)(maps)  # the statistics are those of the whole batch
        torch.testing.assert_close(got[labels == label], expected[labels == label])


def test_conditional_norm_starts_as_batch_norm() -> None:
    maps = torch.randn(6, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    torch.testing.assert_close(
        ConditionalBatchNorm2d(4, N_CLASSES)(maps, labels), nn.BatchNorm2d(4)(maps)
    )


def test_code_norm_scales_by_one_plus_a_linear_map() -> None:
    torch.manual_seed(0)
    norm = CodeBatchNorm2d(4, code_dim=2)
    maps, codes = torch.randn(3, 4, 5, 5), torch.tensor([[1.0, 0.0], [0.0, -2.0], [0.0, 0.0]])
    standardised = nn.BatchNorm2d(4, affine=False)(maps)
    got = norm(maps, codes)
    gains = (1 + norm.gain.weight[:, 0], 1 - 2 * norm.gain.weight[:, 1], torch.ones(4))
    biases = (norm.bias.weight[:, 0], -2 * norm.bias.weight[:, 1], torch.zeros(4))
    for k, (gain, bias) in enumerate(zip(gains, biases, strict=True)):
        expected = standardised[k] * gain[:, None, None] + bias[:, None, None]
        torch.testing.assert_close(got[k], expected)


def test_conditional_generator_differs_between_labels_and_only_in_its_norms() -> None:
    torch.manual_seed(0)
    generator = resnet.Generator((1, 8, 8), 4, width=4, norm="batch", n_classes=N_CLASSES).eval()
    names = [name for name, _ in generator.named_parameters() if "norm" in name]
    with torch.no_grad():
        for name, parameter in generator.named_parameters():
            if name.startswith("blocks") and "norm" in name:
                parameter.normal_()
    latents = torch.randn(1, 4).expand(3, -1)
    images = generator(latents, torch.arange(3))
    assert not torch.allclose(images[0], images[1]) and not torch.allclose(images[1], images[2])
    plain = resnet.Generator((1, 8, 8), 4, width=4, norm="batch")
    assert parameters_of(generator) == parameters_of(plain) + 2 * 2 * (N_CLASSES - 1) * 4
    assert "norm.weight" in names, "the last normalisation knows no classes"


def test_conditional_generator_refuses_a_norm_without_classes() -> None:
    with pytest.raises(UserError, match="norm=layer cannot follow the classes.*norm=batch"):
        resnet.Generator((1, 8, 8), 4, width=4, norm="layer", n_classes=N_CLASSES)


def test_networks_at_128_pixels_have_the_widths_of_the_paper() -> None:
    """At an eighth of its size."""
    generator = resnet.Generator(
        (3, 128, 128), 8, width=32, max_width=128, norm="batch", n_classes=2
    )
    widths = [block.conv1.in_channels for block in generator.blocks]
    scaled = [8 * width for width in (*widths, generator.to_image.in_channels)]
    assert scaled == [1024, 1024, 512, 256, 128, 64]
    discriminator = resnet.Discriminator(
        (3, 128, 128), width=16, max_width=128, norm="none", pooling="sum"
    )
    scaled = [8 * block.conv2.out_channels for block in discriminator.blocks]
    assert scaled == [64, 128, 256, 512, 1024, 1024]
    assert [block.halve for block in discriminator.blocks] == 5 * [True] + [False]


def test_the_largest_width_changes_nothing_up_to_32_pixels() -> None:
    for side in (8, 28, 32):
        wide, plain = (
            resnet.Discriminator(
                (3, side, side), width=8, max_width=limit, norm="none", pooling="sum"
            )
            for limit in (64, None)
        )
        assert parameters_of(wide) == parameters_of(plain)


PROJECTION = "{_target_: gansweep.layers.heads.Projection, _partial_: true}"


def game_of(variant: str, side: int, *overrides: str) -> Adversarial:
    cfg = config.compose([f"model={variant}", *overrides])
    cfg.model.merge_with(cfg.model.tiny)
    torch.manual_seed(0)
    model: Adversarial = config.instantiate(
        config.model_node(cfg, False), sample_shape=(1, side, side), n_classes=N_CLASSES
    )
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch_of(side: int, labels: Tensor) -> Batch:
    rng = torch.Generator().manual_seed(2)
    return Batch(torch.rand(len(labels), 1, side, side, generator=rng) * 2 - 1, labels)


@pytest.mark.parametrize(
    ("variant", "networks"),
    [("dcgan", "dcgan"), ("sngan", "resnet"), ("r3gan", "r3"), ("wgan_gp", "resnet")],
)
def test_a_two_player_game_gets_labels_by_configuration_alone(variant: str, networks: str) -> None:
    inner = f"{{_target_: gansweep.layers.{networks}.Generator, _partial_: true}}"
    game = game_of(
        variant,
        8,
        "model.conditional=true",
        f"+model.discriminator.head={PROJECTION}",
        "model.generator._target_=gansweep.layers.conditional.Generator",
        f"+model.generator.network={inner}",
        "+model.generator.embedding_dim=4",
    )
    batch = batch_of(8, torch.arange(8) % N_CLASSES)
    before = {name: [p.clone() for p in net.parameters()] for name, net in game.players.items()}
    for k in range(2 * game.n_critic):
        game.training_step(batch, k)
    for name, network in game.players.items():
        pairs = zip(before[name], network.parameters(), strict=True)
        assert any(not torch.equal(a, b) for a, b in pairs), name
    assert all(torch.tensor(list(game.recent_means().values())).isfinite())


def test_samples_fall_on_the_mode_that_was_asked_for() -> None:
    rate = "model.optimizer.generator.lr=1e-3"
    cfg = config.compose(["model=cgan_projection", "data=ring", "model.n_critic=1", rate])
    data = build_data(cfg)
    game = build_model(cfg, data)
    game.configure_optimizers()
    game.draws = Draws(1, torch.device("cpu"))
    batches = data.train_batches(cfg.batch_size, seed=0, device="cpu")
    for k in range(200):
        game.training_step(next(batches), k)
    assert data.mixture is not None and data.n_classes is not None
    asked = torch.arange(data.n_classes).repeat(50)
    wanted = Batch(torch.zeros(len(asked), 2), asked)
    samples = game.fakes(wanted, torch.Generator().manual_seed(3))
    nearest = torch.cdist(samples.double(), data.mixture.means).argmin(1)
    assert (nearest == asked).float().mean() > 0.9  # by chance 1 in 8
