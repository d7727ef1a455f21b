"""One-sided label smoothing, as an example of a loss of one's own."""

import math

from torch import Tensor
from torch.nn import functional as F

from gansweep.errors import UserError
from gansweep.terms.losses import Loss


class SmoothedNonSaturating(Loss):
    """The non-saturating loss with a target of 1 - smoothing for real samples.

    L_D = -(1 - s) E log D(x) - s E log(1 - D(x)) - E log(1 - D(G(z))),  L_G = -E log D(G(z)).
    smoothing: s, from 0 up to 1/2.   Raises: UserError for other values.
    Source: Salimans et al. 2016, arXiv:1606.03498, Section 3.4.
    """

    kind = "logit"
    tie = math.log(4)  # all scores 0: (1 - s) log 2 + s log 2 + log 2

    def __init__(self, *, smoothing: float = 0.1) -> None:
        if not 0 <= smoothing < 0.5:
            raise UserError(f"smoothing={smoothing} must be from 0 to below 0.5. Use 0.1, say.")
        self.smoothing = smoothing

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        # softplus(-l) = -log sigmoid(l), softplus(l) = -log(1 - sigmoid(l))
        real = F.softplus(-real_scores).mean() * (1 - self.smoothing)
        smoothed = F.softplus(real_scores).mean() * self.smoothing
        return real + smoothed + F.softplus(fake_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return F.softplus(-fake_scores).mean()
