"""Counts of samples in each mode, summed over processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from gansweep.metrics.scores.modes import ModeCoverage

Coverage = Callable[[Tensor], ModeCoverage]


class ModeCounts(Metric):
    """Captured modes, high quality and reverse KL of all samples seen, on every process.

    coverage_of: (n, d) samples -> their coverage.   weights: (K,) true shares of the modes.
    confident: as coverage_of, counting the sure samples alone; None where there is one rule.
    """

    is_differentiable = False
    full_state_update = False
    update_called = True  # no warning on a process whose samples are all with the others
    counts: Tensor
    confident_counts: Tensor
    samples: Tensor

    def __init__(
        self,
        coverage_of: Coverage,
        weights: Tensor,
        confident: Coverage | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.coverage_of, self.confident = coverage_of, confident
        self.weights = (weights.double() / weights.sum()).tolist()
        zeros = torch.zeros(len(weights), dtype=torch.int64)
        self.add_state("counts", zeros, dist_reduce_fx="sum")
        self.add_state("confident_counts", zeros.clone(), dist_reduce_fx="sum")
        self.add_state("samples", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor) -> None:
        """values: (n, D) points or (n, K) logits, as `coverage_of` takes them."""
        seen = self.coverage_of(values)
        self.counts += torch.tensor(seen.counts, device=self.counts.device)
        self.samples += seen.samples
        if self.confident is not None:
            sure = self.confident(values)
            self.confident_counts += torch.tensor(sure.counts, device=self.counts.device)

    def compute(self) -> dict[str, Tensor]:
        """modes and reverse_kl (nats), high_quality and in_no_mode (0 to 1): 0-dim float64.

        mode_counts: (K,) float64. With `confident` the last three are of the sure samples, and
        confident_modes and confident_reverse_kl are given, too.
        """
        every = self._coverage(self.counts)
        good = every if self.confident is None else self._coverage(self.confident_counts)
        values = {
            "modes": every.captured,
            "reverse_kl": every.reverse_kl,
            "high_quality": good.high_quality,
            "in_no_mode": good.in_no_mode,
        }
        if self.confident is not None:
            values |= {"confident_modes": good.captured, "confident_reverse_kl": good.reverse_kl}
        found = {word: torch.tensor(float(v), dtype=torch.float64) for word, v in values.items()}
        return found | {"mode_counts": torch.tensor(good.counts, dtype=torch.float64)}

    def _coverage(self, counts: Tensor) -> ModeCoverage:
        return ModeCoverage(counts.tolist(), self.weights, int(self.samples))
