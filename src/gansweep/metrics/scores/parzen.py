"""Parzen-window log-likelihood: how probable are held-out images under kernels at the samples?

A Gaussian kernel of one width stands at each generated sample. The score of the first GAN papers,
kept to reproduce their tables. It says little about a model: in 784 dimensions the estimate does
not approach the true likelihood with any number of samples that can be drawn, centroids of a
k-means score above the training images themselves, and it ranks models unlike their likelihoods
(Theis et al. 2016, arXiv:1511.01844, Section 3.2).
Source: Goodfellow et al. 2014, arXiv:1406.2661, Section 5; the widths and the 1,000 validation
images are those of the authors' script, parzen_ll.py.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource, Split
from gansweep.metrics.measure import WITHOUT_BACKBONE, Measure, Seen, Setting
from gansweep.metrics.ordered import OrderedSamples, Scores
from gansweep.metrics.protocol import Protocol

BANDWIDTHS = tuple(10 ** (i / 9 - 1) for i in range(10))  # from 0.1 to 1, of pixels in [0, 1]
N_BANDWIDTH = 1_000  # validation images that choose the bandwidth
LARGEST = 3_072  # numbers of an image: 32x32 in colour
SLICE = 2**22  # float64 numbers at a time, of samples and of distances: 32 MiB each


def parzen_log_likelihood(x: Tensor, samples: Tensor, bandwidth: float) -> Tensor:
    """log of the mean of N(x; sample, bandwidth^2 I) over all samples: (m,) float64, in nats.

    x: (m, d).   samples: (n, d). Both in [0, 1], or uint8, which is divided by 255.
    Distances are computed in float64, which for uint8 is exact; memory is bounded by SLICE.
    Raises: ValueError for an empty side, different widths, or a bandwidth that is not positive.
    """
    return _log_likelihoods(x, samples, (bandwidth,))[:, 0]


def best_bandwidth(x: Tensor, samples: Tensor, bandwidths: tuple[float, ...] = BANDWIDTHS) -> float:
    """The bandwidth under which x (m, d) have the largest mean log-likelihood."""
    means = _log_likelihoods(x, samples, bandwidths).mean(0)
    return bandwidths[int(means.argmax())]


def parzen(validation: Tensor, held_out: Tensor) -> OrderedSamples:
    """Mean log-likelihood of held-out images, with the bandwidth that suits validation images best.

    validation: (v, d), held_out: (m, d), uint8, m >= 2, on the metric's device.
    Gives "parzen" in nats, "parzen_std", its standard error over the held-out images (sd /
    sqrt(m), of the samples as they are), and "parzen_bandwidth".
    Raises: ValueError as `parzen_log_likelihood`, or for fewer than 2 held-out images.
    """
    if len(held_out) < 2:
        raise ValueError(f"No standard error of {len(held_out)} held-out images: give 2 or more.")

    def scores(samples: Tensor) -> Scores:
        bandwidth = best_bandwidth(validation, samples)
        each = parzen_log_likelihood(held_out, samples, bandwidth)
        error = each.std() / math.sqrt(len(each))
        chosen = torch.tensor(bandwidth, dtype=torch.float64)
        return {"parzen": each.mean(), "parzen_std": error, "parzen_bandwidth": chosen}

    return OrderedSamples(scores, dtype=torch.uint8)


def _log_likelihoods(x: Tensor, samples: Tensor, bandwidths: tuple[float, ...]) -> Tensor:
    """(m, len(bandwidths)) float64."""
    if not len(x) or not len(samples) or x.shape[1] != samples.shape[1]:
        raise ValueError(
            f"Images {tuple(x.shape)} have no likelihood under kernels at samples "
            f"{tuple(samples.shape)}: give both sides as (n, d), neither empty."
        )
    if min(bandwidths) <= 0:
        raise ValueError(f"A bandwidth of {min(bandwidths):g} is no width. Use 0.2, say.")
    width = x.shape[1]
    columns = max(1, SLICE // width)
    rows = max(1, SLICE // max(width, min(columns, len(samples))))
    narrow = torch.tensor(bandwidths, dtype=torch.float64, device=x.device)
    # log-sum-exp of -|x - s|^2 / (2 h^2) over the samples s
    sums = []
    for part in x.split(rows):
        total = torch.full((len(part), len(bandwidths)), -math.inf, device=x.device).double()
        for kernels in samples.split(columns):
            distances = _squared_distances(part, kernels)
            for i, h in enumerate(bandwidths):
                new = torch.logsumexp(distances / (-2 * h * h), 1)
                total[:, i] = torch.logaddexp(total[:, i], new)
        sums.append(total)
    return torch.cat(sums) - math.log(len(samples)) - width * (narrow * math.sqrt(math.tau)).log()


def _squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """(n, m) float64, of (n, d) and (m, d); pixels in [0, 1]."""
    scale = 255.0 if a.dtype == torch.uint8 else 1.0
    if (b.dtype == torch.uint8) != (a.dtype == torch.uint8):
        raise ValueError(f"Images of {a.dtype} and samples of {b.dtype}: give both as one type.")
    a, b = a.double(), b.double()
    squares = a.square().sum(1)[:, None] + b.square().sum(1)
    return squares.addmm_(a, b.T, alpha=-2).clamp_min_(0).div_(scale**2)


class Parzen(Measure):
    """The log-likelihood of held-out images under Gaussian kernels at the samples."""

    choices = ("parzen",)
    words = ("parzen", "parzen_bandwidth")
    needs_held_out = True

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        if backbone is None:
            return "it compares images"
        if math.prod(data.shape) > LARGEST:
            return f"it is for images of at most {LARGEST:,} numbers"
        if not data.count("validation"):
            return (
                "it chooses a bandwidth on validation images, and data.n_validation sets none aside"
            )
        return ""

    def build(self, setting: Setting) -> Metric:
        validation, first = _images(setting, "validation"), self._n_bandwidth(setting)
        steers = setting.held_out == "validation"
        held_out = validation[first:] if steers else _images(setting, setting.held_out)
        return parzen(validation[:first], held_out)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.samples.flatten(1))

    def protocol(self, setting: Setting, word: str) -> Protocol:
        data, split, first = setting.data, setting.held_out, self._n_bandwidth(setting)
        return {
            "n_real": data.count(split) - (first if split == "validation" else 0),
            "split": split,
            "n_validation": data.n_set_aside or None,
            "data_fingerprint": f"{data.fingerprint('validation')}-{data.fingerprint(split)}",
            "n_bandwidth": first,
            "bandwidths": [round(h, 6) for h in BANDWIDTHS],
        } | WITHOUT_BACKBONE

    def _n_bandwidth(self, setting: Setting) -> int:
        """Of the validation images; where these are the held-out ones too, at most half."""
        count = setting.data.count("validation")
        return min(N_BANDWIDTH, count // 2 if setting.held_out == "validation" else count)


def _images(setting: Setting, split: Split) -> Tensor:
    """(n, d) uint8 on the setting's device."""
    parts = [images.flatten(1) for images, _ in setting.data.arrays(split)]
    return torch.cat(parts).to(setting.device)
