"""The Frechet distance (FID) between two sets of features, each modelled as one Gaussian.

d: width of the features.   n: number of samples.   The real side is fixed: a Gaussian is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from gansweep.data.source import DataSource
from gansweep.metrics.measure import Measure, Seen, Setting
from gansweep.metrics.moments import Gaussian, gaussian_of, rank
from gansweep.metrics.ordered import OrderedSamples, Scores
from gansweep.metrics.protocol import Protocol
from gansweep.records.notation import plural

TILE = 256  # columns of a triangular product that are computed at once


def frechet_distance(real: Gaussian, fake: Gaussian) -> Tensor:
    """|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2)), a 0-dim float64 tensor.

    With S1 = R R^T, Tr (S1 S2)^(1/2) is the sum of the square roots of the eigenvalues of
    R^T S2 R. This matrix is symmetric, so there is no complex part to drop and no matrix square
    root to compute. R is computed once for the real side.
    Source: Heusel et al. 2017, arXiv:1706.08500, Eq. 6.
    """
    if real.cholesky is not None:
        inner = _triangular_congruence(real.cholesky, fake.cov)
    else:
        inner = real.factor.T @ fake.cov @ real.factor
    mean_term = (real.mean - fake.mean).square().sum()
    roots = sum_of_roots(inner, rank(len(inner), real, fake))
    return mean_term + real.cov.trace() + fake.cov.trace() - 2 * roots


def frechet_to_samples(real: Gaussian, x: Tensor) -> Tensor:
    """`frechet_distance` to the Gaussian of x (n, d), n >= 2. With few samples it is too high.

    For n <= d it uses an (n, n) matrix with the same eigenvalues except for zeros. This is faster
    and avoids the rounding errors of d - n zeros.
    """
    if len(x) < 2 or len(x) > x.shape[1]:
        return frechet_distance(real, gaussian_of(x))
    shift = x.double() - real.mean
    centered = shift - shift.mean(0)
    inner = centered @ real.cov @ centered.T / (len(x) - 1)
    trace = centered.square().sum() / (len(x) - 1)
    roots = sum_of_roots(inner, min(rank(len(x), real), len(x) - 1))
    return shift.mean(0).square().sum() + real.cov.trace() + trace - 2 * roots


def sum_of_roots(inner: Tensor, rank: int) -> Tensor:
    """Sum of the square roots of the `rank` largest eigenvalues of a symmetric matrix.

    inner: (m, m); only its lower triangle is read.   Returns: 0-dim.
    """
    values = torch.linalg.eigvalsh(inner)[len(inner) - rank :]
    return values.clamp_min(0).sqrt().sum()


def _triangular_congruence(lower: Tensor, cov: Tensor) -> Tensor:
    """Lower triangle of L^T S L for a lower triangular L: a third of the work of the product."""
    inner = torch.zeros_like(cov)
    for start in range(0, len(cov), TILE):
        columns = lower[start:, start : start + TILE]
        inner[start:, start : start + TILE] = lower[start:, start:].T @ (
            cov[start:, start:] @ columns
        )
    return inner


def frechet_score(real: Gaussian) -> OrderedSamples:
    """`frechet_to_samples` of features: {"fid"}.   real: on the metric's device."""
    return OrderedSamples(lambda features: {"fid": frechet_to_samples(real, features)})


class IntraFrechet(OrderedSamples):
    """The Frechet distance within each class: {"intra_fid", "intra_fid_per_class" (K,)}.

    real: a Gaussian for each of K classes, on the metric's device.
    intra_fid is their mean with equal weights.
    Source: Miyato and Koyama 2018, arXiv:1802.05637.
    """

    labels: list[Tensor]

    def __init__(self, real: Sequence[Gaussian], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.real = list(real)
        self.add_samples("labels", torch.int64)

    def update(self, numbers: Tensor, features: Tensor, labels: Tensor) -> None:  # type: ignore[override]
        """numbers: (n,).   features: (n, d).   labels: (n,) integers, 0 to K - 1."""
        if len(labels) != len(features):
            raise ValueError(f"{len(labels)} labels for {len(features)} samples: give one each.")
        super().update(numbers, features)
        self.keep("labels", labels)

    def compute(self) -> Scores:
        """Raises: ValueError for a class with fewer than 2 samples or an unknown class."""
        labels, features = dim_zero_cat(self.labels)[self.order()], self.ordered()
        counts = labels.bincount(minlength=len(self.real)).tolist()
        if len(counts) > len(self.real):
            raise ValueError(
                f"Label {len(counts) - 1} is unknown: there are {len(self.real)} classes, 0 to "
                f"{len(self.real) - 1}."
            )
        for label, count in enumerate(counts):
            if count < 2:
                few = plural(count, "generated sample")
                raise ValueError(
                    f"Class {label} has {few}, too few for its own distance: "
                    "raise n_fake until each class has at least 2, or leave intra_fid out."
                )
        values = torch.stack(
            [frechet_to_samples(r, features[labels == k]) for k, r in enumerate(self.real)]
        )
        return {"intra_fid": values.mean(), "intra_fid_per_class": values}


class Fid(Measure):
    choices = words = ("fid",)

    def build(self, setting: Setting) -> Metric:
        return frechet_score(setting.real_side.gaussian)


class IntraFid(Measure):
    """The FID within each class, and its mean over the classes."""

    choices = ("intra_fid",)
    words = ("intra_fid", "intra_fid_per_class")
    lists = ("intra_fid_per_class",)
    needs_features = True

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        if not data.n_classes or data.n_classes < 2 or data.is_points:
            return "it compares images class by class"
        if backbone != "classifier" and not conditional:
            return "the generator takes no class, and only metrics=classifier predicts one"
        return ""

    def least(self, data: DataSource) -> tuple[int, int]:
        n_classes = data.n_classes or 1
        return 2 * n_classes, 2 * n_classes

    def build(self, setting: Setting) -> Metric:
        real = setting.real_side
        assert real.features is not None and real.labels is not None
        parts = [real.features[real.labels == k] for k in range(setting.data.n_classes or 0)]
        return IntraFrechet([gaussian_of(part) for part in parts])

    def update(self, metric: Metric, seen: Seen) -> None:
        labels = seen.labels
        if labels is None:
            assert seen.logits is not None
            labels = seen.logits.argmax(1)
        metric.update(seen.numbers, seen.features, labels)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"labels": "requested" if setting.conditional else "predicted"}
