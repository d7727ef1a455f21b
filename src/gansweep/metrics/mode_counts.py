"""Counts of good samples in each mode, summed over processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.metrics.modes import ModeCoverage


class ModeCounts(Metric):
    """Captured modes, high quality and reverse KL of all samples seen, on every process.

    coverage_of: (n, d) samples -> their coverage.   weights: (K,) true shares of the modes.
    """

    is_differentiable = False
    full_state_update = False
    update_called = True  # no warning on a process whose samples are all with the others
    counts: Tensor
    samples: Tensor

    def __init__(
        self, coverage_of: Callable[[Tensor], ModeCoverage], weights: Tensor, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.coverage_of = coverage_of
        self.weights = (weights.double() / weights.sum()).tolist()
        counts = torch.zeros(len(weights), dtype=torch.int64)
        self.add_state("counts", counts, dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """values: (n, D) points or (n, K) logits, as `coverage_of` takes them."""
        seen = self.coverage_of(values)
        self.counts += torch.tensor(seen.counts, device=self.counts.device)
        self.samples += seen.samples

    def compute(self) -> dict[str, Tensor]:
        """modes, high_quality and in_no_mode (0 to 1), reverse_kl (nats): 0-dim float64.

        mode_counts: (K,) float64.
        """
        whole = ModeCoverage(self.counts.tolist(), self.weights, int(self.samples))
        return {
            "modes": torch.tensor(float(whole.captured), dtype=torch.float64),
            "high_quality": torch.tensor(whole.high_quality, dtype=torch.float64),
            "in_no_mode": torch.tensor(whole.in_no_mode, dtype=torch.float64),
            "reverse_kl": torch.tensor(whole.reverse_kl, dtype=torch.float64),
            "mode_counts": self.counts.double(),
        }
