"""The Vendi score: the effective number of different samples, by how alike each two are.

Source: Friedman and Dieng 2022, arXiv:2210.02410.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gansweep.data.source import DataSource
from gansweep.metrics.measure import WITHOUT_REAL, Measure, Setting
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.protocol import Protocol


class Diversity(Measure):
    """The Vendi score, with a cosine kernel of order 1; it looks at no real image."""

    choices = ("vendi",)
    words = ("vendi",)

    def least(self, data: DataSource) -> tuple[int, int]:
        return 1, 0

    def build(self, setting: Setting) -> Vendi:
        return Vendi()

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"kernel": "cosine", "order": 1} | WITHOUT_REAL


class Vendi(OrderedSamples):
    """exp of the Shannon entropy of the eigenvalues of K / n, K_ij the cosine of two features.

    From 1, all samples alike, to n, all orthogonal. Features of at least 0, as behind a ReLU, are
    never opposite, so real data lie far below n.
    """

    higher_is_better = True

    def compute(self) -> dict[str, Tensor]:
        """{"vendi"}, float64.   Raises: ValueError for a sample without any feature."""
        return {"vendi": vendi_score(self.ordered())}


def vendi_score(features: Tensor) -> Tensor:
    """Of (n, d) features, 0-dim float64.

    The eigenvalues other than 0 are those of the smaller of X X^T and X^T X, X the unit features.
    Raises: ValueError where a row is 0, whose direction is none.
    """
    features = features.double()
    lengths = features.norm(dim=1, keepdim=True)
    if empty := int((lengths == 0).sum()):
        raise ValueError(
            f"{empty} of {len(features)} samples have features that are all 0, which have no "
            "cosine: look for a dead feature network."
        )
    unit = features / lengths
    products = unit @ unit.T if len(unit) <= unit.shape[1] else unit.T @ unit
    shares = torch.linalg.eigvalsh(products / len(unit)).clamp_min(0)
    return torch.special.entr(shares).sum().exp()
