"""The state of the game, read from the discriminator's scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gansweep.errors import UserError


@torch.no_grad()
def balance(
    real_scores: Tensor, fake_scores: Tensor, kind: str | None, gamma: float | None = None
) -> dict[str, Tensor]:
    """What the discriminator makes of real and of generated samples, as 0-dim float32 tensors.

    real_scores, fake_scores: of any shape, unsquashed.
    kind: "logit": D = sigmoid(score) is a probability, hence balance/real_mean = mean D(x),
        balance/fake_mean = mean D(G(z)), the accuracy on each (a tie counts as an error) and
        balance/distance = mean |D - 1/2| over both, 0 at the equilibrium of Goodfellow et al.
        2014, arXiv:1406.2661, Theorem 1.
        None: there is no discriminator; empty.
        Any other ("critic", "energy", "paired_logit"): the scores have no zero point that means
        1/2, so only critic/real_mean, critic/fake_mean and critic/gap = real - fake.
    gamma: the ratio L(G(z)) / L(x) that an energy's training aims at, where it states one; then
        also critic/global_measure = L(x) + |gamma L(x) - L(G(z))|, which falls as the game
        converges (Berthelot et al. 2017, arXiv:1703.10717).
    Nothing waits for the device.
    """
    if kind is None:
        return {}
    real, fake = real_scores.float().flatten(), fake_scores.float().flatten()
    if kind != "logit":
        real_mean, fake_mean = real.mean(), fake.mean()
        means = {
            "critic/real_mean": real_mean,
            "critic/fake_mean": fake_mean,
            "critic/gap": real_mean - fake_mean,
        }
        if kind == "energy" and gamma is not None:
            means["critic/global_measure"] = real_mean + (gamma * real_mean - fake_mean).abs()
        return means
    real_d, fake_d = real.sigmoid(), fake.sigmoid()
    return {
        "balance/real_mean": real_d.mean(),
        "balance/fake_mean": fake_d.mean(),
        "balance/real_accuracy": (real > 0).float().mean(),
        "balance/fake_accuracy": (fake < 0).float().mean(),
        "balance/distance": (torch.cat([real_d, fake_d]) - 0.5).abs().mean(),
    }


@torch.no_grad()
def overfitting(
    train_scores: Tensor, held_out_scores: Tensor, fake_scores: Tensor, kind: str
) -> dict[str, Tensor]:
    """How far the discriminator has learnt its training images by heart, as 0-dim tensors.

    train_scores, held_out_scores, fake_scores: of any shape, unsquashed, by one discriminator.
    overfit/r_t = E sign D(train), where 0 is no overfitting and 1 complete; for kind "logit"
        alone, whose sign means real or fake.
    overfit/r_v = (E D(train) - E D(held out)) / (E D(train) - E D(G(z))): 0 where held-out images
        look as real as training images, 1 where they look generated. Its noise is large where
        the discriminator hardly tells real from generated.
    Source: Karras et al. 2020, arXiv:2006.06676, Eq. 1.
    """
    train, held_out, fake = (s.float().mean() for s in (train_scores, held_out_scores, fake_scores))
    found = {"overfit/r_v": (train - held_out) / (train - fake)}
    if kind == "logit":
        found["overfit/r_t"] = train_scores.float().sign().mean()
    return found


@torch.no_grad()
def game_value(real_scores: Tensor, fake_scores: Tensor, kind: str) -> Tensor:
    """M, which the discriminator wants high and the generator low, as a 0-dim float64 tensor.

    real_scores, fake_scores: (N,), unsquashed; paired by their places for "paired_logit".
    kind: "logit": E log D(x) + E log(1 - D(G(z))), at most 0, -log 4 where D = 1/2.
        "critic": E D(x) - E D(G(z)).
        "paired_logit": E log sigmoid(D(x) - D(G(z))), -log 2 where D is constant.
    Raises: UserError for other kinds, whose players share no value.
    Source: Grnarova et al. 2019, arXiv:1811.05512, Eq. 1, which halves the first form.
    """
    real, fake = real_scores.double(), fake_scores.double()
    if kind == "logit":
        # logsigmoid(l) = log D, logsigmoid(-l) = log(1 - D)
        return F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean()
    if kind == "critic":
        return real.mean() - fake.mean()
    if kind == "paired_logit":
        return F.logsigmoid(real - fake).mean()
    raise UserError(
        f"The duality gap needs one value that the two players fight over; scores of the kind "
        f"'{kind}' have none. Leave it out with '~callbacks.duality_gap', or use a model with a "
        "discriminator of logits or a critic."
    )
