"""Standing statistics: what batch normalisation samples with, measured on the samples themselves.

Source: Brock et al. 2019, arXiv:1809.11096, experimental details in the appendix.
"""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from gansweep.terms.collectives import alone

ROWS = 64  # samples in each of the batches
SEED = 20180928


class StandingStatistics:
    """A copy of a generator in which means and variances are those of `batches` of its samples.

    The running averages of training belong to weights of some steps ago, and to those of training
    where samples come from averaged ones. The copy is made anew when weights or the truncation
    have changed, from noise of a fixed seed; the network itself is left as it is, so that a run
    does not depend on when it was sampled. Each process makes the same copy.
    """

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self._copy: nn.Module | None = None
        self._moment: Any = None

    def forget(self) -> None:
        """Other weights are there."""
        self._copy = None

    def of(
        self, network: nn.Module, moment: Any, run: Callable[[nn.Module, torch.Generator], object]
    ) -> nn.Module:
        """The copy of a network, in evaluation mode.

        moment: changes whenever the weights do, or how far latents are truncated.
        run: makes a batch of ROWS samples with a network and a CPU generator.
        """
        if self._copy is None or self._moment != moment:
            self._copy, self._moment = self._measured(network, run), moment
        return self._copy

    @torch.no_grad()
    def _measured(
        self, network: nn.Module, run: Callable[[nn.Module, torch.Generator], object]
    ) -> nn.Module:
        copied = copy.deepcopy(network).requires_grad_(False).eval()
        layers = batch_norms(copied)
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # PyTorch's word for the mean over all batches
            layer.train()
        rng = torch.Generator().manual_seed(SEED)
        with alone():  # not every process may sample now
            for _ in range(self.batches):
                run(copied, rng)
        for layer, own in zip(layers, batch_norms(network), strict=True):
            if not layer.num_batches_tracked:  # of a part that makes no samples, as a reconstructor
                layer.load_state_dict(own.state_dict())
        return copied.eval()


def batch_norms(network: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    return [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
