"""Mode coverage: which modes of the data the generator has, and in which shares."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gansweep.data.source import Mixture

MAX_SIGMAS = 3.0


@dataclass(frozen=True, slots=True)
class ModeCoverage:
    """counts: good samples of each mode, in the mixture's or the classes' order.

    A good (high-quality) sample lies near a mode; the others belong to none and are counted
    nowhere but in `samples`.
    """

    counts: list[int]
    weights: list[float]
    samples: int

    @property
    def captured(self) -> int:
        """Modes with at least one good sample."""
        return sum(count > 0 for count in self.counts)

    @property
    def high_quality(self) -> float:
        """Share of good samples, 0 to 1."""
        return sum(self.counts) / self.samples

    @property
    def reverse_kl(self) -> float:
        """KL(histogram of the good samples || true shares) in nats, 0 at best.

        The histogram leaves out samples of no mode, as the authors of PacGAN count: otherwise
        noise all over the plane would score well. Without a good sample it is the largest value
        it can have, as if all fell into the rarest mode. N perfect samples of K modes give
        about (K - 1) / 2N.
        Source: Lin et al. 2018, arXiv:1712.04086, Section 4.1.
        """
        good = sum(self.counts)
        if not good:
            return -math.log(min(weight for weight in self.weights if weight > 0))
        shares = [(count / good, w) for count, w in zip(self.counts, self.weights, strict=True)]
        if any(q > 0 and w == 0 for q, w in shares):
            return math.inf
        return max(0.0, sum(q * math.log(q / w) for q, w in shares if q > 0))


def mixture_modes(points: Tensor, mixture: Mixture) -> ModeCoverage:
    """Each point belongs to the mode nearest in Mahalanobis distance, and is good below 3 sigma.

    points: (N, D). Of true 2D data 1 - exp(-9/2) = 98.89 % are good.
    Source: Lin et al. 2018, arXiv:1712.04086, Section 4.1.
    """
    points = points.detach().cpu().double()
    # the modes are round and equally wide, so the nearest mean is the nearest mode
    distance, mode = (torch.cdist(points, mixture.means) / mixture.sigma).min(1)
    counts = mode[distance < MAX_SIGMAS].bincount(minlength=len(mixture.means))
    return ModeCoverage(counts.tolist(), mixture.weights.tolist(), len(points))


def min_confidence(n_classes: int) -> float:
    """Half way between a guess, 1/K, and certainty."""
    return (1 + 1 / n_classes) / 2


def class_modes(logits: Tensor, class_counts: Tensor) -> ModeCoverage:
    """Classes as modes: a sample belongs to its most probable class, if that is sure enough.

    logits: (N, K) of the data set's own classifier, which has learnt to doubt what is none of
    its classes.   class_counts: (K,) real samples of each class, whose shares are the true ones.
    """
    n_classes = logits.shape[1]
    confidence, label = logits.detach().cpu().double().softmax(1).max(1)
    counts = label[confidence > min_confidence(n_classes)].bincount(minlength=n_classes)
    weights = class_counts.double() / class_counts.sum()
    return ModeCoverage(counts.tolist(), weights.tolist(), len(logits))
