"""The kernel distance (KID): unbiased squared MMD of features under a cubic kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from gansweep.metrics.features.backbone import full_precision
from gansweep.metrics.ordered import OrderedSamples

PUBLISHED_SEED = 2020  # torch-fidelity's draw of the subsets, so that both give the same number
CHUNK = 1024


def _cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(n, m) float64 of (x.y / d + 1)^3 for x (n, d), y (m, d)."""
    return ((x @ y.T).double() / x.shape[1] + 1) ** 3


def subset_sums(x: Tensor, x_rows: Tensor, y: Tensor, y_rows: Tensor) -> Tensor:
    """(S,) float64: the sum of the kernel over x[x_rows[s]] times y[y_rows[s]].

    x_rows, y_rows: (S, m) without repetition in a row.
    The whole kernel is worked out once, in chunks, where that is less work than one block for
    each subset: a subset's sum is then p^T K q with rows p, q of zeros and ones.
    """
    subsets, size = x_rows.shape
    if len(x) * len(y) > subsets * size * size:
        blocks = [_cubic_kernel(x[i], y[j]).sum() for i, j in zip(x_rows, y_rows, strict=True)]
        return torch.stack(blocks)
    p, q = _indicator(x_rows, len(x)), _indicator(y_rows, len(y))
    total = torch.zeros(subsets, dtype=torch.float64, device=x.device)
    for start in range(0, len(x), CHUNK):
        rows = slice(start, start + CHUNK)
        total += ((p[:, rows] @ _cubic_kernel(x[rows], y)) * q).sum(1)
    return total


def _indicator(rows: Tensor, n: int) -> Tensor:
    zeros = torch.zeros(len(rows), n, dtype=torch.float64, device=rows.device)
    return zeros.scatter_(1, rows, 1.0)


def _within(x: Tensor, rows: Tensor) -> Tensor:
    """(S,): sums over pairs of different samples."""
    diagonal = (x.double().square().sum(1) / x.shape[1] + 1) ** 3
    return subset_sums(x, rows, x, rows) - diagonal[rows].sum(1)


class KernelDistance:
    """KID to a fixed real side, whose share of the work is done once.

    real: (n_real, d).   n_fake: samples that each `compute` gets.
    subset_size: m, at most n_real and n_fake.
    The subsets are drawn by a generator of their own: the global random state stays untouched.
    Source: Binkowski et al. 2018, arXiv:1801.01401, Section 4.
    """

    def __init__(
        self,
        real: Tensor,
        n_fake: int,
        subsets: int = 100,
        subset_size: int = 1000,
        seed: int = PUBLISHED_SEED,
    ) -> None:
        draw = np.random.RandomState(seed)
        rows = [
            (draw.choice(n_fake, subset_size, False), draw.choice(len(real), subset_size, False))
            for _ in range(subsets)
        ]
        fake_rows, real_rows = (np.stack(side) for side in zip(*rows, strict=True))
        self.n_fake = n_fake
        self.real = real
        self.fake_rows = torch.from_numpy(fake_rows).to(real.device)
        self.real_rows = torch.from_numpy(real_rows).to(real.device)
        with full_precision():
            self.real_sums = _within(real, self.real_rows)

    def compute(self, fake: Tensor) -> tuple[float, float]:
        """Mean over the subsets, and their standard deviation (divided by their number).

        fake: (n_fake, d) on the real side's device. Slightly negative for equal distributions.
        """
        m = self.fake_rows.shape[1]
        with full_precision():  # a difference of large sums, of which TF32 would leave nothing
            within = _within(fake, self.fake_rows) + self.real_sums
            between = subset_sums(fake, self.fake_rows, self.real, self.real_rows)
        distances = within / (m * (m - 1)) - 2 * between / m**2
        return distances.mean().item(), distances.std(correction=0).item()


class KernelScore(OrderedSamples):
    """`KernelDistance` of the features of all processes: {"kid", "kid_std"}.

    distance: with its real side on the metric's device; all updates together bring its `n_fake`.
    update: numbers (n,), features (n, d).
    """

    higher_is_better = False

    def __init__(self, distance: KernelDistance, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.distance = distance

    def compute(self) -> dict[str, Tensor]:
        """Raises: ValueError unless as many samples came as the distance drew its subsets for."""
        fake = self.ordered()
        n_fake = self.distance.n_fake
        if len(fake) != n_fake:
            raise ValueError(
                f"{len(fake)} samples came where n_fake={n_fake} were announced, which the "
                "subsets of the kernel distance were drawn from: give exactly as many."
            )
        mean, std = self.distance.compute(fake)
        return {
            "kid": torch.tensor(mean, dtype=torch.float64),
            "kid_std": torch.tensor(std, dtype=torch.float64),
        }
