"""The Inception score: sharp and varied class predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

PUBLISHED_SEED = 2020  # torch-fidelity's order of the images, so that both give the same number


def inception_score(
    logits: Tensor, splits: int = 10, seed: int = PUBLISHED_SEED
) -> tuple[float, float]:
    """exp of the mean KL(p(y|x) || p(y)) in each split: its mean and standard deviation over them.

    logits: (N, K) of any classifier, N >= splits.
    The standard deviation divides by `splits`, as the published tables do.
    Source: Salimans et al. 2016, arXiv:1606.03498, Section 4.
    """
    order = np.random.RandomState(seed).permutation(len(logits))
    logits = logits.double()[torch.from_numpy(order).to(logits.device)]
    log_p = logits.log_softmax(1)
    scores = []
    for rows in range(splits):
        part = log_p[rows * len(logits) // splits : (rows + 1) * len(logits) // splits]
        # a class that no image has: 0 * (-inf - -inf) must count as 0
        log_marginal = part.exp().mean(0).clamp_min(torch.finfo(part.dtype).tiny).log()
        divergence = (part.exp() * (part - log_marginal)).sum(1).mean()
        scores.append(divergence.exp())
    values = torch.stack(scores)
    return values.mean().item(), values.std(correction=0).item()
