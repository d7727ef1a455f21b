"""Tensors of all processes that train one game, as the losses need them."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

_ALONE = ContextVar("_ALONE", default=False)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """In here the losses are those of this process's samples: the other processes do not wait."""
    token = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(token)


def shared() -> bool:
    """Whether other processes take part in what is computed now."""
    return dist.is_initialized() and not _ALONE.get()


def average(tensor: Tensor) -> Tensor:
    """The mean of a tensor over the processes, on each of them; itself with one process.

    Differentiable, also twice: with each process's loss a function of the mean, the gradients that
    are then averaged are those of one process with the whole batch.
    """
    mean: Tensor = _Average.apply(tensor) if shared() else tensor
    return mean


class _Average(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor) -> Tensor:
        mean = tensor.detach().clone()
        dist.all_reduce(mean)
        return mean / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        mean: Tensor = _Average.apply(gradients[0])
        return mean


def gathered(tensor: Tensor) -> Tensor:
    """(N, ...) -> (world N, ...): the rows of all processes, in the order of their ranks."""
    if not shared():
        return tensor
    parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, tensor.contiguous())
    return torch.cat(parts)


def own_rows(tensor: Tensor) -> Tensor:
    """(world N, ...) -> (N, ...): this process's rows of what `gathered` gives."""
    if not shared():
        return tensor
    return tensor.chunk(dist.get_world_size())[dist.get_rank()]
