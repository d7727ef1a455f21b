"""The network that leaves as ONNX or by torch.export: what it takes, and what it makes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.inference.opened import Opened
from gansweep.inference.stream import Stream
from gansweep.models.autoencoder import Coding, WithPrior
from gansweep.models.context_encoder import ContextEncoder
from gansweep.models.cyclegan import BothWays
from gansweep.models.evaluating import cut_off
from gansweep.models.gan import GAN
from gansweep.models.translation import Translator

EXAMPLES = 3  # rows to trace with: not 1, which a tracer would take for a constant


@dataclass
class Traced:
    """network: takes `inputs` by their names and makes "images" in [-1, 1], or points.

    own: what the run itself makes of such inputs, in their order.
    """

    network: nn.Module
    inputs: dict[str, Tensor]
    own: Callable[..., Tensor]


class FromNoise(nn.Module):
    """A generator, and its samples as the model makes them at present."""

    def __init__(self, module: GAN) -> None:
        super().__init__()
        self.network = module.sampler()
        self.samples_of = module.samples_of  # a method: of the model nothing else is traced

    def forward(self, latents: Tensor) -> Tensor:
        return self.samples_of(self.network, latents, None)


class OfClasses(FromNoise):
    def forward(self, latents: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        return self.samples_of(self.network, latents, labels)


class _CutOff(nn.Module):
    """A network, and what it makes cut off as `cut_off` does."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network


class Decoded(_CutOff):
    def forward(self, latents: Tensor) -> Tensor:
        return cut_off(self.network(latents))


class FromImages(_CutOff):
    def forward(self, source: Tensor) -> Tensor:
        return cut_off(self.network(source))


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
        return cut_off(torch.where(self.missing > 0, guess, source))


class Reconstructed(nn.Module):
    def __init__(self, module: Coding) -> None:
        super().__init__()
        self.coder = module.to_sample_with()
        self.as_images = module.as_images
        self.shape = module.outputs_per_code

    def forward(self, source: Tensor) -> Tensor:
        codes = self.coder.encoder(source)
        codes = codes if self.shape == 1 else codes.chunk(self.shape, dim=1)[0]
        return cut_off(self.as_images(self.coder.decoder(codes), source))


def traced(opened: Opened) -> Traced:
    """Of the averaged weights, on the CPU, in evaluation mode.

    A model of noise takes "latents" (N, L), as `Stream.latents` draws them, and "labels" (N,) where
    it knows classes; a translator "source" (N, C', H, W); an autoencoder images or points as
    "source".
    """
    module = opened.module.cpu()
    network: nn.Module
    inputs: dict[str, Tensor]
    own: Callable[..., Tensor]
    if isinstance(module, (GAN, WithPrior)):
        stream = Stream(opened, 0)
        z, labels = stream.latents(0, EXAMPLES)
        own = stream.made if labels is not None else partial(stream.made, labels=None)
        inputs = {"latents": z} if labels is None else {"latents": z, "labels": labels}
        if isinstance(module, WithPrior):
            network = Decoded(module.to_sample_with().decoder)
        else:
            network = FromNoise(module) if labels is None else OfClasses(module)
    elif isinstance(module, (Translator, Coding)):
        shape = module.source_shape or module.sample_shape
        rng = torch.Generator().manual_seed(0)
        inputs = {"source": torch.rand(EXAMPLES, *shape, generator=rng) * 2 - 1}
        network, own = _of_images(module), partial(_answered, module)
    else:
        raise UserError(
            f"model={opened.model} makes its samples in a way that cannot be exported as a network."
            " Use --to safetensors."
        )
    return Traced(network.eval().requires_grad_(False), inputs, own)


def _answered(module: Translator | Coding, source: Tensor) -> Tensor:
    """What the model itself makes of sources, with nothing random in it."""
    if isinstance(module, Translator):
        return cut_off(module.translate(source, None))
    if module.source_shape is None:
        return cut_off(module.answers(Batch(source))["images"])
    wanted = source.new_zeros(len(source), *module.sample_shape)  # nobody knows it: a shape
    return cut_off(module.answers(Batch(wanted, source=source))["images"])


def _of_images(module: Translator | Coding) -> nn.Module:
    if isinstance(module, Coding):
        return Reconstructed(module)
    if isinstance(module, ContextEncoder):
        return Filled(module)
    network = module.sampler()
    return FromImages(network.ab if isinstance(network, BothWays) else network)
