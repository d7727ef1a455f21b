"""The kernel distance (KID): unbiased squared MMD of features under a cubic kernel."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.metrics.features.backbone import full_precision
from gansweep.metrics.measure import Measure, Setting
from gansweep.metrics.ordered import OrderedSamples, Scores
from gansweep.metrics.protocol import Protocol

KID_SUBSETS = 100
PUBLISHED_SEED = 2020  # torch-fidelity's draw of the subsets, so both give the same number
# rows of the kernel at once: on a CPU few enough that their numbers stay in its cache
CHUNK = {"cpu": 128, "cuda": 1024}


def _cubic_kernel(x: Tensor, y: Tensor) -> Tensor:
    """(n, m) float64 of (x.y / d + 1)^3 for x (n, d), y (m, d)."""
    base = (x @ y.T).double().div_(x.shape[1]).add_(1)
    return base.square().mul_(base)


def subset_sums(x: Tensor, x_rows: Tensor, y: Tensor, y_rows: Tensor) -> Tensor:
    """(S,) float64: for each subset s, the sum of the kernel over x[x_rows[s]] and y[y_rows[s]].

    x: (n, d).   y: (m, d).   x_rows, y_rows: (S, k) without repetition in a row.
    If it is less work than one block per subset, the whole kernel matrix K is computed once, in
    chunks. A subset's sum is then p^T K q with vectors p, q of zeros and ones.
    """
    subsets, size = x_rows.shape
    if len(x) * len(y) > subsets * size * size:
        blocks = [_cubic_kernel(x[i], y[j]).sum() for i, j in zip(x_rows, y_rows, strict=True)]
        return torch.stack(blocks)
    same = x is y and x_rows is y_rows  # K is symmetric: what is right of a chunk counts twice
    p = _indicator(x_rows, len(x))
    q = p if same else _indicator(y_rows, len(y))
    product = torch.zeros_like(q)
    chunk = CHUNK.get(x.device.type, max(CHUNK.values()))
    for start in range(0, len(x), chunk):
        rows, first = slice(start, start + chunk), start if same else 0
        kernel = _cubic_kernel(x[rows], y[first:])
        if same:
            kernel[:, chunk:] *= 2
        product[:, first:].addmm_(p[:, rows], kernel)
    return (product * q).sum(1)


def _indicator(rows: Tensor, n: int) -> Tensor:
    zeros = torch.zeros(len(rows), n, dtype=torch.float64, device=rows.device)
    return zeros.scatter_(1, rows, 1.0)


def _within(x: Tensor, rows: Tensor) -> Tensor:
    """(S,): the sums over pairs of different samples of each subset."""
    diagonal = (x.double().square().sum(1) / x.shape[1] + 1) ** 3
    return subset_sums(x, rows, x, rows) - diagonal[rows].sum(1)


class KernelDistance:
    """KID to a fixed real side, whose part of the work is done once.

    real: (n_real, d).   n_fake: the number of samples that `scores` gets.
    subset_size: at most n_real and n_fake.
    The subsets come from their own random generator; the global state is not touched.
    Source: Binkowski et al. 2018, arXiv:1801.01401, Section 4.
    """

    def __init__(
        self,
        real: Tensor,
        n_fake: int,
        subsets: int = KID_SUBSETS,
        subset_size: int = 1000,
    ) -> None:
        draw = np.random.RandomState(PUBLISHED_SEED)
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

    def scores(self, fake: Tensor) -> Scores:
        """{"kid", "kid_std"}: mean and standard deviation (n in the divisor) over the subsets.

        fake: (n_fake, d) on the real side's device. The mean can be slightly negative for equal
        distributions.
        Raises: ValueError for another number of samples than n_fake.
        """
        if len(fake) != self.n_fake:
            raise ValueError(
                f"{len(fake)} samples were given, but the subsets of the kernel distance were "
                f"drawn for n_fake={self.n_fake}: give exactly that many."
            )
        m = self.fake_rows.shape[1]
        with full_precision():  # a small difference of large sums, which TF32 would round away
            within = _within(fake, self.fake_rows) + self.real_sums
            between = subset_sums(fake, self.fake_rows, self.real, self.real_rows)
        distances = within / (m * (m - 1)) - 2 * between / m**2
        return {"kid": distances.mean(), "kid_std": distances.std(correction=0)}


class Kid(Measure):
    """The kernel distance over a hundred subsets, with the standard deviation over them."""

    choices = words = ("kid",)
    needs_features = True

    def build(self, setting: Setting) -> Metric:
        size = self._size(setting)
        distance = KernelDistance(setting.features, setting.n_fake, subset_size=size)
        return OrderedSamples(distance.scores)

    def _size(self, setting: Setting) -> int:
        """1,000 as published, but at most half of each side: otherwise all subsets are alike."""
        return min(1000, setting.n_fake // 2, setting.real_side.count // 2)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"kernel": "cubic", "subsets": KID_SUBSETS, "subset_size": self._size(setting)}
