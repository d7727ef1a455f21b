"""Heads that tell classes apart: features (N, n_features) to logits (N, n_classes)."""

from torch import Tensor, nn

from gansweep.layers.noisy import NormalizedLinear


class ClassLogits(nn.Linear):
    """One linear score for each class."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)


class NormalizedClassLogits(NormalizedLinear):
    """The same with weight normalisation (Salimans et al. 2016, arXiv:1606.03498, Section 5)."""

    def __init__(self, n_features: int, n_classes: int) -> None:
        super().__init__(n_features, n_classes, learn_scale=True)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)
