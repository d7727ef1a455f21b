"""The variational autoencoder: the bound against distributions of torch, and its samples."""

import math

import pytest
import torch
from torch.distributions import Bernoulli, Laplace, Normal, kl_divergence

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.vae import VAE, kl_from_prior

IMAGE = (1, 8, 8)


def build(*options: str) -> VAE:
    cfg = config.compose(["model=vae", "model.latent_dim=3", *options])
    cfg.model.encoder.width = cfg.model.decoder.width = 4
    torch.manual_seed(0)
    model: VAE = config.instantiate(config.model_node(cfg, False), sample_shape=IMAGE).double()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch_of(n: int = 6) -> Batch:
    rng = torch.Generator().manual_seed(3)
    return Batch(torch.rand(n, *IMAGE, generator=rng, dtype=torch.float64) * 2 - 1)


def test_divergence_by_hand() -> None:
    zero = torch.zeros(1, 2)
    assert kl_from_prior(zero, zero).item() == 0
    # mean 3: 9/2; variance 4: (4 - 1 - log 4) / 2
    assert kl_from_prior(torch.tensor([[3.0]]), torch.zeros(1, 1)).item() == pytest.approx(4.5)
    found = kl_from_prior(torch.zeros(1, 1), torch.tensor([[math.log(4)]])).item()
    assert found == pytest.approx((3 - math.log(4)) / 2, rel=1e-6)


def test_divergence_is_the_librarys_summed_over_the_code() -> None:
    rng = torch.Generator().manual_seed(0)
    mean, log_variance = (torch.randn(5, 4, generator=rng) for _ in "mv")
    normal = Normal(mean, (log_variance / 2).exp())
    slow = kl_divergence(normal, Normal(torch.zeros(5, 4), torch.ones(5, 4))).sum(1)
    torch.testing.assert_close(kl_from_prior(mean, log_variance), slow)


@pytest.mark.parametrize("kind", ["mse", "l1", "bce"])
def test_likelihood_is_that_of_the_stated_distribution(kind: str) -> None:
    model = build(f"model.reconstruction={kind}", "model.spread=0.3")
    made, wanted = batch_of().images * 0.9, batch_of().images.flip(0)
    if kind == "bce":
        wanted = wanted.sign()  # Bernoulli's density holds for black and white alone
        log_p = Bernoulli((made + 1) / 2).log_prob((wanted + 1) / 2)
    else:
        log_p = (Normal if kind == "mse" else Laplace)(made, 0.3).log_prob(wanted)
    found = model.negative_log_likelihood(made, wanted)
    torch.testing.assert_close(found, -log_p.flatten(1).sum(1))


def test_loss_is_the_negative_bound_and_beta_weighs_the_divergence() -> None:
    batch = batch_of()
    losses = {}
    for beta in (1.0, 4.0):
        model = build(f"model.beta={beta}")
        assert model.draws is not None
        drawn = model.draw(model.draws, batch, model.clock)
        terms = model.player_loss(
            "autoencoder", batch, drawn, model.make(batch, drawn, model.clock), model.clock
        )
        losses[beta], parts = terms.loss, terms.parts
        torch.testing.assert_close(
            parts["vae/elbo"], -(parts["vae/reconstruction"] + parts["vae/kl"])
        )
    torch.testing.assert_close(losses[1.0], -parts["vae/elbo"])
    torch.testing.assert_close(losses[4.0] - losses[1.0], 3 * parts["vae/kl"])


def test_code_is_the_mean_plus_the_drawn_noise_scaled_by_the_deviation() -> None:
    model, batch = build(), batch_of()
    mean, log_variance = model.coder.encoder(batch.images).chunk(2, dim=1)
    z = torch.full_like(mean, 2.0)
    expected = model.coder.decoder(mean + 2 * torch.sqrt(torch.exp(log_variance)))
    torch.testing.assert_close(model.make(batch, {"z": z}, model.clock), expected)
    torch.testing.assert_close(model.answers(batch)["codes"], mean)


def test_samples_are_decoded_draws_of_the_prior_whatever_the_batch() -> None:
    model = build()
    made = model.fakes(batch_of(5), torch.Generator().manual_seed(7))
    z = torch.randn(5, 3, generator=torch.Generator().manual_seed(7)).double()
    torch.testing.assert_close(made, model.coder.decoder(z))


def test_latent_distance_is_the_divergence_of_the_posterior() -> None:
    model, batch = build(), batch_of()
    found = model.answers(batch)["anomaly/latent"]
    torch.testing.assert_close(
        found, kl_from_prior(*model.coder.encoder(batch.images).chunk(2, dim=1))
    )


def test_pixels_without_spread_are_refused() -> None:
    with pytest.raises(UserError, match="spread=0"):
        build("model.spread=0")
