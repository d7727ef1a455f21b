"""Penalties on the discriminator's gradient with respect to its input.

A penalty is called as penalty(discriminator, real, fake, draw) and returns an unweighted scalar;
the discriminator's loss adds weight * penalty. `noise(real)` says which random tensors it needs, as
name -> (distribution, shape) with "uniform" on [0, 1) or "normal", the leading dimension being the
batch; the caller draws them, so that a penalty itself is a pure function.

real, fake: (N, C, H, W) or (N, D). The computation leaves autocast and keeps the dtype of `real`;
no gradient reaches the generator. A discriminator with batch normalisation mixes the samples of a
batch: then the gradient is that of the batch's sum, not of each sample's score.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Discriminator = Callable[[Tensor], Tensor]
Noise = dict[str, tuple[str, tuple[int, ...]]]


def input_gradients(discriminator: Discriminator, points: Tensor) -> Tensor:
    """Gradient of each sample's score, flattened: (N, features), differentiable once more."""
    points = points.detach().requires_grad_(True)
    with torch.autocast(device_type=points.device.type, enabled=False):
        scores = discriminator(points)
        (gradients,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
    return gradients.flatten(1)


def _squared_distance_from(target: float, gradients: Tensor) -> Tensor:
    return (torch.linalg.vector_norm(gradients, dim=1) - target).square().mean()


def _per_sample(real: Tensor) -> tuple[int, ...]:
    return (real.shape[0],) + (1,) * (real.dim() - 1)


class Penalty(ABC):
    def __init__(self, *, weight: float) -> None:
        self.weight = weight

    def noise(self, real: Tensor) -> Noise:
        """The random tensors that a call with this batch needs."""
        return {}

    @abstractmethod
    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draw: Mapping[str, Tensor]
    ) -> Tensor:
        """The penalty of one batch.   Returns: scalar, unweighted."""


class GradientPenalty(Penalty):
    """E(|grad f(x^)| - 1)^2 at x^ = e x + (1 - e) G(z), one e ~ U[0, 1] a sample.

    weight: the paper's lambda, 10.
    Source: Gulrajani et al. 2017, arXiv:1704.00028, Eq. 3 and Algorithm 1.
    """

    def noise(self, real: Tensor) -> Noise:
        return {"epsilon": ("uniform", _per_sample(real))}

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draw: Mapping[str, Tensor]
    ) -> Tensor:
        between = torch.lerp(fake.detach().to(real.dtype), real, draw["epsilon"].to(real))
        return _squared_distance_from(1.0, input_gradients(discriminator, between))


class DRAGAN(Penalty):
    """E(|grad f(x^)| - 1)^2 at x^ = x + a 0.5 std(x) U, near the real samples.

    U is uniform on [0, 1) in each feature, a ~ U[0, 1] one a sample, std(x) the one standard
    deviation of all features of the batch: the authors' published code. Their paper
    writes a normal perturbation instead. Under DDP the standard deviation is that of the process's
    own slice of the batch, so the result differs slightly from one process with the whole batch.
    weight: the paper's lambda, 10.
    Source: Kodali et al. 2017, arXiv:1705.07215.
    """

    def noise(self, real: Tensor) -> Noise:
        return {
            "perturbation": ("uniform", tuple(real.shape)),
            "alpha": ("uniform", _per_sample(real)),
        }

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draw: Mapping[str, Tensor]
    ) -> Tensor:
        spread = 0.5 * real.std(correction=0)
        shift = draw["alpha"].to(real) * spread * draw["perturbation"].to(real)
        return _squared_distance_from(1.0, input_gradients(discriminator, real + shift))


class R1(Penalty):
    """1/2 E |grad f(x)|^2 on real samples; the half is inside, so weight is the paper's gamma.

    Source: Mescheder et al. 2018, arXiv:1801.04406, Eq. 9.
    """

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draw: Mapping[str, Tensor]
    ) -> Tensor:
        return 0.5 * input_gradients(discriminator, real).square().sum(1).mean()


class R2(Penalty):
    """1/2 E |grad f(G(z))|^2 on fake samples; the half is inside, so weight is the paper's gamma.

    Source: Mescheder et al. 2018, arXiv:1801.04406, Eq. 10.
    """

    def __call__(
        self, discriminator: Discriminator, real: Tensor, fake: Tensor, draw: Mapping[str, Tensor]
    ) -> Tensor:
        gradients = input_gradients(discriminator, fake.to(real.dtype))
        return 0.5 * gradients.square().sum(1).mean()
