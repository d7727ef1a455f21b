"""The sliced Wasserstein distance of features, as an example of a score of one's own."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.order import generator_for
from gansweep.metrics.measure import Measure, Setting
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.protocol import Protocol

QUANTILES = 100


class SlicedDistance(OrderedSamples):
    """Mean |F_real^-1(q) - F_fake^-1(q)| over 100 quantiles q and random directions.

    real: (n_real, d) features, on the metric's device.   n_projections: random directions.
    Source: Bonneel et al. 2015, Journal of Mathematical Imaging and Vision 51, Section 3.
    """

    def __init__(self, real: Tensor, n_projections: int, **options: Any) -> None:
        super().__init__(**options)
        directions = torch.randn(real.shape[1], n_projections, generator=generator_for(0))
        self.directions = (directions / directions.norm(dim=0)).to(real)
        self.real = self.projected(real)

    def projected(self, features: Tensor) -> Tensor:
        """(n, d) -> (100, n_projections): the quantiles along each direction, float64."""
        at = torch.linspace(0, 1, QUANTILES, dtype=torch.float64, device=features.device)
        return (features @ self.directions).double().quantile(at, dim=0)

    def compute(self) -> dict[str, Tensor]:
        return {"sliced": (self.projected(self.ordered()) - self.real).abs().mean()}


class Sliced(Measure):
    """The measure that builds it: what it reads, and what its number depends on."""

    choices = words = ("sliced",)
    directions = {"sliced": "minimize"}
    needs_features = True

    def __init__(self, n_projections: int = 64) -> None:
        self.n_projections = n_projections

    def build(self, setting: Setting) -> Metric:
        assert setting.real is not None and setting.real.features is not None
        return SlicedDistance(setting.real.features, self.n_projections)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"projections": self.n_projections, "quantiles": QUANTILES}
