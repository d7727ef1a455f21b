"""A head that tells more of a sample than its score: its class, or the code it was made from.

Source: Odena et al. 2017, arXiv:1610.09585, Section 3; Chen et al. 2016, arXiv:1606.03657,
Section 4, whose Q shares all of D's layers but the last.
"""

from torch import Tensor, nn

from gansweep.layers.heads import Linear

LEAK = 0.2


class Auxiliary(Linear):
    """The score of heads.Linear, and beside it `auxiliary`: (N, n_features) -> (N, n_outputs).

    hidden: width of a layer between the features and those outputs; None for none.
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
        self.auxiliary: nn.Module = (
            nn.Linear(n_features, n_outputs)
            if hidden is None
            else nn.Sequential(
                nn.Linear(n_features, hidden), nn.LeakyReLU(LEAK), nn.Linear(hidden, n_outputs)
            )
        )


def auxiliary_outputs(discriminator: nn.Module, samples: Tensor) -> Tensor:
    """(N, n_outputs) of a discriminator that ends in an `Auxiliary` head."""
    features: Tensor = discriminator.features(samples)  # type: ignore[operator]
    outputs: Tensor = discriminator.output.auxiliary(features)  # type: ignore[union-attr, operator]
    return outputs
