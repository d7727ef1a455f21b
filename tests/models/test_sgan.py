"""Learning from few labels: the losses by hand, whose noise is whose, and what the game is for."""

import itertools
import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import SGD, Adam

from gansweep.config.compose import compose
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers import noisy
from gansweep.models import sgan
from gansweep.models.draws import Draws
from gansweep.models.sgan import SGAN, FeatureMatchingSGAN
from gansweep.run.build import build_data, build_model
from gansweep.terms.losses import NonSaturating

KINDS = [SGAN, FeatureMatchingSGAN]


class Itself(nn.Module):
    """A discriminator whose features and logits are the sample."""

    def __init__(self, sample_shape: tuple[int, ...], **_: Any) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def features(self, samples: Tensor) -> Tensor:
        return self.gain * samples

    forward = features


def generator(sample_shape: tuple[int, ...], latent_dim: int) -> nn.Module:
    return nn.Linear(latent_dim, sample_shape[0])


def game(kind: type[SGAN], n_classes: int = 3, discriminator: Any = Itself, **options: Any) -> SGAN:
    """A game on points that are the logits of three classes, and of a fourth for fakes."""
    if kind is SGAN:
        options = {"loss": NonSaturating(), "penalties": {}} | options
    torch.manual_seed(0)
    model = kind(
        discriminator=discriminator,
        generator=generator,
        latent_dim=2,
        sample_shape=(n_classes + kind.learns_fake_logit,),
        n_classes=n_classes,
        **{"optimizer": dict.fromkeys(("generator", "discriminator"), Adam)} | options,
    )
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def logs(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def few(images: Tensor, known: Tensor, labels: list[int]) -> Batch:
    return Batch(images, labelled=Batch(known, torch.tensor(labels)))


@pytest.mark.parametrize("unsupervised_weight", [1.0, 0.25])
def test_loss_of_k_plus_1_classes_is_the_one_worked_by_hand(unsupervised_weight: float) -> None:
    model = game(SGAN, unsupervised_weight=unsupervised_weight).double()
    batch = few(logs([1, 1, 1, 1]), logs([2, 1, 1, 9]), [0])
    terms = model.discriminator_loss(batch, {}, logs([1, 1, 1, 3]), model.clock)
    # p(y | x, real) = 2/4; D(x) = 3/4; D(G(z)) = 3/6
    expected = math.log(2) + unsupervised_weight * (math.log(4 / 3) + math.log(2))
    assert terms.loss.item() == pytest.approx(expected)
    assert terms.parts["supervised"].item() == pytest.approx(math.log(2))
    assert terms.scores is not None and terms.scores.kind == "logit"
    assert terms.scores.real.sigmoid().tolist() == pytest.approx([3 / 4])
    assert terms.scores.fake.sigmoid().tolist() == pytest.approx([1 / 2])


@pytest.mark.parametrize("unsupervised_weight", [1.0, 0.25])
def test_loss_of_k_logits_is_the_one_worked_by_hand(unsupervised_weight: float) -> None:
    model = game(FeatureMatchingSGAN, unsupervised_weight=unsupervised_weight).double()
    batch = few(logs([1, 1, 1]), logs([2, 1, 1]), [0])
    terms = model.discriminator_loss(batch, {}, logs([0.25, 0.25, 0.5]), model.clock)
    # p(y | x) = 2/4; D(x) = 3/4; D(G(z)) = 1/2; each half of the game weighs 1/2
    expected = math.log(2) + unsupervised_weight * (math.log(4 / 3) + math.log(2)) / 2
    assert terms.loss.item() == pytest.approx(expected)


def test_realness_is_the_logit_of_z_over_z_plus_1_or_of_the_real_classes() -> None:
    logits = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)).double()
    z = logits.exp().sum(1)
    d = game(FeatureMatchingSGAN, n_classes=4).realness(logits).sigmoid()
    torch.testing.assert_close(d, z / (z + 1))
    d = game(SGAN).realness(logits).sigmoid()
    torch.testing.assert_close(d, 1 - logits.softmax(1)[:, 3])


def test_a_fixed_fake_logit_of_0_makes_both_forms_one() -> None:
    logits = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    with_fake = torch.cat([logits, torch.zeros(20, 1)], 1)
    assert torch.equal(game(SGAN).realness(with_fake), game(FeatureMatchingSGAN).realness(logits))


