"""Autoencoders: a sample goes through a short code and is made again.

Source: Hinton and Salakhutdinov 2006, Science 313, 504-507; with noise at the input Vincent et al.
2008, ICML, Section 2.3; surveyed in Bank et al. 2020, arXiv:2003.05991.
"""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gansweep.config.ranges import Count, Weight, Width
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.contrast import ContrastNormalization
from gansweep.layers.heads import Codes
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss, Scores
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import gathered

Error = Callable[[Tensor, Tensor], Tensor]
Reconstruction = Literal["mse", "bce", "l1"]
CERTAIN = 1e-7  # distance of a probability from 0 and 1 at which it is held, as Keras holds it


def squared_error(made: Tensor, wanted: Tensor) -> Tensor:
    """Between what is made and wanted, (N, ...) each -> (N,), as all errors here."""
    return (made - wanted).square().flatten(1).mean(1)


def absolute_error(made: Tensor, wanted: Tensor) -> Tensor:
    return (made - wanted).abs().flatten(1).mean(1)


def cross_entropy(made: Tensor, wanted: Tensor) -> Tensor:
    """Of pixels as probabilities of white, -1 as 0 and 1 as 1, in nats.

    -y log p - (1 - y) log(1 - p) with p = (made + 1) / 2 and y = (wanted + 1) / 2; it is 0 for
    black and white alone, and the entropy of y where grey is made exactly.
    """
    # in the 16-bit numbers of autocast 1 - CERTAIN would be 1, and log(1 - p) not finite
    made = made.to(torch.promote_types(made.dtype, torch.float32))
    p = ((made + 1) / 2).clamp(CERTAIN, 1 - CERTAIN)
    y = (wanted + 1) / 2
    return -(y * p.log() + (1 - y) * (1 - p).log()).flatten(1).mean(1)


ERRORS: dict[str, Error] = {"mse": squared_error, "bce": cross_entropy, "l1": absolute_error}


