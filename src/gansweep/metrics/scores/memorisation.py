"""Memorisation: do generated samples lie nearer to the training set than held-out real ones?"""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.metrics.measure import Measure, Setting
from gansweep.metrics.ordered import OrderedSamples, Scores
from gansweep.metrics.protocol import Protocol
from gansweep.metrics.reference import real_side
from gansweep.metrics.scores.prdc import nearest
from gansweep.records.notation import plural


def memorisation(train_features: Tensor, test_features: Tensor) -> OrderedSamples:
    """P(d(generated) < d(held out)), where d is the distance to the nearest training sample.

    Distances are in feature space; a tie counts 1/2. 0.5: as near as held-out real ones. Towards
    1: copies of training samples. Towards 0: far from all real ones.
    This is U / (n m) of the Mann-Whitney test. The paper reports its z-score, which grows with the
    number of samples.
    Gives "memorisation" and "memorisation_std", its standard error over both samples.

    train_features: (n_train, d).   test_features: (m, d), at least 2 held-out samples. Both on
    the metric's device.
    Raises: ValueError for too few samples or different widths; `compute` also for fewer than 2
    generated samples.
    Source: Meehan et al. 2020, arXiv:2004.05675 (the global test). Standard error: DeLong et al.
    1988, Biometrics 44(3).
    """
    if train_features.shape[1] != test_features.shape[1]:
        raise ValueError(
            f"train_features have {train_features.shape[1]} numbers a sample, test_features "
            f"{test_features.shape[1]}: take both from one feature space."
        )
    if len(train_features) < 1 or len(test_features) < 2:
        raise ValueError(
            f"{len(train_features)} training and {len(test_features)} held-out samples are "
            "too few to compare distances: give at least 1 and 2."
        )
    test_distances = nearest(test_features, train_features)[0][:, 0]

    def scores(features: Tensor) -> Scores:
        if len(features) < 2:
            count = plural(len(features), "generated sample")
            raise ValueError(f"No standard error of {count}: give 2 or more.")
        distances = nearest(features, train_features)[0][:, 0]
        share, error = share_below(distances, test_distances)
        return {"memorisation": share, "memorisation_std": error}

    return OrderedSamples(scores)


def share_below(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """P(a < b) + P(a = b) / 2 over all pairs, and its standard error: 0-dim float64.

    a: (n,).   b: (m,).   n, m >= 2.   In O((n + m) log(n + m)) time.
    """
    of_a = 1 - _share_under(a, b)
    of_b = _share_under(b, a)
    error = (of_a.var() / len(a) + of_b.var() / len(b)).sqrt()
    return of_a.mean(), error


def _share_under(values: Tensor, others: Tensor) -> Tensor:
    """(n,) float64: for each value the share of `others` below it; a tie counts 1/2."""
    values, ordered = values.contiguous(), others.sort().values
    below = torch.searchsorted(ordered, values)
    up_to = torch.searchsorted(ordered, values, right=True)
    return (below + up_to).double() / (2 * len(others))


class Copying(Measure):
    """Memorisation: do samples lie nearer to the training images than held-out ones do?"""

    choices = words = ("memorisation",)
    needs_held_out = True

    def build(self, setting: Setting) -> Metric:
        assert setting.backbone is not None
        sides = [
            real_side(setting.data, split, None, setting.backbone, with_features=True).features
            for split in ("train", setting.held_out)
        ]
        train, held_out = (side.to(setting.device) for side in sides if side is not None)
        return memorisation(train, held_out)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        data, split = setting.data, setting.held_out
        return {
            "n_real": data.count(split),
            "split": split,
            "n_validation": data.n_set_aside or None,
            "data_fingerprint": f"{data.fingerprint('train')}-{data.fingerprint(split)}",
        }
