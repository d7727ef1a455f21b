"""The one-sided gradient penalty, as an example of a penalty of one's own."""

from collections.abc import Mapping

import torch
from torch import Tensor

from gansweep.terms.penalties import Discriminator, Penalty
from gansweep.terms.term import Noise


class OneSided(Penalty):
    """E max(0, |grad f(x^)| - 1)^2 at x^ = e x + (1 - e) G(z), one e ~ U[0, 1] a sample.

    weight: the paper's lambda, 10.
    Source: Petzka et al. 2018, arXiv:1709.08894, Eq. 8.
    """

    def noise(self, real: Tensor) -> Noise:
        return {"epsilon": ("uniform", (len(real),) + (1,) * (real.dim() - 1))}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draw: Mapping[str, Tensor]
    ) -> Tensor:
        points = torch.lerp(fake.detach(), real, draw["epsilon"].to(real)).requires_grad_(True)
        (gradients,) = torch.autograd.grad(discriminator(points).sum(), points, create_graph=True)
        return (gradients.flatten(1).norm(dim=1) - 1).clamp(min=0).square().mean()
