"""The Vendi score: the effective number of different samples, from their pairwise similarities.

Source: Friedman and Dieng 2022, arXiv:2210.02410.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansweep.metrics.measure import WITHOUT_REAL, Measure, Setting
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.protocol import Protocol


class Diversity(Measure):
    """The Vendi score of order 1 with a cosine kernel. It uses no real images."""

    choices = words = ("vendi",)
    smallest = (1, 0)

    def build(self, setting: Setting) -> OrderedSamples:
        return OrderedSamples(lambda features: {"vendi": vendi_score(features)})

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"kernel": "cosine", "order": 1} | WITHOUT_REAL


def vendi_score(features: Tensor) -> Tensor:
    """exp of the Shannon entropy of the eigenvalues of K / n, where K_ij is a cosine of features.

    features: (n, d).   Returns: 0-dim float64, from 1 (all samples alike) to n (all orthogonal).
    Features after a ReLU are never opposite, so real data have far less than n.
    With the unit features X, X X^T and X^T X have the same eigenvalues except for zeros; the
    smaller one is used.
    Raises: ValueError for a row of zeros, which has no cosine.
    """
    features = features.double()
    lengths = features.norm(dim=1, keepdim=True)
    if empty := int((lengths == 0).sum()):
        raise ValueError(
            f"{empty} of {len(features)} samples have features that are all 0, so they have no "
            "cosine. Check whether the weights of the feature network are intact."
        )
    unit = features / lengths
    products = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    shares = torch.linalg.eigvalsh(products / len(unit)).clamp_min(0)
    return torch.special.entr(shares).sum().exp()
