"""Numbered samples that several processes collect and every one of them sees in the same order."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat


class OrderedSamples(Metric):
    """The samples of all processes in the order of their numbers, however they were shared out.

    The base of scores that depend on the order or on all samples at once: sorted, n processes
    compute from the very tensor that one would hold. They may bring unequal counts, or none.
    kwargs: torchmetrics' own, such as sync_on_compute.

    A state is a list of flat tensors, gathered by concatenation: so a process without samples
    can bring an empty tensor though it knows no width.
    """

    is_differentiable = False
    full_state_update = False
    update_called = True  # no warning on a process whose samples are all with the others
    state_types: ClassVar[dict[str, torch.dtype]] = {
        "numbers": torch.int64,
        "values": torch.float32,
    }
    numbers: list[Tensor]
    values: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for name in self.state_types:
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, numbers: Tensor, values: Tensor) -> None:
        """numbers: (n,) integers, each given once over all calls and processes.

        values: (n, d) of any float type, kept as float32 on the metric's device.
        """
        if len(numbers) != len(values) or values.ndim != 2:
            raise ValueError(
                f"{tuple(numbers.shape)} numbers for values of shape {tuple(values.shape)}: give "
                "one number for each row of values (n, d)."
            )
        self._keep("numbers", numbers)
        self._keep("values", values)

    def _keep(self, name: str, part: Tensor) -> None:
        part = part.detach().to(self.device, self.state_types[name])
        getattr(self, name).append(part.reshape(-1))

    def sync(self, *args: Any, **kwargs: Any) -> None:
        """torchmetrics' own, which takes an empty list for one of floats, also where it is none."""
        for name, dtype in self.state_types.items():
            if isinstance(getattr(self, name), list) and not getattr(self, name):
                setattr(self, name, [torch.empty(0, dtype=dtype, device=self.device)])
        super().sync(*args, **kwargs)

    def order(self) -> Tensor:
        """Where the samples stand among those collected, by increasing number: (N,) int64.

        Raises: ValueError where there are none, or where a number was given twice.
        """
        if not sum(part.numel() for part in self.numbers):
            raise ValueError("No samples were given to score: call update first.")
        numbers, order = dim_zero_cat(self.numbers).sort()
        doubled = numbers[1:][numbers[1:] == numbers[:-1]]
        if len(doubled):
            raise ValueError(
                f"Sample {int(doubled[0])} was given twice, and {len(doubled)} numbers in all: "
                "give every sample a number of its own, on whichever process it is made (a sampler "
                "that pads the last batch must leave the padding out)."
            )
        return order

    def compute(self) -> Any:
        """`ordered`, or in a score what it says of them."""
        return self.ordered()

    def ordered(self) -> Tensor:
        """The values of all processes by increasing number: (N, d) float32.

        Raises: ValueError as `order`, or for values that are not finite.
        """
        order = self.order()
        values = dim_zero_cat(self.values).view(len(order), -1)[order]
        finite = values.isfinite().all(1)
        if not finite.all():
            raise ValueError(
                f"{int((~finite).sum())} of {len(values)} samples have features that are not "
                "finite (NaN or infinite), which no score can measure: look for images that are "
                "not finite, or for broken weights of the feature network."
            )
        return values