def test_with_every_label_known_the_loss_is_the_likelihood_of_k_plus_1_classes() -> None:
    model = game(SGAN).double()
    real, fake = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.tensor([0, 1, 2, 0, 1, 2])
    terms = model.discriminator_loss(Batch(real, labels), {}, fake, model.clock)
    expected = F.cross_entropy(real, labels) + F.cross_entropy(fake, torch.full((6,), 3))
    torch.testing.assert_close(terms.loss, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [100.0, -100.0])
def test_logits_of_100_lose_nothing(kind: type[SGAN], size: float) -> None:
    model = game(kind)
    logits = torch.full((2, 3 + kind.learns_fake_logit), size)
    logits[:, 0] = -size
    batch = few(logits, logits, [0, 1])
    terms = model.discriminator_loss(batch, {}, logits, model.clock)
    terms.loss.backward()
    gain = model.discriminator.gain
    assert gain.grad is not None and gain.grad.isfinite()
    model.double()
    exact = model.discriminator_loss(batch.each(_double), {}, logits.double(), model.clock)
    assert terms.loss.item() == pytest.approx(exact.loss.item(), rel=1e-6)
    largest = model.realness(torch.eye(3 + kind.learns_fake_logit)[:1] * 100)
    assert largest.item() == pytest.approx(100)


