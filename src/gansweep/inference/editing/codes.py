"""The codes behind the samples of a run, to be edited: in z, or in the w of a model with styles.

A code is what a generator makes one sample of, without its noise maps. Shapes: N codes, L numbers.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gansweep.errors import UserError
from gansweep.inference.opened import Opened
from gansweep.inference.stream import Stream
from gansweep.layers.style import Generator as StyleGenerator
from gansweep.models.autoencoder import WithPrior
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.gan import GAN
from gansweep.models.stylegan2 import StyleGAN2

WITH_CODES = "a model that makes samples of noise, such as dcgan, cgan, stylegan2 or vae"


@dataclass
class Codes:
    """Some codes, the labels they belong to (or None), and the noise maps they are shown with."""

    z: Tensor
    labels: Tensor | None
    noise: Tensor | None = None

    def __len__(self) -> int:
        return len(self.z)

    def with_codes(self, z: Tensor) -> "Codes":
        """Other codes, (M, L), with the labels and the noise of the first."""
        labels = None if self.labels is None else self.labels[:1].expand(len(z))
        noise = None if self.noise is None else self.noise[:1].expand(len(z), -1)
        return Codes(z, labels, noise)


class Space:
    """The codes of one run: drawn, and made into images with or without a gradient.

    name: "z", or "w" of a generator with styles.
    Raises: UserError for a model that has no such codes.
    """

    def __init__(self, opened: Opened, name: str = "z") -> None:
        module = opened.module
        if not isinstance(module, (GAN, WithPrior)) or opened.data.is_points:
            kind = "points" if opened.data.is_points else "images that are not made of noise"
            raise UserError(
                f"model={opened.model} on data={opened.data.name} makes {kind}, so it has no codes "
                f"of pictures to edit. Use {WITH_CODES}."
            )
        self.opened, self.module, self.name = opened, module, name
        self.styled = isinstance(self.generator, StyleGenerator)
        if name == "w" and not self.styled:
            raise UserError(
                f"space=w: model={opened.model} has no w. Use space=z, or a run of model=stylegan2 "
                "or model=stylegan2_conditional."
            )
        self.latent_dim = self._length()

    @property
    def generator(self) -> nn.Module:
        """What samples are made with at present: standing statistics follow the truncation."""
        module = self.module
        network = (
            module.to_sample_with().decoder if isinstance(module, WithPrior) else module.sampler()
        )
        return network.requires_grad_(False)

    def _length(self) -> int:
        """Numbers of one code, without noise maps: of z with the codes that a model learnt."""
        generator, module = self.generator, self.module
        if isinstance(generator, StyleGenerator):
            return generator.latent_dim
        if isinstance(module, WithPrior):
            return module.latent_dim
        return module.sampling_latents(Draws(0, torch.device("cpu")), 1, torch.float32).shape[1]

    def samples(self, seed: int, numbers: Sequence[int], kind: int | None = None) -> Codes:
        """The codes of samples by their number, as `gansweep generate` makes them of that seed."""
        stream = Stream(self.opened, seed, kind)
        drawn = [stream.latents(number, 1) for number in numbers]
        rows = torch.cat([z for z, _ in drawn])
        labels = None if drawn[0][1] is None else torch.cat([x for _, x in drawn if x is not None])
        return self._codes(rows, labels)

    def first(self, seed: int, n: int, kind: int | None = None) -> Codes:
        """The codes of the samples 0 to n - 1."""
        rows, labels = Stream(self.opened, seed, kind).latents(0, n)
        return self._codes(rows, labels)

    def _codes(self, rows: Tensor, labels: Tensor | None) -> Codes:
        if not self.styled:
            return Codes(rows, labels)
        z, noise = rows[:, : self.latent_dim], rows[:, self.latent_dim :]
        if self.name == "z":
            return Codes(z, labels, noise)
        with torch.no_grad(), evaluating(self.generator) as generator:
            assert isinstance(generator, StyleGenerator)
            own = like_weights(z, generator)
            asked = None if labels is None else labels.to(own.device)
            w = generator.mapping(own, asked)[:, None]
            assert isinstance(self.module, StyleGAN2)
            w = self.module.truncated_w(generator, w, asked)[:, 0]
            return Codes(w.float().cpu(), labels, noise)

    def images(self, codes: Codes) -> Tensor:
        """(N, C, H, W) in [-1, 1], differentiable in the codes, on the model's device."""
        with evaluating(self.generator) as generator:
            z = like_weights(codes.z, generator)
            labels = None if codes.labels is None else codes.labels.to(z.device)
            made = self._made(generator, z, labels, codes.noise)
        return made.clamp(-1, 1)

    def _made(
        self, generator: nn.Module, z: Tensor, labels: Tensor | None, noise: Tensor | None
    ) -> Tensor:
        if isinstance(self.module, WithPrior):
            return generator(z)
        if noise is None:
            return self.module.samples_of(generator, z, labels)
        own = noise.to(z)
        if self.name == "z":
            rows = torch.cat([z, own], 1)
            return self.module.samples_of(generator, rows, labels)
        assert isinstance(generator, StyleGenerator)
        w = z.unsqueeze(1).expand(-1, generator.synthesis.n_styles, -1)
        return generator.synthesis(w, own)

    @torch.no_grad()
    def pictures(self, codes: Codes, at_once: int = 64) -> Tensor:
        """(N, C, H, W) in [-1, 1] on the CPU, some at once."""
        made = []
        for start in range(0, len(codes), at_once):
            rows = slice(start, start + at_once)
            labels, noise = (None if x is None else x[rows] for x in (codes.labels, codes.noise))
            made.append(self.images(Codes(codes.z[rows], labels, noise)).float().cpu())
        return torch.cat(made)

    @contextmanager
    def between_labels(self, first: int, second: int, share: Tensor) -> Iterator[None]:
        """Inside, what the generator embeds of a class is a blend of two classes.

        share: (N,) of the second, from 0 to 1, a row for each sample.
        Raises: UserError for a generator that embeds no class in one place.
        """
        found = [part for name, part in self.generator.named_modules() if _embeds(name)]
        if not found:
            raise UserError(
                f"model={self.opened.model} does not embed the class as numbers that can be "
                "blended. Use a run of model=cgan, cgan_mlp, biggan, r3gan_conditional or "
                "stylegan2_conditional, or stay in one class with label= and seeds= or codes=."
            )

        def blended(part: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> Tensor:
            both = [part.forward(torch.full_like(given[0], k)) for k in (first, second)]
            return torch.lerp(both[0], both[1], share.to(made)[: len(made), None])

        hooks = [part.register_forward_hook(blended) for part in found]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _embeds(name: str) -> bool:
    return name.rpartition(".")[2] == "embedding"


def linear(first: Tensor, second: Tensor, steps: Tensor) -> Tensor:
    """(L,), (L,), (S,) shares of the second -> (S, L) on the straight line between them."""
    return torch.lerp(first[None], second[None], steps[:, None].to(first))


def spherical(first: Tensor, second: Tensor, steps: Tensor) -> Tensor:
    """The same on the great arc between two codes: normal noise keeps its length on the way.

    sin((1 - t) a) / sin(a) * first + sin(t a) / sin(a) * second, with a the angle between them;
    a straight line where they are parallel.
    Source: Shoemake 1985, SIGGRAPH; for latents White 2016, arXiv:1609.04468, Section 2.1.
    """
    a, b = first.double(), second.double()
    cosine = (a @ b / (a.norm() * b.norm()).clamp(min=1e-12)).clamp(-1, 1)
    angle = cosine.arccos()
    if angle.sin() < 1e-6:
        return linear(first, second, steps)
    t = steps.double()[:, None]
    made = ((1 - t) * angle).sin() / angle.sin() * a + (t * angle).sin() / angle.sin() * b
    return made.to(first)
