"""Autoencoders: errors by hand, what is shown and made, distances, and what they are for."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from forked import ranks
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.inference.exporting.traced import Reconstructed
from gansweep.metrics.scores.held_out import HeldOut
from gansweep.models.autoencoder import (
    Autoencoder,
    Coding,
    Latest,
    absolute_error,
    cross_entropy,
    squared_error,
)
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating
from gansweep.run.build import build_data, build_model

IMAGE = (1, 8, 8)
CPU = torch.device("cpu")


def build(
    *options: str, shape: tuple[int, ...] = IMAGE, source: tuple[int, ...] | None = None
) -> Autoencoder:
    cfg = config.compose(["model=autoencoder", *options])
    cfg.model.encoder.width = cfg.model.decoder.width = 4
    node = config.model_node(cfg, len(shape) == 1)
    torch.manual_seed(0)
    model: Autoencoder = config.instantiate(node, sample_shape=shape, source_shape=source)
    model.configure_optimizers()
    model.draws = Draws(1, CPU)
    return model


def images_of(n: int, shape: tuple[int, ...] = IMAGE, seed: int = 0) -> torch.Tensor:
    levels = torch.randint(0, 256, (n, *shape), generator=torch.Generator().manual_seed(seed))
    return levels / 127.5 - 1


def trained(experiment: str, *options: str) -> tuple[Coding, DataSource]:
    """The model of an experiment after its budget, without callbacks, and its data."""
    cfg = config.compose([f"experiment={experiment}", *options])
    data = build_data(cfg)
    model = build_model(cfg, data)
    assert isinstance(model, Coding)
    model.configure_optimizers()
    model.draws = Draws(1, CPU)
    batches = data.train_batches(cfg.batch_size, seed=0, device="cpu")
    while model.images_seen < cfg.budget_kimg * 1000:
        model.training_step(next(batches), 0)
    return model, data


# Errors


def test_errors_are_means_over_the_pixels_of_each_sample() -> None:
    made = torch.tensor([[[[1.0, -1.0]]], [[[0.0, 0.5]]]])
    wanted = torch.tensor([[[[1.0, 1.0]]], [[[0.5, 0.5]]]])
    torch.testing.assert_close(squared_error(made, wanted), torch.tensor([2.0, 0.125]))
    torch.testing.assert_close(absolute_error(made, wanted), torch.tensor([1.0, 0.25]))


def test_cross_entropy_reads_minus_one_as_black_and_one_as_white() -> None:
    grey, white = torch.zeros(1, 1, 1, 1), torch.ones(1, 1, 1, 1)
    # p = 1/2 of anything costs log 2; p = 3/4 of white -log 3/4, of black -log 1/4
    for made, wanted, nats in [
        (grey, white, math.log(2)),
        (grey, grey, math.log(2)),
        (white / 2, white, -math.log(3 / 4)),
        (white / 2, -white, -math.log(1 / 4)),
        (white, white, 0.0),
    ]:
        assert cross_entropy(made, wanted).item() == pytest.approx(nats, abs=1e-6)


def test_cross_entropy_is_the_librarys_of_images_between_0_and_1() -> None:
    made, wanted = images_of(5, seed=1).mul(0.99), images_of(5, seed=2)
    slow = F.binary_cross_entropy((made + 1) / 2, (wanted + 1) / 2, reduction="none")
    torch.testing.assert_close(cross_entropy(made, wanted), slow.flatten(1).mean(1))


def test_cross_entropy_stays_finite_where_the_decoder_is_surely_wrong() -> None:
    made = torch.ones(1, 1, 2, 2, requires_grad=True)
    error = cross_entropy(made, -torch.ones(1, 1, 2, 2))
    error.sum().backward()
    assert error.item() == pytest.approx(-math.log(1e-7), rel=0.02)
    assert made.grad is not None and made.grad.isfinite().all()


def test_cross_entropy_stays_finite_in_the_16_bit_numbers_of_autocast() -> None:
    """There tanh reaches 1 itself, and so would the clamped probability of white."""
    made = torch.tensor([1.0, -1.0, 0.5, -0.5]).view(1, 1, 2, 2).bfloat16().requires_grad_()
    wanted = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        error = cross_entropy(made, wanted)
    error.sum().backward()
    assert error.item() == pytest.approx(-math.log(3 / 4) / 2, abs=1e-6)
    assert made.grad is not None and made.grad.isfinite().all()


def test_error_that_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="reconstruction=mae.*Did you mean 'mse'"):
        build("model.reconstruction=mae")
    with pytest.raises(UserError, match="points.reconstruction=mse"):
        build("model.points.reconstruction=bce", shape=(2,))
    with pytest.raises(UserError, match="input_noise=-1"):
        build("model.input_noise=-1")


# What is shown and made


def test_loss_is_the_mean_error_of_the_batch() -> None:
    for name, error in (("mse", squared_error), ("l1", absolute_error), ("bce", cross_entropy)):
        model = build(f"model.reconstruction={name}")
        batch = Batch(images_of(6))
        made = model.make(batch, {}, model.clock)
        loss = model.player_loss("autoencoder", batch, {}, made, model.clock).loss
        torch.testing.assert_close(loss, error(made, batch.images).mean())


CONTRAST = (
    "model.contrast={_target_: gansweep.layers.contrast.ContrastNormalization, "
    "lowest: -3, highest: 5}"
)


def test_after_contrast_normalisation_faint_images_are_coded_and_judged_like_clear_ones() -> None:
    model = build(CONTRAST).double()
    clear = Batch(images_of(6).double())
    faint = Batch(0.1 * clear.images - 0.5)
    answers = [model.answers(batch) for batch in (clear, faint)]
    for name in ("codes", "anomaly/reconstruction"):
        torch.testing.assert_close(answers[1][name], answers[0][name])
    # what was made is as faint as what was coded
    torch.testing.assert_close(answers[1]["images"], 0.1 * answers[0]["images"] - 0.5)
    exported = Reconstructed(model)(faint.images)
    torch.testing.assert_close(exported, answers[1]["images"].clamp(-1, 1))
    near = [model.fakes(batch, torch.Generator().manual_seed(3)) for batch in (clear, faint)]
    torch.testing.assert_close(near[1], 0.1 * near[0] - 0.5)


def test_contrast_normalisation_is_part_of_what_is_compared() -> None:
    model = build(CONTRAST)
    batch = Batch(images_of(6))
    made = model.make(batch, {}, model.clock)
    loss = model.player_loss("autoencoder", batch, {}, made, model.clock).loss
    pixels = batch.images.flatten(1)
    centred = pixels - pixels.mean(1, keepdim=True)
    levels = (centred / centred.abs().mean(1, keepdim=True) + 3) / 8
    wanted = (2 * levels - 1).view_as(batch.images)
    torch.testing.assert_close(loss, squared_error(made, wanted).mean())
    answers = model.answers(batch)
    torch.testing.assert_close(
        answers["anomaly/reconstruction"], squared_error(made, wanted).detach()
    )
    model.step(batch)
    assert model.last_fakes is not None  # what callbacks compare with the batch
    torch.testing.assert_close(model.last_fakes, answers["images"])


@pytest.mark.parametrize(
    ("options", "shapes", "reason"),
    [
        ([], {"shape": (2,)}, "are points"),
        ([], {"source": IMAGE}, "have sources"),
        (["model.reconstruction=bce"], {}, "as probabilities"),
    ],
)
def test_contrast_normalisation_that_does_not_fit_is_refused(
    options: list[str], shapes: dict[str, tuple[int, ...]], reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        build(CONTRAST, *options, **shapes)


def test_noise_has_the_stated_spread_between_black_and_white_and_is_clipped() -> None:
    model = build("model.input_noise=0.1")
    assert model.draws is not None
    batch = Batch(torch.zeros(500, *IMAGE))
    shown = model.input(batch, model.draw(model.draws, batch, model.clock))
    assert float(shown.std() / 2) == pytest.approx(0.1, rel=0.02)  # from black to white is 2
    batch = Batch(torch.ones(500, *IMAGE))
    shown = model.input(batch, model.draw(model.draws, batch, model.clock))
    assert shown.max() == 1 and float((shown == 1).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_noisy_input_is_to_be_made_clean() -> None:
    model = build("model.input_noise=0.4")
    assert model.draws is not None
    batch = Batch(images_of(6))
    drawn = model.draw(model.draws, batch, model.clock)
    made = model.make(batch, drawn, model.clock)
    assert not torch.equal(
        made, model.make(batch, {"noise": torch.zeros_like(drawn["noise"])}, model.clock)
    )
    loss = model.player_loss("autoencoder", batch, drawn, made, model.clock).loss
    torch.testing.assert_close(loss, squared_error(made, batch.images).mean())


def test_sources_are_shown_where_the_data_have_any() -> None:
    model = build(shape=(3, 8, 8), source=IMAGE)
    batch = Batch(images_of(4, (3, 8, 8)), None, images_of(4, seed=5))
    assert model.make(batch, {}, model.clock).shape == batch.images.shape
    answers = model.answers(batch)
    assert torch.equal(answers["codes"], model.coder.encoder.eval()(batch.source))
    assert answers["images"].shape == batch.images.shape


def test_samples_near_known_ones_are_those_without_noise_on_their_codes() -> None:
    near, far = build("model.code_noise=0"), build("model.code_noise=1")
    batch = Batch(images_of(8))
    rng = torch.Generator().manual_seed(0)
    torch.testing.assert_close(near.fakes(batch, rng), near.answers(batch)["images"])
    codes = far.answers(batch)["codes"]
    decoded: list[torch.Tensor] = []
    far.coder.decoder.register_forward_pre_hook(lambda _, args: decoded.append(args[0]))
    far.fakes(batch.each(lambda t: t.repeat(200, 1, 1, 1)), rng)
    spread = (decoded[0].view(200, 8, -1) - codes).square().mean((0, 2)).sqrt()
    torch.testing.assert_close(spread, codes.square().mean(1).sqrt(), rtol=0.1, atol=0)


def test_looking_leaves_each_layer_in_its_mode() -> None:
    network = torch.nn.Sequential(torch.nn.Dropout(), torch.nn.BatchNorm1d(2).eval())
    with evaluating(network):
        assert not any(module.training for module in network.modules())
    assert network.training and network[0].training and not network[1].training


# Distances


def test_kept_samples_are_the_latest_to_a_grey() -> None:
    kept = Latest(5, IMAGE)
    assert len(kept.rows()) == 0
    samples = images_of(12)
    kept.load_state_dict(kept.with_newest(samples[:3]))
    torch.testing.assert_close(kept.rows(), samples[:3])
    kept.load_state_dict(kept.with_newest(samples[3:7]))
    torch.testing.assert_close(kept.rows(), samples[[5, 6, 2, 3, 4]])
    kept.load_state_dict(kept.with_newest(samples))  # more than it holds
    assert sorted(kept.rows().sum((1, 2, 3)).tolist()) == pytest.approx(
        sorted(samples[-5:].sum((1, 2, 3)).tolist()), abs=1e-4
    )


def test_latent_distance_is_that_to_the_nearest_kept_code() -> None:
    model = build("model.kept_rows=6")
    known, asked = images_of(6, seed=1), images_of(4, seed=2)
    assert "anomaly/latent" not in model.answers(Batch(asked))
    model.known.load_state_dict(model.known.with_newest(known))
    codes, others = (model.answers(Batch(x))["codes"] for x in (asked, known))
    slow = [min(float((code - other).norm()) for other in others) for code in codes]
    found = model.answers(Batch(asked))["anomaly/latent"]
    torch.testing.assert_close(found, torch.tensor(slow), rtol=1e-4, atol=1e-5)
    itself = model.answers(Batch(known))["anomaly/latent"]
    assert itself.max() < 1e-3


def test_training_keeps_what_it_was_shown() -> None:
    model = build("model.kept_rows=16", "model.input_noise=0.4")
    batch = Batch(images_of(8))
    model.training_step(batch, 0)
    torch.testing.assert_close(model.known.rows(), batch.images)


def keep_together(rank: int, folder: str) -> None:
    """What one of two processes keeps that train on the halves of each batch."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    model = build("model.kept_rows=10")
    model.draws = Draws(1, CPU, rank, 2)
    for step in range(3):
        model.training_step(Batch(images_of(8, seed=step)[4 * rank : 4 * rank + 4]), step)
    torch.save(model.known.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_keep_the_same_samples_as_one(tmp_path: Path) -> None:
    ranks(keep_together, str(tmp_path))
    model = build("model.kept_rows=10")
    for step in range(3):
        model.training_step(Batch(images_of(8, seed=step)), step)
    for rank in (0, 1):
        kept = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert kept["seen"] == 24
        assert torch.equal(kept["kept"], model.known.kept)


def test_reconstruction_errors_tell_anomalies() -> None:
    model = build()
    batch = Batch(images_of(5))
    answers = model.answers(batch)
    torch.testing.assert_close(
        answers["anomaly/reconstruction"], squared_error(answers["images"], batch.images)
    )


def test_area_under_the_curve_is_scikit_learns() -> None:
    data = build_data(config.compose(["data=one_class", "data.normal=1"]))
    model = build()
    model.known.load_state_dict(model.known.with_newest(next(data.batches("train")).images))
    scores = {
        s.protocol["score"]: s.value
        for s in HeldOut(data, "test").score(model.answers, CPU).values()
    }
    batch = next(data.batches("test"))
    assert batch.labels is not None
    strange, answers = np.asarray(batch.labels != 1), model.answers(batch)
    for word in ("reconstruction", "latent"):
        area = roc_auc_score(strange, answers[f"anomaly/{word}"])
        assert scores[f"auroc_{word}"] == pytest.approx(area, abs=1e-4)


# What they are for. Each header under conf/experiment states what the whole budget gives.


@pytest.mark.slow
@pytest.mark.parametrize("normal", [1, 8])  # an easy digit and the hardest
def test_other_digits_are_found_to_be_anomalies(normal: int) -> None:
    model, data = trained("digits_anomaly", f"data.normal={normal}", "budget_kimg=12")
    batch = next(data.batches("test"))
    assert batch.labels is not None
    answers = model.answers(batch)
    strange = np.asarray(batch.labels != normal)
    assert roc_auc_score(strange, answers["anomaly/reconstruction"]) > 0.95
    assert roc_auc_score(strange, answers["anomaly/latent"]) > 0.85


@pytest.mark.slow
def test_denoising_brings_held_out_images_nearer_to_the_clean_ones() -> None:
    model, data = trained("digits_denoising", "budget_kimg=24")
    scores = HeldOut(data, "test").score(model.answers, CPU)
    gain = next(s.value for s in scores.values() if s.protocol["score"] == "psnr_gain")
    assert gain > 4.4