def _double(tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor


@pytest.mark.parametrize("matching", ["squared", "absolute"])
def test_feature_matching_pulls_the_means_together(matching: str) -> None:
    model = game(FeatureMatchingSGAN, matching=matching)
    real = torch.tensor([[1.0, 0.0, 3.0], [3.0, 0.0, 3.0]])  # means 2, 0, 3
    fakes = torch.tensor([[0.0, 1.0, 3.0], [0.0, 5.0, 1.0]], requires_grad=True)  # 0, 3, 2
    loss = model.matching_loss(Batch(real), {}, fakes).loss
    loss.backward()
    assert fakes.grad is not None
    # differences 2, -3, 1, over three features; each of two samples moves its mean by a half
    value = {"squared": (4 + 9 + 1) / 3, "absolute": (2 + 3 + 1) / 3}[matching]
    slope = {"squared": [-4 / 6, 6 / 6, -2 / 6], "absolute": [-1 / 6, 1 / 6, -1 / 6]}[matching]
    assert loss.item() == pytest.approx(value)
    for row in fakes.grad.tolist():
        assert row == pytest.approx(slope)


@pytest.mark.parametrize("matching", ["squared", "absolute"])
def test_feature_means_are_those_of_all_processes(
    matching: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = game(FeatureMatchingSGAN, matching=matching).double()
    rng = torch.Generator().manual_seed(0)
    real, fakes = torch.randn(2, 8, 3, generator=rng, dtype=torch.float64)
    fakes.requires_grad_()
    (whole,) = torch.autograd.grad(model.matching_loss(Batch(real), {}, fakes).loss, fakes)
    halves = [slice(0, 4), slice(4, 8)]
    means = [(real[half].mean(0) - fakes[half].mean(0)).detach() for half in halves]
    mean = (means[0] + means[1]) / 2
    monkeypatch.setattr(sgan, "average", lambda own: own + (mean - own).detach())
    losses = [model.matching_loss(Batch(real[half]), {}, fakes[half]).loss for half in halves]
    # gradients are averaged over the processes afterwards
    (shared,) = torch.autograd.grad((losses[0] + losses[1]) / 2, fakes)
    torch.testing.assert_close(shared, whole)


def noisy_game(**options: Any) -> SGAN:
    def network(**shape: Any) -> nn.Module:
        return noisy.Discriminator(widths=[6, 5], input_noise=0.6, hidden_noise=0.5, **shape)

    return game(FeatureMatchingSGAN, discriminator=network, **options)


def test_noise_is_drawn_for_each_pass_and_tests_have_none() -> None:
    model = noisy_game()
    batch = few(torch.randn(4, 3), torch.randn(4, 3), [0, 1, 2, 0])
    assert model.draws is not None
    drawn = model.draw(model.draws, batch, model.clock)
    noise = [drawn[f"noise/{name}"] for name in ("labelled", "real", "fake", "matched_fake")]
    assert all(part.shape == (4, 3 + 6 + 5) for part in noise)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(noise, 2))
    losses = []
    for changed in (None, "noise/labelled", "noise/real", "noise/fake"):
        other = drawn if changed is None else drawn | {changed: torch.zeros(4, 14)}
        losses.append(
            model.discriminator_loss(batch, other, torch.zeros(4, 3), model.clock).loss.item()
        )
    assert len(set(losses)) == 4
    answers = [model.answers(batch)["logits"] for _ in range(2)]
    assert torch.equal(*answers)
    assert torch.equal(answers[0], model.discriminator(batch.images))


def test_the_noisy_network_is_the_one_written_out_layer_by_layer() -> None:
    model = noisy_game()
    network = model.discriminator
    x, noise = torch.randn(4, 3), torch.randn(4, 14)
    n0, n1, n2 = noise[:, :3], noise[:, 3:9], noise[:, 9:]

    def layer(module: Any, h: Tensor) -> Tensor:
        v = module.weight
        return h @ (module.scale * v / v.norm(dim=1, keepdim=True)).T + module.bias

    h = layer(network.hidden[0], x + 0.6 * n0).relu()
    h = layer(network.hidden[1], h + 0.5 * n1).relu()
    torch.testing.assert_close(network.features(x, noise), h)
    torch.testing.assert_close(network(x, noise=noise), layer(network.output, h + 0.5 * n2))
    learning = [name for name, p in network.named_parameters() if p.requires_grad]
    assert [name for name in learning if "scale" in name] == ["output.scale"]


def test_the_first_weights_are_those_of_a_pass_over_samples_written_out() -> None:
    """The initialisation of the authors' code in NumPy; one input is constant, as a border is."""
    network = cast(noisy.Discriminator, noisy_game().discriminator)
    rng = np.random.default_rng(0)
    samples, noise = rng.normal(2, 3, (500, 3)), rng.normal(size=(500, 14))
    h, expected = samples, []
    for module, part in zip(
        [*network.hidden, network.output],
        (0.6 * noise[:, :3], 0.5 * noise[:, 3:9], 0.5 * noise[:, 9:]),
        strict=True,
    ):
        v = module.weight.detach().numpy().astype(float)
        outputs = (h + part) @ (v / np.sqrt((v**2).sum(1, keepdims=True))).T
        mean = outputs.mean(0)
        spread = np.sqrt(((outputs - mean) ** 2).mean(0))
        expected.append((1 / spread, -mean / spread))
        h = np.maximum((outputs - mean) / spread, 0)
    network.begin_on(torch.tensor(samples).float(), torch.tensor(noise).float())
    for module, (scale, bias) in zip([*network.hidden, network.output], expected, strict=True):
        assert module.scale.flatten().tolist() == pytest.approx(scale.tolist(), rel=1e-4)
        assert module.bias.tolist() == pytest.approx(bias.tolist(), rel=1e-4, abs=1e-4)


def test_a_run_begins_with_layers_whose_outputs_have_the_variance_1() -> None:
    cfg = compose(["experiment=digits_sgan_feature_matching"])
    data = build_data(cfg)
    model = cast(FeatureMatchingSGAN, build_model(cfg, data))
    model.begin_on(data)
    spreads: list[Tensor] = []
    layers = [*model.discriminator.hidden, model.discriminator.output]
    for module in layers:
        module.register_forward_hook(lambda m, i, out: spreads.append(torch.stack(
            [out.mean(0), out.std(0)])))  # fmt: skip
    images = torch.cat([batch.images for batch in data.batches("train")])
    noise = torch.randn(len(images), model.noise_width, generator=torch.Generator().manual_seed(1))
    model.discriminator(images, noise=noise)
    assert len(spreads) == 4
    for mean, spread in spreads:
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=0.25, rtol=0)
        torch.testing.assert_close(spread, torch.ones_like(spread), atol=0.2, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_weight_0_trains_the_classifier_on_the_labels_alone(kind: type[SGAN]) -> None:
    slow = {
        "optimizer": {name: lambda p: SGD(p, lr=0.1) for name in ("generator", "discriminator")}
    }
    model = game(kind, unsupervised_weight=0.0, **slow)
    width = 3 + kind.learns_fake_logit
    known, labels = torch.randn(4, width), [0, 1, 2, 0]
    before = [p.clone() for p in model.generator.parameters()]
    model.training_step(few(torch.randn(4, width), known, labels), 0)
    gain = torch.ones((), requires_grad=True)
    F.cross_entropy((gain * known)[:, :3], torch.tensor(labels)).backward()
    assert gain.grad is not None
    torch.testing.assert_close(model.discriminator.gain.detach(), 1 - 0.1 * gain.grad)
    for a, b in zip(before, model.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_answers_are_the_averaged_classifiers() -> None:
    model = game(SGAN, ema_kimg=1.0, n_critic=3)
    batch = few(torch.randn(4, 4), torch.randn(4, 4), [0, 1, 2, 0])
    for k in range(2):
        model.training_step(batch, k)
    averaged = model.sampler("discriminator")
    assert not torch.equal(averaged.gain, model.discriminator.gain)
    assert averaged.gain != 1  # it follows its player's own moves, between the generator's
    answers = model.answers(batch)["logits"]
    assert torch.equal(answers, averaged(batch.images)[:, :3]) and not answers.requires_grad


@pytest.mark.parametrize("weight", ["1", "0"])
@pytest.mark.parametrize("variant", ["sgan", "sgan_feature_matching"])
def test_convolutional_networks_learn_from_few_labels(variant: str, weight: str) -> None:
    words = [f"model.{player}.width=4" for player in ("generator", "discriminator")]
    if variant == "sgan_feature_matching":
        words = [
            "model.generator._target_=gansweep.layers.dcgan.Generator",
            "model.discriminator._target_=gansweep.layers.dcgan.Discriminator",
            *(f"+{word}" for word in [*words, "model.discriminator.norm=none"]),
            "~model.generator.widths",
            "~model.discriminator.widths",
            "~model.discriminator.input_noise",
            "~model.discriminator.hidden_noise",
        ]
    cfg = compose(
        [f"model={variant}", "data.n_labels=20", f"model.unsupervised_weight={weight}", *words]
    )
    data = build_data(cfg)
    model = build_model(cfg, data)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    for k, batch in enumerate(itertools.islice(data.train_batches(16, seed=0, device="cpu"), 2)):
        model.training_step(batch, k)
    assert all(math.isfinite(value) for value in model.recent_means().values())
    assert model.answers(next(data.batches("test")))["logits"].shape == (360, 10)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["model=sgan", "model.conditional=true"], "conditional=false and packing=1"),
        (["model=sgan", "model.packing=2"], "conditional=false and packing=1"),
        (["model=sgan", "model.unsupervised_weight=-1"], "unsupervised_weight=-1"),
        (["model=sgan_feature_matching", "model.matching=square"], "Did you mean 'squared'"),
        (["model=sgan_feature_matching", "model.accumulate=2"], "Use accumulate=1"),
        (["model=sgan_feature_matching", "term=feature_matching"], "no option 'feature_matching'"),
        (["model=sgan_feature_matching", "+model.dequantise=true"], "no option 'dequantise'"),
        (["model=sgan_feature_matching", "+model.adversarial=0.5"], "no option 'adversarial'"),
    ],
)
def test_impossible_options_are_refused(words: list[str], says: str) -> None:
    with pytest.raises(UserError, match=says):
        cfg = compose(words)
        build_model(cfg, build_data(cfg))


