"""What a discriminator makes of the features of a sample: the last step to its score.

A head is built as head(n_features, n_classes) and called as head(features, labels): features
(N, n_features), labels (N,) int64 or None, to scores (N,), unbounded.
"""

from collections.abc import Callable

from torch import Tensor, nn

Head = Callable[[int, int | None], nn.Module]


class Linear(nn.Linear):
    """One weight for each feature."""

    def __init__(self, n_features: int, n_classes: int | None = None) -> None:
        super().__init__(n_features, 1)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features).squeeze(1)
