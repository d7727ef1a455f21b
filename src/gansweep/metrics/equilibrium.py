"""The balance of the game, read from the discriminator's scores."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def balance(real_scores: Tensor, fake_scores: Tensor, kind: str | None) -> dict[str, Tensor]:
    """What the discriminator makes of real and of generated samples, as 0-dim float32 tensors.

    real_scores, fake_scores: of any shape, unsquashed.
    kind: "logit": D = sigmoid(score) is a probability, hence balance/real_mean = mean D(x),
        balance/fake_mean = mean D(G(z)), the accuracy on each (a tie counts as an error) and
        balance/distance = mean |D - 1/2| over both, 0 at the equilibrium of Goodfellow et al.
        2014, arXiv:1406.2661, Theorem 1.
        None: there is no discriminator; empty.
        Any other ("critic", "energy", "paired_logit"): the scores have no zero point that means
        1/2, so only critic/real_mean, critic/fake_mean and critic/gap = real - fake.
    Nothing waits for the device.
    """
    if kind is None:
        return {}
    real, fake = real_scores.float().flatten(), fake_scores.float().flatten()
    if kind != "logit":
        real_mean, fake_mean = real.mean(), fake.mean()
        return {
            "critic/real_mean": real_mean,
            "critic/fake_mean": fake_mean,
            "critic/gap": real_mean - fake_mean,
        }
    real_d, fake_d = real.sigmoid(), fake.sigmoid()
    return {
        "balance/real_mean": real_d.mean(),
        "balance/fake_mean": fake_d.mean(),
        "balance/real_accuracy": (real > 0).float().mean(),
        "balance/fake_accuracy": (fake < 0).float().mean(),
        "balance/distance": (torch.cat([real_d, fake_d]) - 0.5).abs().mean(),
    }
