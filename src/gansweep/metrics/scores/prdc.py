"""Precision, recall, density and coverage, from neighbourhoods of real and generated samples.

Distances come from float32 matrix products in blocks of bounded size. If rounding could decide
which samples are nearest, these are searched again in float64; if it could decide a comparison, the
distance is computed again from float64 differences. So copies have distance 0, and a sample exactly
on the edge of a neighbourhood is outside.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.metrics.features.backbone import full_precision
from gansweep.metrics.measure import Measure, Setting
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.protocol import Protocol

KS = (3, 5)  # k of precision and recall, and of density and coverage, as published
BLOCK = 2**23  # distances at once: 32 MiB
PAIRS = 4096  # differences at once: 64 MiB at d = 2048
SPARE = 2  # extra candidate neighbours: rounding swaps the last ones, and rarely more


def radii(x: Tensor, ks: Sequence[int] = KS) -> Tensor:
    """Distance of every sample to its k-th nearest other sample, for each k: (n, len(ks)) float64.

    x: (n, d), n > max(ks). An exact copy of a sample is another sample, at distance 0.
    Raises: ValueError for too few samples.
    """
    k = max(ks)
    if len(x) <= k:
        raise ValueError(
            f"{len(x)} samples are too few for neighbourhoods of {k} nearest others: give at "
            f"least {k + 1}."
        )
    rows, bounds = _nearest_others(x, min(k + SPARE, len(x) - 1))
    distances, _ = _settled(x, x, rows, bounds, k, others=True)
    return distances[:, [each - 1 for each in ks]]


def nearest(points: Tensor, reference: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """The k nearest rows of `reference` of each point.

    points: (n, d).   reference: (m, d), m >= k.
    Returns: distances (n, k) float64, in increasing order, and the rows (n, k) int64.
    """
    center = _center(reference)
    centered = reference.float() - center
    squares = _least_squares(centered)
    bounds, rows = [], []
    for span in _spans(len(points), len(reference)):
        part = points[span].float() - center
        block = _squared_distances(part, centered, _least_squares(part), squares)
        least, columns = block.topk(min(k + SPARE, len(reference)), largest=False)
        bounds.append(least[:, -1])
        rows.append(columns)
    return _settled(points, reference, torch.cat(rows), torch.cat(bounds), k)


@torch.no_grad()
def neighbour_scores(
    real: Tensor, fake: Tensor, real_radii: Tensor | None = None, ks: tuple[int, int] = KS
) -> dict[str, Tensor]:
    """Precision, recall, density and coverage, each a 0-dim float64 tensor.

    real: (n, d), n > max(ks).   fake: (m, d), m > ks[0].
    real_radii: `radii(real, ks)`, if it is already known.
    precision: share of fakes that are nearer to some real sample than that sample's ks[0]-th
        nearest other real one.
    recall: the same with real and fake exchanged.
    density: the number of real neighbourhoods (up to the ks[1]-th nearest) that contain a fake,
        over ks[1], as a mean over the fakes. 1 for equal distributions, more if fakes crowd where
        real samples are dense.
    coverage: share of these neighbourhoods that contain a fake.
    "Nearer" is strict, and a sample is not its own neighbour, as in the published code.
    Source: Kynkaanniemi et al. 2019, arXiv:1904.06991, Eq. 1-2; Naeem et al. 2020,
    arXiv:2002.09797, Eq. 3-4.
    """
    of_real = radii(real, ks) if real_radii is None else real_radii
    of_fake = radii(fake, ks[:1])[:, 0]
    precise = torch.zeros(len(fake), dtype=torch.bool, device=real.device)
    recalled, covered, inside = [], [], 0
    for narrow, wide, around_fake in _inside(real, fake, of_real, of_fake):
        precise |= _any(narrow, 0)
        recalled.append(_any(around_fake, 1))
        covered.append(_any(wide, 1))
        inside += int(wide.count_nonzero())
    return {
        "precision": precise.double().mean(),
        "recall": torch.cat(recalled).double().mean(),
        "density": precise.new_tensor(inside / (ks[1] * len(fake)), dtype=torch.float64),
        "coverage": torch.cat(covered).double().mean(),
    }


def neighbours(real: Tensor, real_radii: Tensor | None = None) -> OrderedSamples:
    """`neighbour_scores` of features: precision, recall, density, coverage.

    real: (n, d) on the metric's device.   real_radii: `radii(real)`; None: computed here.
    Samples numbered n or more are left out: both sides have equally many, because neighbourhoods
    shrink and coverage grows with the number of fakes.
    """
    of_real = radii(real) if real_radii is None else real_radii
    return OrderedSamples(lambda fake: neighbour_scores(real, fake, of_real), limit=len(real))


def _inside(
    real: Tensor, fake: Tensor, of_real: Tensor, of_fake: Tensor
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Which pairs are nearer than the radii, for blocks of c real samples: three (c, m) bool.

    The first two masks use of_real (n, 2), the third uses of_fake (m,).
    """
    center = _center(real)
    centered = fake.float() - center
    slack = _slack(centered)
    squares = _squares(centered)
    for span in _spans(len(real), len(fake)):
        part = real[span].float() - center
        part_squares = _squares(part)
        band = slack * (part_squares[:, None] + squares)
        far = _squared_distances(part, centered, part_squares, squares).add_(band)
        near = torch.sub(far, band, alpha=2, out=band)
        limits = *of_real[span].split(1, 1), of_fake[None]
        masks = [far < limit.square().float() for limit in limits]
        unsure = torch.zeros_like(masks[0])
        for mask, limit in zip(masks, limits, strict=True):
            unsure |= mask ^ (near < limit.square().float())
        rows = _any(unsure, 1).nonzero()[:, 0]  # few; on a CPU nonzero is slow
        i, j = unsure[rows].nonzero(as_tuple=True)
        i = rows[i]
        exact = _pair_distances(real[span], fake, i, j)
        for mask, limit in zip(masks, limits, strict=True):
            mask[i, j] = exact < limit.expand_as(mask)[i, j]
        yield masks[0], masks[1], masks[2]