class Coder(nn.Module):
    """encoder: samples -> (N, L) codes.   decoder: (N, L) codes -> samples of the data's shape."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder


class Coding(Adversarial):
    """What all autoencoders share: the networks, their noisy input, what they answer.

    The encoder with its decoder is the one player, unless a subclass says otherwise. The encoder is
    shown the batch's sources (noisy, grey or incomplete images, say) or, where the data have none,
    its images; the decoder makes the images.

    encoder, decoder: callables that build them: a discriminator's network, whose head gives the
        code, and a generator's.
    latent_dim: length of a code.
    reconstruction: the error between what is made and wanted, one number for each sample: squared,
        absolute, or the cross-entropy of pixels ("bce").
    input_noise: standard deviation of Gaussian noise on what the encoder is shown in training (the
        denoising autoencoder): of images with black 0 and white 1, clipped to that range; of points
        in their own units, unclipped.
    """

    makers: tuple[str, ...] = ("autoencoder",)
    outputs_per_code = 1  # what the encoder says of each of a code's numbers

    def __init__(
        self,
        *,
        encoder: Callable[..., nn.Module],
        decoder: Callable[..., nn.Module],
        latent_dim: Width,
        reconstruction: Reconstruction = "mse",
        input_noise: Weight = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.latent_dim = latent_dim
        self.input_noise = input_noise
        if reconstruction == "bce" and len(self.sample_shape) == 1:
            raise UserError(
                "model.reconstruction=bce reads pixels as probabilities, and the data are points. "
                "Use model.points.reconstruction=mse or l1."
            )
        self.error = ERRORS[reconstruction]
        head = partial(Codes, n_outputs=self.outputs_per_code * latent_dim)
        self.coder = Coder(
            encoder(sample_shape=self.source_shape or self.sample_shape, head=head),
            decoder(sample_shape=self.sample_shape, latent_dim=latent_dim),
        )

    @property
    def players(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.coder}

    def to_sample_with(self) -> Coder:
        """The encoder and the decoder with their averaged weights, where there are any."""
        coder = self.sampler("autoencoder")
        assert isinstance(coder, Coder)
        return coder

    def shown(self, batch: Batch) -> Tensor:
        """What the encoder codes: (N, C', H, W) in [-1, 1] or (N, D)."""
        if self.source_shape is None:
            return batch.images
        assert batch.source is not None, "data that state a source_shape put sources into batches"
        return batch.source

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        shown = self.shown(batch)
        if not self.input_noise:
            return {}
        return {"noise": draws.normal(*shown.shape, dtype=shown.dtype)}

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        return self.coder.decoder(self.coder.encoder(self.input(batch, drawn)))

    def input(self, batch: Batch, drawn: Drawn) -> Tensor:
        shown = self.shown(batch)
        if not self.input_noise:
            return shown
        if shown.ndim == 2:
            return shown + self.input_noise * drawn["noise"]
        # white is 2 away from black here, and 1 on the scale of the option
        return (shown + 2 * self.input_noise * drawn["noise"]).clamp(-1, 1)

    def to_be_made(self, images: Tensor) -> Tensor:
        """What the decoder is to make of images or points: themselves."""
        return images

    def as_images(self, made: Tensor, like: Tensor) -> Tensor:
        """What the decoder has made as images; like: those that were coded."""
        return made

    def code_of(self, outputs: Tensor) -> Tensor:
        """The one code (N, L) that stands for a sample, of what the encoder says of it."""
        return outputs

    def compile_networks(self) -> None:
        self.coder.encoder.compile()
        self.coder.decoder.compile()

    def scores(self, batch: Batch, rng: torch.Generator) -> Scores | None:
        return None

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """ "images", "codes", and anomalies by "reconstruction" and, once trained, "latent"."""
        coder = self.to_sample_with()
        with evaluating(coder):
            outputs = coder.encoder(like_weights(self.shown(batch), coder))
            codes = self.code_of(outputs)
            made = coder.decoder(codes)
            wanted = like_weights(batch.images, coder)
            answers = {"images": self.as_images(made, wanted), "codes": codes}
            answers["anomaly/reconstruction"] = self.error(made, self.to_be_made(wanted))
            return answers | self.latent_answers(outputs, coder)

    @abstractmethod
    def latent_answers(self, outputs: Tensor, coder: Coder) -> dict[str, Tensor]:
        """How unusual the codes are: {"anomaly/latent": (N,)}, or nothing before training."""


class WithPrior(Coding):
    """An autoencoder whose codes follow N(0, I), of which it makes new samples."""

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        z = draws.normal(len(batch), self.latent_dim, dtype=batch.images.dtype)
        return super().draw(draws, batch, clock) | {"z": z}

    @torch.no_grad()
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        z = torch.randn(len(batch), self.latent_dim, generator=rng)
        with evaluating(self.to_sample_with().decoder) as decoder:
            return decoder(like_weights(z, decoder))


class Autoencoder(Coding):
    """One player, the encoder with its decoder, which learns to make what it was shown.

    It can also make samples near known ones: the codes of a batch's rows with noise on them.

    code_noise: standard deviation of that noise, in units of each code's root mean square.
    kept_rows: how many of the latest training samples, of all processes, are kept: a sample is the
        more anomalous, the further its code is from the nearest code of these.
    contrast: a normalisation of images, so that light and faint ones are coded, made and compared
        alike; None: they are as they are.
    """

    def __init__(
        self,
        *,
        code_noise: Weight = 0.3,
        kept_rows: Count = 1024,
        contrast: ContrastNormalization | None = None,
        **coding: Any,
    ) -> None:
        super().__init__(**coding)
        self.code_noise = code_noise
        self.contrast = contrast
        if contrast is not None:
            self._refuse_contrast()
            self.coder.encoder = nn.Sequential(contrast, self.coder.encoder)
        self.known = Latest(kept_rows, self.source_shape or self.sample_shape)

    def _refuse_contrast(self) -> None:
        """Raises: UserError for points, images that are made of others, and probabilities."""
        if len(self.sample_shape) == 1 or self.source_shape is not None:
            raise UserError(
                "model.contrast is for images that are made again as they are. These data are "
                "points, or have sources: leave model.contrast out."
            )
        if self.error is cross_entropy:
            raise UserError(
                "model.reconstruction=bce reads pixels as probabilities, and after model.contrast "
                "some lie beyond 0 and 1. Use model.reconstruction=mse or l1."
            )

    @property
    def memory(self) -> dict[str, nn.Module]:
        return {"known": self.known}

    def to_be_made(self, images: Tensor) -> Tensor:
        return images if self.contrast is None else 2 * self.contrast(images) - 1

    def as_images(self, made: Tensor, like: Tensor) -> Tensor:
        return made if self.contrast is None else self.contrast.undone((made + 1) / 2, like)

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        error = self.error(fakes, self.to_be_made(batch.images)).mean()
        return PlayerLoss(error, found={"known": self.shown(batch)})

    def _record(self, player: str, terms: PlayerLoss, fakes: Tensor) -> None:
        """Callbacks compare the last fakes with the images that they were asked for."""
        super()._record(player, terms, fakes)
        assert self.last_asked is not None
        self.last_fakes = self.as_images(fakes.detach(), self.last_asked.images)

    def remembered(self, player: str, slices: Sequence[PlayerLoss]) -> Memories:
        seen = torch.cat([terms.found["known"] for terms in slices])
        return {"known": self.known.with_newest(gathered(seen))}

    @torch.no_grad()
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """New samples near those of the batch."""
        coder = self.to_sample_with()
        with evaluating(coder):
            shown = like_weights(self.shown(batch), coder)
            codes = coder.encoder(shown)
            size = codes.square().mean(1, keepdim=True).sqrt()
            noise = torch.randn(*codes.shape, generator=rng).to(codes)
            return self.as_images(coder.decoder(codes + self.code_noise * size * noise), shown)

    def latent_answers(self, outputs: Tensor, coder: Coder) -> dict[str, Tensor]:
        rows = self.known.rows()
        if not len(rows):
            return {}
        known = coder.encoder(like_weights(rows, coder))
        # not by products, which lose the distances of codes that lie far from the origin
        mode = "donot_use_mm_for_euclid_dist"
        return {"anomaly/latent": torch.cdist(outputs, known, compute_mode=mode).amin(1)}


class Latest(nn.Module):
    """The latest `size` samples of training, as a ring; images to the nearest of 256 greys."""

    kept: Tensor
    seen: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.is_points = len(shape) == 1
        dtype = torch.float32 if self.is_points else torch.uint8
        self.register_buffer("kept", torch.zeros(size, *shape, dtype=dtype))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def with_newest(self, samples: Tensor) -> dict[str, Tensor]:
        """What the buffers become. Nothing waits for the device.

        samples: (N, ...) in [-1, 1], or points.
        """
        newest = samples[-len(self.kept) :]
        places = (self.seen + torch.arange(len(newest), device=self.seen.device)) % len(self.kept)
        if not self.is_points:
            newest = newest.add(1).mul(127.5).round()
        kept = self.kept.index_copy(0, places, newest.to(self.kept.dtype))
        return {"kept": kept, "seen": self.seen + len(newest)}

    def rows(self) -> Tensor:
        """(up to `size`, ...) in [-1, 1], or points."""
        rows = self.kept[: int(self.seen)]
        return rows if self.is_points else rows.float().div_(127.5).sub_(1)
