"""Models that are asked for a class or find classes of their own: cgan, acgan, infogan."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

from gansweep.callbacks.sheet import grid, sheet, starts_from_sources, translations
from gansweep.config.compose import compose, instantiate, model_node
from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.errors import UserError
from gansweep.layers import conditional, dcgan, mlp
from gansweep.layers.heads import Auxiliary, auxiliary_outputs
from gansweep.models import adversarial
from gansweep.models.acgan import ACGAN
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.models.infogan import InfoGAN

SHAPE = (1, 8, 8)
MLP: dict[str, Any] = {"width": 6, "depth": 1, "activation": "relu", "norm": "none"}


def built(variant: str, *overrides: str, n_classes: int | None = 10) -> Any:
    words = [f"model={variant}", "model.generator.width=4", "model.discriminator.width=4"]
    node = model_node(compose([*words, *overrides]), is_points=False)
    torch.manual_seed(0)
    return instantiate(node, sample_shape=SHAPE, n_classes=n_classes)


def batch_of(n: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(0)
    return Batch(torch.rand(n, *SHAPE, generator=rng) * 2 - 1, torch.arange(n) % 10)


def drawn_by(model: GAN, batch: Batch) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    drawn = model.draw(Draws(1, torch.device("cpu")), batch, model.clock)
    return drawn, model.make(batch, drawn, model.clock)


# layers


@pytest.mark.parametrize("shape", [SHAPE, (2,)])
@pytest.mark.parametrize("network", [mlp, dcgan])
def test_the_class_reaches_the_score_and_the_sample(shape: tuple[int, ...], network: Any) -> None:
    if len(shape) == 1 and network is dcgan:
        pytest.skip("the convolutional pair takes no points")
    options = MLP if network is mlp else {"width": 4, "norm": "none"}
    make = conditional.Generator(
        shape, 5, network=network.Generator, n_classes=3, embedding_dim=2, **options
    )
    judge = conditional.Discriminator(shape, network=network.Discriminator, n_classes=3, **options)
    z, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    made = make(z, labels)
    assert made.shape == (4, *shape) and judge(made, labels).shape == (4,)
    assert not torch.equal(make(z, labels), make(z, (labels + 1) % 3))
    assert not torch.equal(judge(made, labels), judge(made, (labels + 1) % 3))
    # and each sample's class reaches that sample alone
    mixed = make(z, torch.tensor([0, 1, 2, 1]))
    assert torch.equal(made[:3], mixed[:3]) and not torch.equal(made[3], mixed[3])


def test_the_networks_are_the_plain_ones_with_the_class_beside_their_input() -> None:
    make = conditional.Generator(
        SHAPE, 5, network=mlp.Generator, n_classes=3, embedding_dim=2, **MLP
    )
    z, labels = torch.randn(4, 5), torch.tensor([0, 1, 2, 0])
    embedded = make.embedding.weight[labels]
    assert torch.equal(make(z, labels), make.network(torch.cat([z, embedded], 1)))
    judge = conditional.Discriminator(SHAPE, network=mlp.Discriminator, n_classes=3, **MLP)
    images = torch.randn(4, *SHAPE)
    channel = judge.embedding.weight[labels].view(4, 1, 8, 8)
    assert torch.equal(judge(images, labels), judge.network(torch.cat([images, channel], 1)))


@pytest.mark.parametrize("hidden", [None, 7])
def test_an_auxiliary_head_shares_the_features_of_the_score(hidden: int | None) -> None:
    head = partial(Auxiliary, n_outputs=4, hidden=hidden)
    network = mlp.Discriminator(SHAPE, head=head, **MLP)
    samples = torch.randn(3, *SHAPE)
    features = network.features(samples)
    plain = F.linear(features, network.output.weight, network.output.bias)[:, 0]
    assert torch.equal(network(samples), plain)
    outputs = auxiliary_outputs(network, samples)
    assert outputs.shape == (3, 4)
    assert torch.equal(outputs, network.output.auxiliary(features))


def test_spectral_normalisation_holds_the_auxiliary_outputs_too() -> None:
    head = partial(Auxiliary, n_outputs=4)
    network = dcgan.Discriminator(SHAPE, width=4, norm="none", spectral_norm=True, head=head)
    for layer in (network.output, network.output.auxiliary):
        assert isinstance(layer, nn.Linear) and hasattr(layer, "parametrizations")


# acgan


def test_acgan_adds_the_cross_entropy_of_the_class_to_both_losses() -> None:
    model = built("acgan", "model.class_weight=0.5").eval()
    assert isinstance(model, ACGAN)
    batch = batch_of()
    drawn, fakes = drawn_by(model, batch)
    plain = partial(
        GAN.player_loss, model, batch=batch, drawn=drawn, fakes=fakes, clock=model.clock
    )

    def cross_entropy(samples: torch.Tensor) -> float:
        features = model.discriminator.features(samples)
        chances = model.discriminator.output.auxiliary(features).softmax(1).tolist()
        assert batch.labels is not None
        return (
            -sum(math.log(row[k]) for row, k in zip(chances, batch.labels.tolist(), strict=True))
            / 6
        )

    real, fake = cross_entropy(batch.images), cross_entropy(fakes)
    expected = {"generator": 0.5 * fake, "discriminator": 0.5 * (real + fake)}
    for player, addition in expected.items():
        with_class = model.player_loss(player, batch, drawn, fakes, model.clock).loss.item()
        assert with_class - plain(player).loss.item() == pytest.approx(addition, rel=1e-4)


def test_acgan_judges_without_the_label() -> None:
    model = built("acgan").eval()
    batch = batch_of()
    scores = [
        model.judge(batch.images, labels, model.clock)
        for labels in (batch.labels, batch.labels.flip(0))
    ]
    assert torch.equal(*scores)
    assert model.answers(batch)["logits"].shape == (6, 10)


@pytest.mark.parametrize(
    ("variant", "override", "message"),
    [
        ("acgan", "model.conditional=false", "Use model.conditional=true"),
        ("infogan", "model.conditional=true", "Use model.conditional=false"),
        ("infogan", "model.packing=2", "packing=1"),
        ("infogan", "model.categories=[1]", "from 2 to 10,000"),
        ("cgan", "model.packing=2", "packing=1"),
        ("dcgan", "model.conditional=true", "Use model=cgan"),
    ],
)
def test_options_that_contradict_the_model_are_refused(
    variant: str, override: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        built(variant, override)


@pytest.mark.parametrize("variant", ["cgan", "cgan_mlp", "acgan"])
def test_data_without_labels_are_refused_with_the_fix(variant: str) -> None:
    with pytest.raises(UserError, match="the data have no labels. Use labelled data"):
        built(variant, n_classes=None)


# infogan


def test_codes_are_one_hot_categories_and_numbers_within_one() -> None:
    model = built("infogan", "model.categories=[4,3]", "model.latent_dim=5")
    z = model.latents(Draws(0, torch.device("cpu")), 4000, torch.float32)
    assert z.shape == (4000, 5 + 4 + 3 + 2)
    for code in z[:, 5:].split([4, 3, 2], 1)[:2]:
        assert torch.equal(code.sum(1), torch.ones(4000)) and set(code.unique().tolist()) == {0, 1}
        assert code.mean(0) == pytest.approx(1 / code.shape[1], abs=0.04)
    assert z[:, -2:].abs().max() <= 1 and z[:, -2:].var() == pytest.approx(1 / 3, abs=0.02)


def test_the_bound_on_the_information_is_that_of_hand_worked_codes() -> None:
    model = built("infogan", "model.categories=[2]", "model.continuous=1", "model.latent_dim=1")
    z = torch.tensor([[0.3, 1, 0, 0.5], [0.1, 0, 1, -0.5]])
    # Q gives 3/4 to the true category of both, and guesses 0 for the number
    read = torch.tensor([[math.log(3), 0, 0], [0, math.log(3), 0]])
    model.discriminator.features = lambda samples: samples
    model.discriminator.output.auxiliary = nn.Identity()
    categorical, continuous = model.information(z, read)
    assert float(categorical) == pytest.approx(math.log(2) + math.log(3 / 4))
    # log N(0.5; 0, 1) + log 2
    assert float(continuous) == pytest.approx(-0.125 - 0.5 * math.log(2 * math.pi) + math.log(2))


def test_information_of_the_codes_is_at_most_their_entropy() -> None:
    model = built("infogan", "model.categories=[2]", "model.continuous=1", "model.latent_dim=1")
    z = torch.tensor([[0.3, 1, 0, 0.5], [0.1, 0, 1, -0.5]])
    model.discriminator.features = lambda samples: samples
    model.discriminator.output.auxiliary = nn.Identity()
    certain = torch.cat([1000 * z[:, 1:3], z[:, 3:]], 1)
    categorical, continuous = model.information(z, certain)
    assert float(categorical) == pytest.approx(math.log(2))
    assert float(continuous) == pytest.approx(math.log(2) - 0.5 * math.log(2 * math.pi))


def test_both_players_of_infogan_gain_from_information() -> None:
    weights = ["model.categorical_weight=2", "model.continuous_weight=0.5"]
    model = built("infogan", *weights).eval()
    assert isinstance(model, InfoGAN)
    batch = batch_of()
    drawn, fakes = drawn_by(model, batch)
    categorical, continuous = model.information(drawn["z"], fakes)
    gain = (2 * categorical + 0.5 * continuous).item()
    for player in model.players:
        with_codes = model.player_loss(player, batch, drawn, fakes, model.clock).loss.item()
        plain = GAN.player_loss(model, player, batch, drawn, fakes, model.clock).loss.item()
        assert plain - with_codes == pytest.approx(gain, rel=1e-4)


def test_q_moves_with_the_discriminator_and_not_with_the_generator() -> None:
    model = built("infogan")
    names = [name for name, _ in model.players["discriminator"].named_parameters()]
    assert any("auxiliary" in name for name in names)
    assert not any("auxiliary" in name for name, _ in model.players["generator"].named_parameters())


def test_samples_of_one_code_share_their_noise_and_follow_the_first_number() -> None:
    model = built("infogan", "model.generator.norm=none").eval()
    seen: list[torch.Tensor] = []
    model.generate = lambda generator, z, labels, clock: seen.append(z) or generator(z)
    batch = batch_of(5)
    images = [model.fakes_of(k, batch, torch.Generator().manual_seed(0)) for k in (3, 7)]
    assert images[0].shape == batch.images.shape and not torch.equal(*images)
    for kind, z in zip((3, 7), seen, strict=True):
        assert torch.equal(z[:, :62], z[:1, :62].expand(5, -1))
        assert z[:, 62:72].argmax(1).tolist() == [kind] * 5
        assert z[:, 72].tolist() == pytest.approx([-1, -0.5, 0, 0.5, 1])
        assert z[:, 73].tolist() == [0] * 5


# sheets


class Blocks(nn.Module):
    """Stands for a model: each class is one grey."""

    def __init__(self, kinds: int | None = None, needs_source: bool = False) -> None:
        super().__init__()
        self.kinds, self.needs_source = kinds, needs_source
        self.device = torch.device("cpu")
        self.judged_by = ()

    def fakes_of(self, kind: int, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        noise = torch.rand(len(batch), 1, 1, 1, generator=rng) * 0.1
        return torch.full(batch.images.shape, kind / 10) + noise

    def fakes(self, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        return torch.zeros(batch.images.shape) if batch.source is None else -batch.source

    def answers(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {}


def greys(picture: Image.Image, columns: int, rows: int) -> list[list[int]]:
    """The pixel in the middle of each image of 8x8."""
    factor = picture.width // (9 * columns + 1)
    small = picture.resize((9 * columns + 1, picture.height // factor), Image.Resampling.NEAREST)
    assert small.height == 9 * rows + 1
    return [[small.getpixel((5 + 9 * c, 5 + 9 * r)) for c in range(columns)] for r in range(rows)]  # type: ignore[misc]


def test_a_sheet_has_a_column_for_each_class_and_one_noise_along_a_row() -> None:
    from gansweep.data.images import Digits

    data = Digits(image_size=8)
    data.prepare()
    model: Any = Blocks(kinds=10)
    model.conditional = False
    picture = sheet(model, data, Conditions(data), 30, seed=0).picture
    found = greys(picture, columns=10, rows=3)
    for row in found:
        assert [value - row[0] for value in row] == pytest.approx(
            [12.75 * k for k in range(10)], abs=1
        )
    assert len({row[0] for row in found}) == 3, "each row has a noise of its own"
    model.kinds = None
    greys(sheet(model, data, Conditions(data), 9, seed=0).picture, columns=3, rows=3)


def test_sources_stand_beside_what_was_made_of_them_and_the_truth() -> None:
    source = torch.linspace(-1, 1, 4).view(4, 1, 1, 1).expand(4, 1, 8, 8)
    truth = torch.full((4, 3, 8, 8), 0.5)
    batch = Batch(truth, None, source)
    model: Any = Blocks(needs_source=True)
    assert starts_from_sources(model, batch)
    assert not starts_from_sources(Blocks(), batch)  # type: ignore[arg-type]
    assert not starts_from_sources(model, Batch(truth))
    rng = torch.Generator()
    picture = translations(model, batch, rng, with_truth=True).picture
    assert picture.mode == "RGB", "a grey source beside a coloured truth"
    rows = greys(picture.convert("L"), columns=3, rows=4)
    assert [row[0] for row in rows] == [0, 85, 170, 255]
    assert [row[1] for row in rows] == [255, 170, 85, 0]
    assert {row[2] for row in rows} == {191}
    pair = translations(model, batch, rng, with_truth=False)
    assert greys(pair.picture.convert("L"), columns=2, rows=4)[3] == [255, 0]
    assert pair.layout.roles == ("source", "made")


def test_a_grid_is_square_unless_columns_are_given() -> None:
    images = torch.zeros(10, 1, 8, 8)
    assert grid(images).picture.size == (37, 28)
    assert grid(images, 5).picture.size == (46, 19)


# what it is for


@pytest.mark.slow
def test_cgan_draws_the_digit_that_is_asked_for(tmp_path: Path) -> None:
    """Measured: see conf/experiment/digits_cgan.yaml."""
    from gansweep.run.train import train

    words = ["experiment=digits_cgan", "tracker=none", "trainer=cpu", "trainer.threads=1"]
    words += ["callbacks=none", "metrics.scores=[class_agreement]", "budget_kimg=80"]
    words += ["+callbacks.quality._target_=gansweep.callbacks.quality.Quality"]
    words += ["+callbacks.quality.every_kimg=1000"]
    cfg = compose(words)
    result = train(cfg, run_dir=tmp_path / "run", progress=False)
    protocol = result["protocols"]["class_agreement_digitsnet1_1k"]
    assert protocol["backbone_test_accuracy"] >= 0.97
    assert result["last"]["class_agreement_digitsnet1_1k"]["value"] >= 0.9
    assert min(result["last"]["class_agreement_per_class_digitsnet1_1k"]["value"]) >= 0.75


@pytest.mark.parametrize("variant", ["acgan", "infogan"])
def test_processes_answer_by_one_set_of_batch_statistics(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The discriminator answers for held-out images: its statistics are shared as G's are."""
    main, other = built(variant), built(variant)
    main.discriminator(batch_of().images)  # the main process has seen images that this one has not
    theirs = {id(b): c for b, c in zip(other.buffers(), main.buffers(), strict=True)}
    monkeypatch.setattr(adversarial, "broadcast", lambda buffer: buffer.copy_(theirs[id(buffer)]))
    other.share_buffers()
    for found, wanted in zip(
        other.answers(batch_of()).values(), main.answers(batch_of()).values(), strict=True
    ):
        assert torch.equal(found, wanted)


def test_latents_are_told_in_words() -> None:
    """As an export's card has them."""
    codes = built("infogan", "model.latent_dim=6", "model.categories=[10,3]", "model.continuous=2")
    assert codes.latents_in_words == (
        "the first 6 uniform on [-1, 1), then one of 10 that is 1 and the others 0, then one of 3 "
        "that is 1 and the others 0, then 2 uniform on [-1, 1)"
    )
    z = codes.latents(Draws(0, torch.device("cpu")), 50, torch.float32)
    assert z.shape == (50, 6 + 10 + 3 + 2)
    assert z[:, 6:16].sum(dim=1).eq(1).all() and z[:, 16:19].sum(dim=1).eq(1).all()
    assert built("cgan", "model.latent_distribution=normal").latents_in_words == (
        "normal, of variance 1"
    )
