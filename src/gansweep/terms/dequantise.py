"""Pixels of 256 values made continuous: what the discriminator sees of real images."""

from torch import Tensor

from gansweep.terms.clock import Clock
from gansweep.terms.term import Draw, Noise, Term

LEVELS = 256


class Dequantise(Term):
    """A real pixel v of 0 to 255, stored as v / 127.5 - 1, is shown as (v + u) / 128 - 1.

    u is uniform on [0, 1), one a pixel.

    Without it real images have few values a pixel, which a critic can tell from the continuous
    ones of a generator. Generated images are shown as they are.
    Source: the published code of Gulrajani et al. 2017, arXiv:1704.00028, and of Miyato et al.
        2018, arXiv:1802.05957, for CIFAR-10.
    """

    takes_points = False
    views = ("real",)

    def noise(self, samples: Tensor) -> Noise:
        return {"u": ("uniform", tuple(samples.shape))}

    def shown(self, samples: Tensor, draw: Draw, clock: Clock) -> Tensor:
        stored = (samples + 1) * ((LEVELS - 1) / 2)
        return (stored + draw["u"].to(samples)) / (LEVELS / 2) - 1
