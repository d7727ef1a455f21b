"""Several processes that train one game."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import torch
import torch.distributed as dist
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors

from gansweep.models.synchronised import synchronise

READY = b"ready\n"
HELD = "GANSWEEP_HELD_FILES"  # descriptors, by commas, that lock the GPUs a sweep gave this run
# Linux ends a process with its parent (PR_SET_PDEATHSIG, SIGKILL): no rank computes on alone.
DIE_WITH_PARENT = "import ctypes, sys; sys.platform != 'linux' or ctypes.CDLL(None).prctl(1, 9)"


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replace each gradient by its mean over the processes, in one message.

    A parameter without a gradient counts as zero, so that all processes send the same layout.
    """
    gradients: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        gradients.append(parameter.grad)
    flat = _flatten_dense_tensors(gradients)
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    torch._foreach_copy_(gradients, list(_unflatten_dense_tensors(flat, gradients)))


def broadcast(tensor: Tensor) -> None:
    """Replace a tensor on every process by the main one's; nothing with one process."""
    if dist.is_initialized():
        dist.broadcast(tensor, src=0)


class GameDDPStrategy(DDPStrategy):
    """Data-parallel training of players that move in turn.

    PyTorch's own wrapper expects every parameter in every backward pass. Here the weights are
    broadcast once, and the model averages the gradients of the player that moves. Where the model
    says `sync_batch_norm`, batch normalisation takes the statistics of all processes' samples.
    """

    def configure_ddp(self) -> None:
        assert self.model is not None
        if self.model.sync_batch_norm:
            synchronise(self.model)
        for tensor in self.model.state_dict().values():
            if isinstance(tensor, Tensor):
                broadcast(tensor)


class Ranks(contextlib.AbstractContextManager["Ranks"]):
    """The other processes of a data-parallel run on this machine.

    world: processes in all; the caller is rank 0. With 1 this does nothing.
    entry: "module:function" that each calls with the `arguments`, and that calls `report_ready`.
    Raises: RuntimeError where one of them ends before it is ready.
    """

    def __init__(self, world: int, entry: str, *arguments: str) -> None:
        self.world = world
        self.entry = entry
        self.arguments = arguments
        self._others: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Ranks:
        if self.world == 1:
            return self
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        os.environ.update(
            MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), NODE_RANK="0", LOCAL_RANK="0"
        )
        module, function = self.entry.split(":")
        call = f"from {module} import {function}; {function}(*sys.argv[1:])"
        held = [int(word) for word in os.environ.get(HELD, "").split(",") if word]
        for rank in range(1, self.world):
            process = subprocess.Popen(
                [sys.executable, "-c", f"{DIE_WITH_PARENT}; {call}", *self.arguments],
                env={**os.environ, "LOCAL_RANK": str(rank)},
                stdout=subprocess.PIPE,
                pass_fds=held,
            )
            self._others.append(process)
        try:
            self._await_all()
        except BaseException:
            self.__exit__(RuntimeError)
            raise
        return self

    def _await_all(self) -> None:
        for rank, process in enumerate(self._others, start=1):
            assert process.stdout is not None
            if process.stdout.readline() != READY:
                raise RuntimeError(f"process {rank} of {self.world} ended before training began")

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self.world == 1:
            return
        if dist.is_initialized():
            dist.destroy_process_group()
        for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "LOCAL_RANK"):
            os.environ.pop(name, None)
        for process in self._others:
            if kind is not None:
                process.kill()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:  # the run itself is done
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()


def report_ready() -> None:
    """Tell rank 0 that this process can begin; what it prints from now on goes to stderr."""
    os.write(1, READY)
    os.dup2(2, 1)
