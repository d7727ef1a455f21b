"""Numbered samples that several processes collect, gathered in the same order on each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

Scores = dict[str, Tensor]


def as_scores(**values: float) -> Scores:
    """Numbers as 0-dim float64 tensors, which a metric's `compute` returns."""
    return {word: torch.tensor(value, dtype=torch.float64) for word, value in values.items()}


class OrderedSamples(Metric):
    """The samples of all processes in the order of their numbers.

    For scores that depend on the order or need all samples at once. After sorting, n processes
    compute from exactly the tensor that one process would have. The processes may have different
    numbers of samples, or none.
    scores: all samples (N, d) -> name of a score -> its value; not needed by a subclass that
        overrides `compute`.
    limit: samples numbered `limit` or more are left out.   dtype: of the stored values.
    kwargs: of torchmetrics, such as sync_on_compute.

    A state is a list of flat tensors, so that a process without samples needs not know the width.
    """

    update_called = True  # no warning on a process that has no samples
    numbers: list[Tensor]
    values: list[Tensor]

    def __init__(
        self,
        scores: Callable[[Tensor], Scores] | None = None,
        *,
        limit: int | None = None,
        dtype: torch.dtype = torch.float32,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scores, self.limit = scores, limit
        self.state_types: dict[str, torch.dtype] = {}
        self.add_samples("numbers", torch.int64)
        self.add_samples("values", dtype)

    def add_samples(self, name: str, dtype: torch.dtype) -> None:
        """Add a state with one entry, or one row, for each sample."""
        self.state_types[name] = dtype
        self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, numbers: Tensor, values: Tensor) -> None:
        """numbers: (n,) integers, each given once over all calls and processes.

        values: (n, d) of any type, stored as `dtype` on the metric's device.
        Raises: ValueError for different lengths or another number of dimensions.
        """
        if len(numbers) != len(values) or values.ndim != 2:
            raise ValueError(
                f"{tuple(numbers.shape)} numbers for values of shape {tuple(values.shape)}: give "
                "one number for each row of the values (n, d)."
            )
        if self.limit is not None:
            few = numbers < self.limit
            numbers, values = numbers[few], values[few]
        self.keep("numbers", numbers)
        self.keep("values", values)

    def keep(self, name: str, part: Tensor) -> None:
        part = part.detach().to(self.device, self.state_types[name])
        getattr(self, name).append(part.reshape(-1))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """As torchmetrics, which assumes that an empty list is a list of floats."""
        for name, dtype in self.state_types.items():
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                setattr(self, name, [torch.empty(0, dtype=dtype, device=self.device)])
        super().sync(*args, **kwargs)

    def order(self) -> Tensor:
        """The indices that sort the collected samples by their numbers: (N,) int64.

        Raises: ValueError if there are no samples or a number was given twice.
        """
        if not sum(part.numel() for part in self.numbers):
            raise ValueError("No samples were given to score: call update first.")
        numbers, order = dim_zero_cat(self.numbers).sort()
        doubled = numbers[1:][numbers[1:] == numbers[:-1]]
        if len(doubled):
            raise ValueError(
                f"Sample {int(doubled[0])} was given twice ({len(doubled)} such samples). Give "
                "every sample its own number over all processes; if the data loader pads the last "
                "batch, leave the padding out."
            )
        return order

    def compute(self) -> Scores:
        """The scores of all samples.   Raises: ValueError like `ordered`."""
        assert self.scores is not None
        return self.scores(self.ordered())

    def ordered(self) -> Tensor:
        """The values of all processes by increasing number: (N, d) of `dtype`.

        Raises: ValueError like `order`, or for values that are not finite.
        """
        order = self.order()
        values = dim_zero_cat(self.values).view(len(order), -1)[order]
        finite = values.isfinite().all(1)
        if not finite.all():
            raise ValueError(
                f"{int((~finite).sum())} of {len(values)} samples have features that are not "
                "finite (NaN or infinite), so no score can be computed. Check whether the images "
                "are finite and the weights of the feature network are intact."
            )
        return values
