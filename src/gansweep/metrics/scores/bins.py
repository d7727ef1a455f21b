"""Number of statistically different bins (NDB): which parts of the data are over- or undersampled.

The bins are the cells of a k-means of real samples, so no labels are needed. Images are compared
as flattened pixels in [0, 1], points by their coordinates.
Source: Richardson and Weiss 2018, arXiv:1805.12462, Section 3.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError
from gansweep.metrics.cache import Content, cached, say
from gansweep.metrics.measure import WITHOUT_BACKBONE, Measure, Seen, Setting
from gansweep.metrics.protocol import Protocol

N_BINS = 100
Z_LIMIT = 1.959963984540054  # two-sided at the level 0.05
SEED = 20_180_531
MOST_ITERATIONS = 100
FITTED_PER_BIN = 100  # ours: k-means is fitted on a subset, 100 samples per bin
FITTED_VALUES = 2**26  # of large images fewer are fitted: at most 268 MB in float32


class BinCounts(Metric):
    """Counts generated samples in bins.   centres: (K, d), real_counts: (K,), of `real_bins`."""

    update_called = True  # no warning on a process that has no samples
    counts: Tensor
    centres: Tensor
    real_counts: Tensor

    def __init__(self, centres: Tensor, real_counts: Tensor, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("real_counts", real_counts, persistent=False)
        zeros = torch.zeros(len(centres), dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")

    def update(self, numbers: Tensor, values: Tensor) -> None:
        """values: (n, d), uint8 pixels or float coordinates. `numbers` are not used."""
        self.counts += bin_counts(values.detach().to(self.device), self.centres)

    def compute(self) -> dict[str, Tensor]:
        """{"ndb": bins, "ndb_js": nats}, 0-dim float64.

        For equal distributions about 0.05 K bins differ by chance.
        Raises: ValueError if there are no samples.
        """
        if not self.counts.sum():
            raise ValueError("No sample was counted, so there is nothing to compare with the bins.")
        different = different_bins(self.counts, self.real_counts).sum().double()
        return {"ndb": different, "ndb_js": jensen_shannon(self.counts, self.real_counts)}


def bin_counts(values: Tensor, centres: Tensor) -> Tensor:
    """(K,) int64: how many of `values` (n, d) have each centre (K, d) as the nearest one."""
    values, centres = _scaled(values), centres.double()
    # |v - c|^2 - |v|^2: the last term is the same for every centre
    nearest = (centres.square().sum(1) - 2 * values @ centres.T).argmin(1)
    return nearest.bincount(minlength=len(centres))


def different_bins(a: Tensor, b: Tensor) -> Tensor:
    """(K,) bool: whether a bin's share of counts `a` (K,) differs from its share of `b` (K,).

    Two-proportion z-test with a pooled standard error at level 0.05, not corrected for K tests.
    """
    n, m = a.sum().double(), b.sum().double()
    pooled = (a + b) / (n + m)
    error = (pooled * (1 - pooled) * (1 / n + 1 / m)).sqrt()
    return (a / n - b / m).abs() > Z_LIMIT * error


def jensen_shannon(a: Tensor, b: Tensor) -> Tensor:
    """The Jensen-Shannon divergence of two histograms (K,) in nats, from 0 to log 2."""
    p, q = a.double() / a.sum(), b.double() / b.sum()
    middle = (p + q) / 2
    apart = [torch.xlogy(side, side / middle.clamp_min(1e-300)).sum() for side in (p, q)]
    return torch.stack(apart).mean()


def real_bins(
    data: DataSource, split: Split, n_real: int | None = None, n_bins: int = N_BINS
) -> Content:
    """{"centres": (K, d) float32, "counts": (K,) int64} of at most `n_real` real samples.

    Cached by the content of the split.
    Raises: UserError for fewer than two samples per bin.
    """
    key = f"{data.fingerprint(split)}-{split}-{n_real or 'all'}-{n_bins}"
    return cached(f"bins/{key}.pt", lambda: _measure(data, split, n_real, n_bins))


def _measure(data: DataSource, split: Split, n_real: int | None, n_bins: int) -> Content:
    count = min(data.count(split), n_real or data.count(split))
    if count < 2 * n_bins:
        raise UserError(
            f"ndb sorts real samples into {n_bins} bins and needs at least {2 * n_bins}, but "
            f"data={data.name} has {count} {split} samples. Leave ndb out of metrics.scores."
        )
    width = torch.Size(data.shape).numel()
    fitted = min(count, FITTED_PER_BIN * n_bins, max(2 * n_bins, FITTED_VALUES // width))
    say(f"sorting {fitted:,} real samples of data={data.name} into {n_bins} bins for ndb, once.")
    chosen = [values.flatten(1) for values, _ in data.arrays(split, fitted)]
    centres = bin_centres(torch.cat(chosen), n_bins)
    counts = torch.zeros(n_bins, dtype=torch.int64)
    for values, _ in data.arrays(split, n_real):
        counts += bin_counts(values.flatten(1), centres)
    return {"centres": centres, "counts": counts}


def bin_centres(values: Tensor, n_bins: int) -> Tensor:
    """(K, d) float32: the k-means centres of samples (n, d), with a fixed seed."""
    from sklearn.cluster import KMeans  # takes a second to import

    means = KMeans(n_bins, n_init=1, max_iter=MOST_ITERATIONS, random_state=SEED, copy_x=False)
    means.fit(_scaled(values).float().numpy())
    return torch.from_numpy(means.cluster_centers_).float()


def _scaled(values: Tensor) -> Tensor:
    """float64; pixels in [0, 1]."""
    return values.double() / 255 if values.dtype == torch.uint8 else values.double()


class Bins(Measure):
    """In how many bins the shares of real and generated samples differ, and their divergence."""

    choices = ("ndb",)
    words = ("ndb", "ndb_js")
    smallest = (N_BINS, N_BINS)

    def build(self, setting: Setting) -> Metric:
        bins = real_bins(setting.data, setting.split, setting.real_side.count)
        return BinCounts(bins["centres"], bins["counts"])

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.samples.flatten(1))

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"bins": N_BINS} | WITHOUT_BACKBONE
