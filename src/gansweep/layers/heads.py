"""What a discriminator makes of the features of a sample: the last step to its score.

A head is built as head(n_features, n_classes) and called as head(features, labels): features
(N, n_features), labels (N,) int64 or None, to scores (N,), unbounded.
"""

from collections.abc import Callable

from torch import Tensor, nn

from gansweep.errors import UserError

Head = Callable[[int, int | None], nn.Module]


class Linear(nn.Linear):
    """One weight for each feature."""

    def __init__(self, n_features: int, n_classes: int | None = None) -> None:
        super().__init__(n_features, 1)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features).squeeze(1)


class Projection(nn.Module):
    """psi(h) + <e(y), h>: a linear score, and how far the features point along the label's vector.

    Source: Miyato & Koyama 2018, arXiv:1802.05637, Section 3 and Figure 1d.
    Raises: UserError where the discriminator gets no classes.
    """

    def __init__(self, n_features: int, n_classes: int | None) -> None:
        super().__init__()
        if n_classes is None:
            raise UserError(
                "A projection discriminator judges samples with their labels. Set "
                "model.conditional=true and use labelled data, or remove model.discriminator.head."
            )
        self.linear = nn.Linear(n_features, 1)
        self.embedding = nn.Embedding(n_classes, n_features)
        nn.init.xavier_uniform_(self.embedding.weight)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        return self.linear(features).squeeze(1) + (self.embedding(labels) * features).sum(dim=1)
