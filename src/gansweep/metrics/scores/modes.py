"""Mode coverage: which modes of the data the generator produces, and in which shares."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource, Mixture
from gansweep.metrics.measure import Measure, Seen, Setting, needs_classifier
from gansweep.metrics.ordered import as_scores
from gansweep.metrics.protocol import CONFIDENT_WORDS, MODE_WORDS, Protocol

CHUNK = 4096  # rows of logits in float64 at once


@dataclass(frozen=True, slots=True)
class ModeCoverage:
    """How many samples each mode has.

    counts: (K,) good samples of each mode, in the order of the mixture or of the classes. A good
        (high-quality) sample is near a mode. Other samples belong to no mode and count only in
        `samples`.
    weights: (K,) true shares of the modes, sum 1.
    """

    counts: list[int]
    weights: list[float]
    samples: int

    @property
    def captured(self) -> int:
        """Modes with at least one good sample; one whose true share is 0 is not to be found."""
        shares = zip(self.counts, self.weights, strict=True)
        return sum(count > 0 and share > 0 for count, share in shares)

    @property
    def high_quality(self) -> float:
        """Share of good samples, 0 to 1."""
        return sum(self.counts) / self.samples

    @property
    def in_no_mode(self) -> float:
        """Share of samples that belong to no mode, 0 to 1."""
        return 1 - self.high_quality

    @property
    def reverse_kl(self) -> float:
        """KL(histogram of the good samples || true shares) in nats, 0 at best.

        Samples of no mode are left out, as in PacGAN; otherwise noise all over the plane would
        score well. Without good samples it is that of all samples in the rarest mode. Perfect
        samples give `reverse_kl_floor` on average.
        Source: Lin et al. 2018, arXiv:1712.04086, Section 4.1.
        """
        if not any(self.counts):
            return -math.log(min(weight for weight in self.weights if weight > 0))
        weights = torch.tensor(self.weights, dtype=torch.float64)
        return divergence(torch.tensor(self.counts), weights)


def reverse_kl_floor(weights: Tensor, n: int) -> float:
    """The mean reverse KL, in nats, of n samples that are drawn from the weights themselves.

    weights: (K,), sum 1. It is about (K - 1) / 2n if every mode expects many samples.
    It is computed exactly: for a mode's count c from Binomial(n, w), E[c/n log(c/(n w))] is w
    times the mean of log((b + 1)/(n w)) over b from Binomial(n - 1, w).
    """
    weights = weights.detach().cpu().double()
    w, copies = weights[weights > 0].unique(return_counts=True)
    mean = (n - 1) * w
    reach = 12 * (mean * (1 - w)).sqrt() + 40  # beyond it less than 1e-20 of any binomial
    lowest = (mean - reach).clamp_min(0).floor()
    b = lowest[:, None] + torch.arange(2 * int(reach.max()) + 2, dtype=torch.float64)
    inside = b <= n - 1
    b = b.clamp_max(n - 1)
    w, rest = w[:, None], n - 1 - b
    log_chance = math.lgamma(n) - torch.lgamma(b + 1) - torch.lgamma(rest + 1)
    log_chance += torch.xlogy(b, w) + torch.xlogy(rest, 1 - w)
    means = (inside * log_chance.exp() * ((b + 1) / (n * w)).log()).sum(1)
    return max(0.0, float((copies * w[:, 0] * means).sum()))


def mixture_modes(points: Tensor, mixture: Mixture) -> ModeCoverage:
    """Assign each point to the mode with the nearest mean; near it the point is good.

    points: (N, D). A point is good within the mixture's `max_sigmas`. In the plane this is
    3 sigma, where 1 - exp(-9/2) = 98.89 % of true points are good.
    Source: Lin et al. 2018, arXiv:1712.04086, Section 4.1.
    """
    points = points.detach().cpu().double()
    # all modes are round and equally wide: the nearest mean is also the nearest by Mahalanobis
    distance, mode = (torch.cdist(points, mixture.means) / mixture.sigma).min(1)
    counts = mode[distance < mixture.max_sigmas].bincount(minlength=len(mixture.means))
    return ModeCoverage(counts.tolist(), mixture.weights.tolist(), len(points))


def min_confidence(n_classes: int) -> float:
    """The probability above which a prediction is confident: half way between 1/K and 1 (ours).

    For stacked images it applies to the triple of classes, so one strange channel is enough to
    belong to no mode. On stacked_digits 99.0 % of the training and 93.4 % of the test triples pass,
    and none with a channel of noise.
    """
    return (1 + 1 / n_classes) / 2


def divergence(shares: Tensor, reference: Tensor) -> float:
    """KL(shares || reference) in nats, both (K,) of any sum.

    Infinite if a class with a share has no reference share.
    """
    p, q = (side.detach().cpu().double() / side.sum().cpu() for side in (shares, reference))
    held = p > 0
    return max(0.0, float((p[held] * (p[held] / q[held]).log()).sum()))


def class_shares(data: DataSource, class_counts: Tensor) -> Tensor:
    """(K,) float64, sum 1: the shares that the classes of generated images should have.

    Those of the real samples, `class_counts` (K,); equal for stacked sets, as in published tables.
    """
    counts = class_counts.double() if data.stacked_from is None else torch.ones(len(class_counts))
    return counts.double() / counts.sum()


def class_modes(logits: Tensor, shares: Tensor) -> ModeCoverage:
    """Classes as modes: every sample belongs to its most probable class, whatever its probability.

    logits: (N, K) of the data set's own classifier, for stacked images of the triples.
    shares: (K,) of the true classes, of any sum, such as real counts.
    Source: Lin et al. 2018, arXiv:1712.04086, Section 4.2, after Srivastava et al. 2017,
    arXiv:1705.07761.
    """
    counts = logits.detach().argmax(1).bincount(minlength=logits.shape[1])
    return _coverage(counts.cpu(), shares, len(logits))


def confident_modes(logits: Tensor, shares: Tensor) -> ModeCoverage:
    """`class_modes` of the samples whose probability is above `min_confidence` (ours).

    The classifier was trained to be unsure of images outside its classes, so noise fills no mode.
    """
    n_classes = logits.shape[1]
    counts = torch.zeros(n_classes, dtype=torch.int64)
    for part in logits.detach().split(CHUNK):
        confidence, label = part.cpu().double().softmax(1).max(1)
        sure = label[confidence > min_confidence(n_classes)]
        counts += sure.bincount(minlength=n_classes)
    return _coverage(counts, shares, len(logits))


def _coverage(counts: Tensor, shares: Tensor, samples: int) -> ModeCoverage:
    weights = shares.double() / shares.sum()
    return ModeCoverage(counts.tolist(), weights.tolist(), samples)


class ModeCounts(Metric):
    """Captured modes, high quality and reverse KL of the samples of all processes.

    coverage_of: (n, d) samples -> their coverage.   weights: (K,) true shares of the modes.
    confident: as coverage_of, for confident samples only; None if there is one rule.
    """

    update_called = True  # no warning on a process that has no samples
    counts: Tensor
    confident_counts: Tensor
    samples: Tensor

    def __init__(
        self,
        coverage_of: Callable[[Tensor], ModeCoverage],
        weights: Tensor,
        confident: Callable[[Tensor], ModeCoverage] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.coverage_of, self.confident = coverage_of, confident
        self.weights = (weights.double() / weights.sum()).tolist()
        zeros = torch.zeros(len(weights), dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")
        self.add_state("confident_counts", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """values: points (n, D) or logits (n, K), as `coverage_of` takes them."""
        seen = self.coverage_of(values)
        self.counts += torch.tensor(seen.counts, device=self.counts.device)
        self.samples += seen.samples
        if self.confident is not None:
            sure = self.confident(values).counts
            self.confident_counts += torch.tensor(sure, device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """modes and reverse_kl (nats), high_quality and in_no_mode (0 to 1): 0-dim float64.

        mode_counts: (K,) float64. With `confident`, mode_counts, high_quality and in_no_mode
        count only confident samples, and confident_modes and confident_reverse_kl are added.
        """
        every = self._coverage(self.counts)
        good = every if self.confident is None else self._coverage(self.confident_counts)
        values = {
            "modes": every.captured,
            "reverse_kl": every.reverse_kl,
            "high_quality": good.high_quality,
            "in_no_mode": good.in_no_mode,
        }
        if self.confident is not None:
            values |= {"confident_modes": good.captured, "confident_reverse_kl": good.reverse_kl}
        counts = torch.tensor(good.counts, dtype=torch.float64)
        return as_scores(**values) | {"mode_counts": counts}

    def _coverage(self, counts: Tensor) -> ModeCoverage:
        return ModeCoverage(counts.tolist(), self.weights, int(self.samples))


class Modes(Measure):
    """Which components of a mixture, or which of the data's classes, the samples fill."""

    choices = ("modes",)
    words = MODE_WORDS
    lists = ("mode_counts",)

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return "" if data.mixture is not None else needs_classifier(backbone)

    def gives(self, data: DataSource) -> tuple[str, ...]:
        # a classifier's confidence finds images of no class, but does not measure quality
        others = ("high_quality",) if data.mixture is None else ("in_no_mode", *CONFIDENT_WORDS)
        return tuple(word for word in self.words if word not in others)

    def least(self, data: DataSource) -> tuple[int, int]:
        n = len(data.mixture.means) if data.mixture is not None else (data.n_classes or 1)
        return n, n

    def build(self, setting: Setting) -> Metric:
        mixture, shares = setting.data.mixture, true_shares(setting)
        if mixture is not None:
            return ModeCounts(partial(mixture_modes, mixture=mixture), shares)
        every, sure = (partial(rule, shares=shares) for rule in (class_modes, confident_modes))
        return ModeCounts(every, shares, confident=sure)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.samples if seen.logits is None else seen.logits)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        """Which samples count, and for a reverse KL the floor that a perfect generator has."""
        mixture = setting.data.mixture
        own: Protocol = {}
        if word in ("reverse_kl", "confident_reverse_kl"):
            own["floor"] = self._floor(setting)
        if mixture is not None:  # the components of a mixture have no names
            shares = true_shares(setting).tolist()
            if word == "mode_counts" and min(shares) < max(shares):
                own["mode_shares"] = [round(share, 12) for share in shares]
            return own | {"max_sigmas": mixture.max_sigmas, "sigma": mixture.sigma, "split": None}
        if word == "mode_counts":
            own["mode_names"] = setting.data.class_names
        if word in ("modes", "reverse_kl"):
            return own | {"counted": "every sample"}
        return own | {"min_confidence": min_confidence(setting.data.n_classes or 1)}

    def _floor(self, setting: Setting) -> float | None:
        """The mean reverse KL of a generator that makes exactly the requested classes.

        Without a request they follow the true shares. None if it is infinite.
        """
        shares = true_shares(setting)
        requested = asked_shares(setting)
        asked = shares if requested is None else requested
        floor = reverse_kl_floor(asked, setting.n_fake) + divergence(asked, shares)
        return round(floor, 6) if math.isfinite(floor) else None


def true_shares(setting: Setting) -> Tensor:
    """(K,) float64, sum 1, of the modes: the weights of a mixture, or `class_shares`.

    Equal for all that there are if the panel requests them equally often.
    """
    mixture = setting.data.mixture
    if mixture is not None:
        modes = len(mixture.weights)
        return mixture.weights if not setting.balanced else torch.ones(modes).double() / modes
    counts = setting.real_side.class_counts
    assert counts is not None
    return class_shares(setting.data, (counts > 0) if setting.balanced else counts)


def asked_shares(setting: Setting) -> Tensor | None:
    """(K,) float64, sum 1: the classes that the generator is asked for; None without a request."""
    labels = setting.data.labels_of("train") if setting.conditional else None
    if labels is None:
        return None
    counts = labels.bincount(minlength=setting.data.n_classes or 0)
    shares = (counts > 0).double() if setting.balanced else counts.double()
    return shares / shares.sum()
