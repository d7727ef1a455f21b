"""Features that show a discriminator how alike the samples of a batch are.

Source: Salimans et al. 2016, arXiv:1606.03498, Section 3.2.
"""

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Width
from gansweep.errors import UserError


class MinibatchDiscrimination(nn.Module):
    """A head: features (N, A) -> scores (N,), from the features and their closeness to the others'.

    Each sample's features times a tensor (A, B, C) are B rows of C numbers; row b of sample i is
    close to that of sample j by exp(-|M_ib - M_jb|_1), and the sum over all j, itself included,
    joins the features before the last linear layer. Of several processes each compares its own
    slice of the batch, so the sums are smaller there.
    n_kernels: B.   kernel_dim: C; 100 and 5 in the authors' code. Memory grows with N^2 B C.
    Raises: UserError where the discriminator is given classes, which only its head could judge by.
    """

    compares_samples = True  # so real and generated samples are never judged in one batch

    def __init__(
        self, n_features: int, n_classes: int | None = None, *, n_kernels: Width, kernel_dim: Width
    ) -> None:
        super().__init__()
        if n_classes is not None:
            raise UserError(
                "minibatch discrimination takes the place of the head by which this discriminator "
                "judges samples with their labels. Leave term=minibatch_discrimination out, or use "
                "model=cgan, whose discriminator sees labels beside the image."
            )
        # the size at which rows of unit features lie about 1 apart, however many features
        spread = (n_features * kernel_dim) ** -0.5
        self.kernels = nn.Parameter(torch.randn(n_features, n_kernels, kernel_dim) * spread)
        self.output = nn.Linear(n_features + n_kernels, 1)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.output(torch.cat([features, self.closeness(features)], 1)).squeeze(1)

    def closeness(self, features: Tensor) -> Tensor:
        """(N, A) -> (N, B), each from 1, alone, to N, all alike."""
        rows = torch.einsum("na,abc->nbc", features, self.kernels)
        distances = (rows[:, None] - rows[None]).abs().sum(3)
        return torch.exp(-distances).sum(1)
