"""The network that leaves as ONNX or by torch.export: what it takes, and what it makes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansweep.errors import UserError
from gansweep.inference.opened import Opened
from gansweep.inference.stream import Stream
from gansweep.models.autoencoder import Coding, WithPrior
from gansweep.models.context_encoder import ContextEncoder
from gansweep.models.cyclegan import BothWays
from gansweep.models.gan import GAN
from gansweep.models.translation import Translator

EXAMPLES = 3  # rows to trace with: not 1, which a tracer would take for a constant


@dataclass
class Traced:
    """network: takes `inputs` by their names and makes "images" in [-1, 1]."""

    network: nn.Module
    inputs: dict[str, Tensor]


class _Images(nn.Module):
    """A generator, and what it makes cut off at [-1, 1]."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class FromNoise(_Images):
    def forward(self, latents: Tensor) -> Tensor:
        return self.network(latents).clamp(-1, 1)


class OfClasses(_Images):
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:
        return self.network(latents, labels).clamp(-1, 1)


class FromImages(_Images):
    def forward(self, source: Tensor) -> Tensor:
        return self.network(source).clamp(-1, 1)


class Filled(nn.Module):
    """A context encoder: the hole of a source filled, and the rest as it was."""

    def __init__(self, module: ContextEncoder) -> None:
        super().__init__()
        self.network = module.sampler()
        self.middle, self.hole = module.middle, module.hole
        seen = torch.zeros(1, *module.sample_shape[1:])
        seen[:, self.hole[0], self.hole[1]] = 1
        self.register_buffer("missing", seen)

    def forward(self, source: Tensor) -> Tensor:
        made = self.network(source)
        rows, columns = self.middle
        height, width = source.shape[2:]
        around = (columns.start, width - columns.stop, rows.start, height - rows.stop)
        guess = nn.functional.pad(made, around)
        assert isinstance(self.missing, Tensor)
        return torch.where(self.missing > 0, guess, source).clamp(-1, 1)


class Reconstructed(nn.Module):
    def __init__(self, module: Coding) -> None:
        super().__init__()
        self.coder = module.to_sample_with()
        self.as_images = module.as_images
        self.shape = module.outputs_per_code

    def forward(self, source: Tensor) -> Tensor:
        codes = self.coder.encoder(source)
        codes = codes if self.shape == 1 else codes.chunk(self.shape, dim=1)[0]
        return self.as_images(self.coder.decoder(codes), source).clamp(-1, 1)


def traced(opened: Opened) -> Traced:
    """Of the averaged weights, on the CPU, in evaluation mode.

    A model of noise takes "latents" (N, L), as `Stream.latents` draws them, and "labels" (N,) where
    it knows classes; a translator "source" (N, C', H, W); an autoencoder images as "source".
    """
    module = opened.module.cpu()
    network: nn.Module
    inputs: dict[str, Tensor]
    if isinstance(module, (GAN, WithPrior)):
        z, labels = Stream(opened, 0).latents(0, EXAMPLES)
        inputs = {"latents": z} if labels is None else {"latents": z, "labels": labels}
        if isinstance(module, WithPrior):
            network = FromNoise(module.to_sample_with().decoder)
        else:
            own = module.sampler()
            network = FromNoise(own) if labels is None else OfClasses(own)
    elif isinstance(module, (Translator, Coding)):
        shape = module.source_shape or module.sample_shape
        rng = torch.Generator().manual_seed(0)
        inputs = {"source": torch.rand(EXAMPLES, *shape, generator=rng) * 2 - 1}
        network = _of_images(module)
    else:
        raise UserError(
            f"model={opened.model} makes its samples in a way that cannot be exported as a network."
            " Use --to safetensors."
        )
    return Traced(network.eval().requires_grad_(False), inputs)


def _of_images(module: Translator | Coding) -> nn.Module:
    if isinstance(module, Coding):
        return Reconstructed(module)
    if isinstance(module, ContextEncoder):
        return Filled(module)
    network = module.sampler()
    return FromImages(network.ab if isinstance(network, BothWays) else network)
