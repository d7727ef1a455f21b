"""The Inception score and the mode score: both reward confident and varied class predictions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource
from gansweep.metrics.features.backbones import WITH_CLASSES
from gansweep.metrics.measure import WITHOUT_REAL, Measure, Seen, Setting, needs_classifier
from gansweep.metrics.ordered import OrderedSamples, Scores, as_scores
from gansweep.metrics.protocol import Protocol
from gansweep.metrics.scores.modes import true_shares

IS_SPLITS = 10
PUBLISHED_SEED = 2020  # torch-fidelity's order of the images, so both give the same number
CHUNK = 4096  # rows turned to float64 at once


def inception_score(logits: Tensor, splits: int = IS_SPLITS) -> Scores:
    """exp of the mean KL(p(y|x) || p(y)): {"is", "is_std"}, mean and deviation over the splits.

    logits: (N, K) of any classifier, N >= splits.
    The variance divides by `splits`, not splits - 1, as in published tables.
    Raises: ValueError for fewer samples than splits.
    Source: Salimans et al. 2016, arXiv:1606.03498, Section 4.
    """
    if len(logits) < splits:
        raise ValueError(
            f"{len(logits)} samples are too few for {splits} splits of the Inception score: raise "
            "n_fake."
        )
    order = torch.from_numpy(np.random.RandomState(PUBLISHED_SEED).permutation(len(logits)))
    bounds = [split * len(logits) // splits for split in range(splits + 1)]
    scores = [
        _divergence(logits, order[start:end].to(logits.device)).exp()
        for start, end in zip(bounds, bounds[1:], strict=False)
    ]
    values = torch.stack(scores)
    return {"is": values.mean(), "is_std": values.std(correction=0)}


def mode_score(logits: Tensor, real_shares: Tensor) -> float:
    """exp(E KL(p(y|x) || p(y)) - KL(p(y) || p*(y))), where p* are the real shares of the classes.

    logits: (N, K) of a classifier of the data's own classes.   real_shares: (K,), positive.
    At most K: for confident predictions in equal shares that are also the real ones. 1 or below:
    for predictions without information, or of one rare class only.

    Che et al. 2017, arXiv:1612.02136, print E KL(p(y|x) || p*) - KL(p(y) || p*). There p* cancels
    and the Inception score is left. So we use the form of Xu et al. 2018, arXiv:1806.07755, in
    which missing modes lower the score.
    """
    rows = torch.arange(len(logits), device=logits.device)
    marginal = _marginal(logits, rows)
    real = real_shares.double().to(logits.device)
    missed = (marginal * (marginal.log() - (real / real.sum()).log())).sum()
    return (_divergence(logits, rows) - missed).exp().item()


def _divergence(logits: Tensor, rows: Tensor) -> Tensor:
    """Mean KL(p(y|x) || p(y)) over logits[rows], 0-dim float64."""
    log_marginal = _marginal(logits, rows).log()
    total = torch.zeros((), dtype=torch.float64, device=logits.device)
    for part in rows.split(CHUNK):
        log_p = logits[part].double().log_softmax(1)
        total += (log_p.exp() * (log_p - log_marginal)).sum()
    return total / len(rows)


def _marginal(logits: Tensor, rows: Tensor) -> Tensor:
    """p(y) over logits[rows], (K,) float64; kept above 0, so that no log gives -inf."""
    sums = [logits[part].double().softmax(1).sum(0) for part in rows.split(CHUNK)]
    shares = torch.stack(sums).sum(0) / len(rows)
    return shares.clamp_min(torch.finfo(shares.dtype).tiny)


def mode_metric(real_shares: Tensor) -> OrderedSamples:
    """`mode_score` of logits: {"mode_score"}.   real_shares: (K,) shares or counts of the classes.

    Raises: ValueError for a class without real samples.
    """
    missing = (real_shares <= 0).nonzero().flatten().tolist()
    if missing:
        raise ValueError(
            f"Class {missing[0]} has no real sample ({len(missing)} such classes), and the "
            "mode score compares with the real shares. Raise n_real, or leave mode_score out."
        )
    return OrderedSamples(lambda logits: as_scores(mode_score=mode_score(logits, real_shares)))


class Inception(Measure):
    """The Inception score over ten splits. It uses no real images."""

    choices = words = ("is",)
    smallest = (IS_SPLITS, 0)

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        if backbone is not None and backbone not in WITH_CLASSES:
            return f"it needs predicted classes, and {backbone} predicts no classes"
        return super().misfit(data, backbone, conditional)

    def build(self, setting: Setting) -> Metric:
        return OrderedSamples(inception_score)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.logits)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"splits": IS_SPLITS} | WITHOUT_REAL


class ModeScores(Measure):
    """The mode score, which compares with the real shares of the classes."""

    choices = words = ("mode_score",)

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return needs_classifier(backbone)

    def build(self, setting: Setting) -> Metric:
        return mode_metric(true_shares(setting))

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.logits)