@pytest.mark.parametrize("variant", ["sgan", "sgan_feature_matching"])
def test_data_without_labels_are_refused(variant: str) -> None:
    cfg = compose([f"model={variant}"])
    data = build_data(cfg)
    data.classes = None  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="the data have no labels"):
        build_model(cfg, data)


def error_after(words: list[str], seed: int) -> float:
    """Share of the test images that a run on 50 labels gets wrong."""
    cfg = compose(["experiment=digits_sgan_feature_matching", f"seed={seed}", *words])
    data = build_data(cfg)
    model = build_model(cfg, data)
    model.configure_optimizers()
    model.draws = Draws(seed, torch.device("cpu"))
    steps = int(cfg.budget_kimg * 1000 / cfg.batch_size)
    batches = data.train_batches(cfg.batch_size, seed=seed, device="cpu")
    for k, batch in enumerate(itertools.islice(batches, steps)):
        model.training_step(batch, k)
    wrong = [
        model.answers(batch)["logits"].argmax(1) != batch.labels for batch in data.batches("test")
    ]
    return torch.cat(wrong).double().mean().item()


@pytest.mark.slow
def test_images_without_labels_lower_the_error_of_the_same_network() -> None:
    errors = {
        weight: [error_after([f"model.unsupervised_weight={weight}", "budget_kimg=40"], seed)
                 for seed in (0, 1)]
        for weight in (1, 0)
    }  # fmt: skip
    means = {weight: sum(each) / len(each) for weight, each in errors.items()}
    assert means[1] < means[0] - 0.02, errors