def _any(mask: Tensor, dim: int) -> Tensor:
    """mask.any(dim), which on a CPU takes many times as long."""
    return mask.view(torch.uint8).amax(dim).bool()


def _nearest_others(x: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k other rows that seem nearest to each row: (n, k) int64, in no particular order.

    Each pair is computed once: a block is compared only with itself and the rows after it.
    Also returns a bound (n,): no squared distance to a row that is left out is below it.
    """
    x = x.float() - _center(x)
    squares = _least_squares(x)
    best = torch.full((len(x), k), torch.inf, device=x.device)
    rows = torch.zeros(len(x), k, dtype=torch.int64, device=x.device)

    def merge(part: slice, block: Tensor, first: int) -> None:
        values, columns = block.topk(min(k, block.shape[1]), largest=False)
        values = torch.cat([best[part], values], 1)
        candidates = torch.cat([rows[part], columns + first], 1)
        best[part], places = values.topk(k, largest=False)
        rows[part] = candidates.gather(1, places)

    for span in _spans(len(x), len(x)):
        start, stop = span.start, span.stop
        block = _squared_distances(x[span], x[start:], squares[span], squares[start:])
        block.diagonal().fill_(torch.inf)
        merge(span, block, start)
        if stop < len(x):
            merge(slice(stop, len(x)), block[:, stop - start :].T, start)
    return rows, best[:, -1]


def _settled(
    x: Tensor, y: Tensor, rows: Tensor, bounds: Tensor, k: int, *, others: bool = False
) -> tuple[Tensor, Tensor]:
    """The k nearest rows of y of each row of x: distances (n, k) float64 in order, rows (n, k).

    rows: (n, c), c >= k, the candidates.   bounds: (n,), a lower bound of the squared distances to
    all that are none. Where it does not exclude these, all rows are searched again: in float64
    products, and where these do not resolve the distances either, in differences.
    others: x is y, and no row is a neighbour of its own.
    """
    distances, rows, unsure = _first(x, y, rows, bounds, k)
    center, step = _center(y), max(1, BLOCK // (4 * len(y)))
    for search in (_by_products, _by_differences):
        left = [unsure[:0]]
        for start in range(0, len(unsure), step):
            part = unsure[start : start + step]
            block = search(x[part], y, center)
            if others:
                block.scatter_(1, part[:, None], torch.inf)
            least, columns = block.topk(min(k + SPARE, len(y) - others), largest=False)
            distances[part], rows[part], again = _first(x[part], y, columns, least[:, -1], k)
            left.append(part[again])
        unsure = torch.cat(left)
    return distances, rows


def _first(
    x: Tensor, y: Tensor, rows: Tensor, bounds: Tensor, k: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The k nearest of the candidates, as in `_settled`, and the places where others may be."""
    distances, places = _distances(x, y, rows).sort(stable=True, dim=1)
    last = distances[:, k - 1]
    unsure = (last.square() > bounds) & (last > 0)  # nothing is nearer than a copy
    return distances[:, :k], rows.gather(1, places)[:, :k], unsure.nonzero()[:, 0]


def _by_products(x: Tensor, y: Tensor, center: Tensor) -> Tensor:
    """(n, m) float64: lower bounds of the squared distances, from float64 products."""
    x, parts = x.double() - center, []
    squares = _least_squares(x)
    for part in y.split(PAIRS):
        near = part.double() - center
        parts.append(_squared_distances(x, near, squares, _least_squares(near)))
    return torch.cat(parts, 1)


def _by_differences(x: Tensor, y: Tensor, center: Tensor) -> Tensor:
    """(n, m) float64: the squared distances, which takes ten times as long."""
    exact = "donot_use_mm_for_euclid_dist"
    x = x.double()
    parts = [torch.cdist(x, part.double(), compute_mode=exact) for part in y.split(PAIRS)]
    return torch.cat(parts, 1).square_()


def _spans(n: int, m: int) -> Iterator[slice]:
    """Parts of n rows whose distances to m other rows fit in one block."""
    step = max(1, BLOCK // m)
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))


