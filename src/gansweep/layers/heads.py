"""What a discriminator makes of the features of a sample: its score, class, or code.

A head is built as head(n_features, n_classes) and called as head(features, labels): features
(N, n_features), labels (N,) int64 or None, to scores (N,), unbounded, if it says nothing else.
"""

from collections.abc import Callable

from torch import Tensor, nn

from gansweep.errors import UserError

Head = Callable[[int, int | None], nn.Module]
LEAK = 0.2


class Linear(nn.Linear):
    """One weight for each feature."""

    def __init__(self, n_features: int, n_classes: int | None = None) -> None:
        super().__init__(n_features, 1)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features).squeeze(1)


class ClassLogits(nn.Linear):
    """(N, n_features) -> (N, n_classes): one linear score for each class."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)


class Codes(ClassLogits):
    """(N, n_features) -> (N, n_outputs): an encoder's code, unbounded."""

    def __init__(self, n_features: int, n_classes: int | None = None, *, n_outputs: int) -> None:
        super().__init__(n_features, n_outputs)


class Auxiliary(Linear):
    """The score of Linear, and beside it `auxiliary`: (N, n_features) -> (N, n_outputs).

    These are a sample's class, or the code from which it was made.
    hidden: width of a layer between the features and those outputs; None for none.
    Source: Odena et al. 2017, arXiv:1610.09585, Section 3; Chen et al. 2016, arXiv:1606.03657,
        Section 4, whose Q shares all of D's layers but the last.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int | None = None,
        *,
        n_outputs: int,
        hidden: int | None = None,
    ) -> None:
        super().__init__(n_features, n_classes)
        layers: list[nn.Module] = []
        if hidden is not None:
            layers = [nn.Linear(n_features, hidden), nn.LeakyReLU(LEAK)]
        last = nn.Linear(hidden or n_features, n_outputs)
        self.auxiliary = nn.Sequential(*layers, last) if layers else last


def auxiliary_outputs(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """(N, n_outputs) of a discriminator that ends in an `Auxiliary` head."""
    features: Tensor = discriminator.features(samples)  # type: ignore[operator]
    outputs: Tensor = discriminator.output.auxiliary(features)  # type: ignore[union-attr, operator]
    return outputs


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
