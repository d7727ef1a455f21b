"""Batch normalisation by the batch of all processes.

torch.nn.SyncBatchNorm takes no CPU tensors, is differentiated once only, and waits for processes
that take no part, as in the duality gap. This one is the same on every device.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gansweep.terms.collectives import average, shared

PLAIN = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class SynchronisedBatchNorm(_BatchNorm):
    """As PyTorch's of samples (N, C, ...), with as many on each process.

    Two processes compute, forwards and backwards, what one does with the doubled batch.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Any number of dimensions."""

    @torch.compiler.disable  # the exchange cannot be traced
    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not shared():
            return super().forward(input)
        over = [0, *range(2, input.ndim)]
        shape = (1, -1, *(1 for _ in over[1:]))
        with torch.autocast(device_type=input.device.type, enabled=False):
            samples = input.to(torch.promote_types(input.dtype, torch.float32))
            mean = average(samples.mean(over))
            centred = samples - mean.view(shape)
            variance = average(centred.square().mean(over))
            self._follow(mean, variance, input.numel() // self.num_features)
            made = centred * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                made = made * self.weight.view(shape) + self.bias.view(shape)
        return made.to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor, n: int) -> None:
        """Move the running averages.   n: numbers of a channel on one process."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        step: Any = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked
        everyones = n * dist.get_world_size()
        unbiased = variance * (everyones / (everyones - 1))
        for kept, new in ((self.running_mean, mean), (self.running_var, unbiased)):
            kept += step * (new.to(kept) - kept)


def synchronise(network: nn.Module) -> None:
    """Make every batch normalisation in a network one of all processes, in place.

    The layers stay the same objects with the same names, weights and running averages.
    """
    for layer in network.modules():
        if type(layer) in PLAIN:
            layer.__class__ = SynchronisedBatchNorm