def _center(x: Tensor) -> Tensor:
    """The median of some samples, which no outlier moves: without it products lose more digits."""
    return x[:: max(1, len(x) // 500)].float().median(0).values


def _squares(x: Tensor) -> Tensor:
    return x.square().sum(1)


def _slack(x: Tensor) -> float:
    """How far rounding may move a squared distance, for each unit of the two squared norms.

    Sums of d products in x's precision: their error grows like a random walk, as sqrt(d).
    """
    return 2 * torch.finfo(x.dtype).eps * max(4.0, x.shape[1] ** 0.5)


def _least_squares(x: Tensor) -> Tensor:
    """The squared norms that make `_squared_distances` lower bounds of the true ones: (n,)."""
    return _squares(x).mul_(1 - _slack(x))


def _squared_distances(x: Tensor, y: Tensor, x_squares: Tensor, y_squares: Tensor) -> Tensor:
    """(n, m) from x (n, d) to y (m, d), in their precision; rounding can make them negative."""
    with full_precision():
        return torch.addmm(y_squares, x, y.T, alpha=-2).add_(x_squares[:, None])


def _distances(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
    """|x[i] - y[rows[i, j]]| computed from differences: (n, k) float64."""
    first = torch.arange(len(x), device=x.device).repeat_interleave(rows.shape[1])
    return _pair_distances(x, y, first, rows.flatten()).view(rows.shape)


def _pair_distances(x: Tensor, y: Tensor, i: Tensor, j: Tensor) -> Tensor:
    """|x[i] - y[j]| computed from differences: (p,) float64."""
    parts = zip(i.split(PAIRS), j.split(PAIRS), strict=True)
    return torch.cat([(x[a].double() - y[b].double()).square().sum(1).sqrt() for a, b in parts])


class Fidelity(Measure):
    """Precision, recall, density and coverage, from one pass over the distances."""

    choices = words = ("precision", "recall", "density", "coverage")
    smallest = (max(KS) + 1, max(KS) + 1)
    needs_features = True

    def build(self, setting: Setting) -> Metric:
        """The radii of the real samples are computed once and cached with the real side."""
        real, n = setting.real_side, _pair_count(setting)
        chosen = real.subset(n)
        name = f"neighbour-radii-{'-'.join(map(str, KS))}-{n}"
        found = real.cached(name, lambda: {"radii": radii(chosen).cpu()})
        return neighbours(chosen, found["radii"].to(setting.device))

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return dict.fromkeys(("n_fake", "n_real"), _pair_count(setting))


def _pair_count(setting: Setting) -> int:
    """The number of samples on each side: neighbourhoods need equally many to compare."""
    return min(setting.n_fake, setting.real_side.count)
