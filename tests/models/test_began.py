"""BEGAN: the control of k by hand, its measure of convergence, the stop rule on it."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.began import Discriminator, Encoder, Generator
from gansweep.models.began import BEGAN, BoundaryEquilibrium, Control, Stall, global_measure
from gansweep.models.draws import Draws
from gansweep.models.player_loss import Scores
from gansweep.run.train import train

IMAGE = (1, 8, 8)


def build(*options: str) -> BEGAN:
    cfg = config.compose(["model=began", *options])
    cfg.model.generator.width = cfg.model.discriminator.width = 4
    torch.manual_seed(0)
    model: BEGAN = config.instantiate(config.model_node(cfg, False), sample_shape=IMAGE)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch_of(n: int = 6) -> Batch:
    return Batch(torch.rand(n, *IMAGE, generator=torch.Generator().manual_seed(3)) * 2 - 1)


def energies(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


# The rates


def followed(stall: Stall, measures: list[float]) -> float:
    """The factor of the rates after one span of these measures."""
    for k, measure in enumerate(measures, start=1):
        found = stall.followed(torch.tensor(measure), ends=k == len(measures))
        stall.load_state_dict({**stall.state_dict(), **found})
    return stall.factor.item()


def test_rates_halve_after_a_span_in_which_the_measure_has_not_fallen() -> None:
    stall = Stall(floor=0.25)
    assert followed(stall, [4.0, 2.0]) == 1  # the first span has none to compare with
    assert followed(stall, [2.0, 1.0, 3.0]) == 1  # 2 is below 0.99 * 3
    assert followed(stall, [1.99]) == 0.5  # above 0.99 * 2
    assert followed(stall, [1.0]) == 0.5
    assert followed(stall, [1.5]) == 0.25
    assert followed(stall, [9.0]) == 0.25  # the floor


def test_a_stalled_measure_lowers_both_rates_at_the_next_span() -> None:
    model = build("model.stall_kimg=0.012")  # two batches of 6
    stall = model.stall
    assert stall is not None
    stall.before.fill_(1e-9)
    rates = []
    for step in range(5):
        model.training_step(batch_of(), step)
        rates.append(set(model.learning_rates.values()))
    assert [max(r) / 8e-5 for r in rates] == pytest.approx([1, 1, 0.5, 0.5, 0.25], rel=1e-6)
    assert all(len(r) == 1 for r in rates)
    expected = torch.tensor(model.recent_means()["began/global_measure"])
    assert stall.before.item() < 2 * expected.item()  # a mean of the span, not its sum


# The control


def test_k_follows_the_balance_of_the_energies() -> None:
    control = Control(gamma=0.5, rate=0.1)
    control.load_state_dict({"k": control.followed(torch.tensor(2.0), torch.tensor(0.4))})
    assert control.k.item() == pytest.approx(0.06)  # 0 + 0.1 (0.5 * 2 - 0.4)
    control.load_state_dict({"k": control.followed(torch.tensor(1.0), torch.tensor(0.8))})
    assert control.k.item() == pytest.approx(0.03)  # 0.06 + 0.1 (0.5 - 0.8)


def test_k_is_held_between_0_and_1() -> None:
    control = Control(gamma=0.5, rate=1.0)
    control.load_state_dict({"k": control.followed(torch.tensor(1.0), torch.tensor(5.0))})
    assert control.k.item() == 0
    control.load_state_dict({"k": control.followed(torch.tensor(9.0), torch.tensor(0.0))})
    assert control.k.item() == 1


def test_equilibrium_leaves_k_as_it_is() -> None:
    control = Control(gamma=0.5, rate=0.1)
    control.k.fill_(0.25)
    control.load_state_dict({"k": control.followed(torch.tensor(1.5), torch.tensor(0.75))})
    assert control.k.item() == 0.25


def test_ratio_beyond_the_real_energy_is_refused() -> None:
    with pytest.raises(UserError, match=r"gamma=1\.5 is not a number above 0 up to 1"):
        build("model.gamma=1.5")


# The losses


def test_generator_learns_from_the_fakes_of_the_least_energy() -> None:
    """The energy is low for what looks real: top-k training must keep the lowest."""
    model = build(
        "model.top_k={_target_: gansweep.terms.schedules.geometric, _partial_: true, factor: 0.5, "
        "every_kimg: 1}"
    )
    assert model.draws is not None
    given = batch_of(8)
    drawn = model.draw(model.draws, given, model.clock)
    fakes = model.make(given, drawn, model.clock)
    model.images_seen = 1000
    found = model.player_loss("generator", given, drawn, fakes, model.clock).loss
    best = sorted(model.discriminator(fakes).tolist())[:4]
    assert found.item() == pytest.approx(sum(best) / 4)


def test_augmentation_that_follows_the_signs_of_scores_is_refused() -> None:
    """Energies are all positive: its probability would rise without end."""
    with pytest.raises(UserError, match="no boundary.*term=diffaugment"):
        build("model.augment={_target_: gansweep.terms.augment.ADA}")


def test_losses_by_hand() -> None:
    control = Control(gamma=0.5, rate=0.1)
    loss = BoundaryEquilibrium(control)
    real, fake = energies(1, 3), energies(2, 6)
    control.k.fill_(0.25)
    assert loss.discriminator(real, fake).item() == 2 - 0.25 * 4
    assert loss.generator(None, fake).item() == 4


def test_k_of_0_keeps_the_generated_samples_from_the_discriminator() -> None:
    model, batch = build(), batch_of()
    drawn = {"z": torch.rand(6, model.latent_dim) * 2 - 1}
    gradients = []
    for fakes in (model.make(batch, drawn, model.clock), torch.ones(6, *IMAGE)):
        loss = model.player_loss("discriminator", batch, drawn, fakes, model.clock).loss
        gradients.append(torch.autograd.grad(loss, list(model.discriminator.parameters())))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
    model.control.k.fill_(0.5)
    loss = model.player_loss("discriminator", batch, drawn, torch.ones(6, *IMAGE), model.clock).loss
    moved = torch.autograd.grad(loss, list(model.discriminator.parameters()))
    assert not all(torch.allclose(a, b) for a, b in zip(gradients[0], moved, strict=True))


def test_energy_is_the_mean_absolute_error_of_the_autoencoder() -> None:
    model, batch = build(), batch_of()
    discriminator = model.discriminator
    assert isinstance(discriminator, Discriminator)
    made = discriminator.decoder(discriminator.encoder(batch.images)).detach()
    slow = [float((x - y).abs().mean()) for x, y in zip(batch.images, made, strict=True)]
    torch.testing.assert_close(discriminator(batch.images), torch.tensor(slow))


def test_measure_of_convergence_by_hand() -> None:
    scores = Scores(energies(1, 3), energies(0.5, 1.1), "energy", gamma=0.5)
    assert global_measure(scores).item() == pytest.approx(2 + abs(0.5 * 2 - 0.8))


# Training


def test_step_moves_k_once_by_what_the_discriminator_saw() -> None:
    model, batch = build("model.lambda_k=0.1"), batch_of()
    model.control.k.fill_(0.5)
    model.training_step(batch, 0)
    scores = model.last_scores
    assert scores is not None and (scores.kind, scores.gamma) == ("energy", 0.5)
    moved = 0.5 + 0.1 * (0.5 * scores.real.mean() - scores.fake.mean())
    torch.testing.assert_close(model.control.k, moved)
    means = model.recent_means()
    assert means["began/k"] == 0.5  # of the step itself
    assert means["began/global_measure"] == pytest.approx(float(global_measure(scores)))


def test_images_to_look_at_are_held_in_range() -> None:
    model = build()
    with torch.no_grad():
        model.generator.layers[-1].bias.fill_(3)
    made = model.fakes(batch_of(), torch.Generator().manual_seed(0))
    assert made.max() == 1


@pytest.mark.parametrize(("side", "smallest"), [(8, 4), (16, 8), (28, 7), (32, 8), (128, 8)])
def test_networks_have_the_papers_smallest_map_where_there_is_room(
    side: int, smallest: int
) -> None:
    shape = (3, side, side)
    generator = Generator(shape, 5, width=2)
    assert generator.layers[1].unflattened_size == (2, smallest, smallest)
    assert generator(torch.zeros(2, 5)).shape == (2, *shape)
    encoder = Encoder(shape, 7, width=2)
    assert encoder(torch.zeros(2, *shape)).shape == (2, 7)
    levels = (side // smallest).bit_length()  # n (i + 1) channels, i from 0
    assert encoder.output.in_features == 2 * levels * smallest**2


@pytest.mark.slow
def test_measure_of_convergence_stops_a_run_that_has_converged(tmp_path: Path) -> None:
    result = train(
        config.compose(
            [
                *("experiment=digits_began", "metrics=none", "tracker=none", "budget_kimg=30"),
                *("callbacks=stopping", "~callbacks.stop_at_equilibrium", f"runs_dir={tmp_path}"),
                "callbacks.stop_on_plateau.watch=critic/global_measure",
                "callbacks.stop_on_plateau.patience_kimg=6",
                # so much it improves in its first thousands of images only
                "callbacks.stop_on_plateau.min_relative=0.3",
            ]
        ),
        progress=False,
    )
    assert (result["status"], result["stopped_by"]) == ("plateau", "stop_on_plateau")
    assert "critic/global_measure has not improved by 30.0%" in result["reason"]
    assert 6 < result["kimg"] < 30
