"""The state of the game, computed from the discriminator's scores."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from gansweep.errors import UserError


@torch.no_grad()
def balance(
    real_scores: Tensor, fake_scores: Tensor, kind: str | None, gamma: float | None = None
) -> dict[str, Tensor]:
    """How the discriminator scores real and generated samples, as 0-dim float32 tensors.

    real_scores, fake_scores: of any shape, without a sigmoid.
    kind: "logit": D = sigmoid(score) is a probability. Gives balance/real_mean = mean D(x),
        balance/fake_mean = mean D(G(z)), the accuracy on each side (a tie is an error) and
        balance/distance = mean |D - 1/2| over both sides, which is 0 at the equilibrium of
        Goodfellow et al. 2014, arXiv:1406.2661, Theorem 1.
        None: there is no discriminator. Gives nothing.
        Any other ("critic", "energy", "paired_logit"): no score means probability 1/2. Gives
        critic/real_mean, critic/fake_mean and critic/gap = real - fake.
    gamma: the target ratio L(G(z)) / L(x) of an energy model, if it has one. Adds
        critic/global_measure = L(x) + |gamma L(x) - L(G(z))|, which falls as the game
        converges (Berthelot et al. 2017, arXiv:1703.10717).
    Does not wait for the device.
    """
    if kind is None:
        return {}
    real, fake = real_scores.float().flatten(), fake_scores.float().flatten()
    if kind != "logit":
        x, y = real.mean(), fake.mean()
        means = {"critic/real_mean": x, "critic/fake_mean": y, "critic/gap": x - y}
        if kind == "energy" and gamma is not None:
            means["critic/global_measure"] = x + (gamma * x - y).abs()
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
    """How much the discriminator overfits its training images, as 0-dim tensors.

    train_scores, held_out_scores, fake_scores: of any shape, without a sigmoid, from one
        discriminator.
    overfit/r_t = E sign D(train): 0 without overfitting, 1 at complete overfitting. For kind
        "logit" only, where the sign means real or fake.
    overfit/r_v = (E D(train) - E D(held out)) / (E D(train) - E D(G(z))): 0 if held-out images
        score like training images, 1 if they score like generated ones. It is noisy if the
        discriminator hardly separates real from generated images.
    Source: Karras et al. 2020, arXiv:2006.06676, Eq. 1.
    """
    train, held_out, fake = (s.float().mean() for s in (train_scores, held_out_scores, fake_scores))
    found = {"overfit/r_v": (train - held_out) / (train - fake)}
    if kind == "logit":
        found["overfit/r_t"] = train_scores.float().sign().mean()
    return found


@torch.no_grad()
def game_value(real_scores: Tensor, fake_scores: Tensor, kind: str) -> Tensor:
    """The value M of the game: the discriminator maximises it, the generator minimises it.

    real_scores, fake_scores: (N,), without a sigmoid. For "paired_logit" equal places are pairs.
    kind: "logit": E log D(x) + E log(1 - D(G(z))), at most 0, -log 4 where D = 1/2.
        "critic": E D(x) - E D(G(z)).
        "paired_logit": E log sigmoid(D(x) - D(G(z))), -log 2 where D is constant.
    Returns: 0-dim float64.
    Raises: UserError for other kinds, which have no shared value.
    Source: Grnarova et al. 2019, arXiv:1811.05512, Eq. 1. There the first form is halved.
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
        "The duality gap needs one value that one player maximises and the other minimises. "
        f"Scores of the kind '{kind}' have no such value. Leave the gap out with "
        "'~callbacks.duality_gap', or use a model whose discriminator gives logits or a critic's "
        "scores."
    )
