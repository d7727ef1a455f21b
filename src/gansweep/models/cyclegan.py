"""CycleGAN: two kinds of images turned into each other, learnt without pairs.

A are the sources of a batch, B its images. Both generators move as one player, and so do both
discriminators, whose losses share nothing.
Source: Zhu et al. 2017, arXiv:1703.10593, Sections 3 and 4; else the released code.
Departure: D moves before G here, as in every procedure of this package; both see the same fakes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.config.ranges import CountOrNone, Weight
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.patchgan import mean_score
from gansweep.models.draws import Draws
from gansweep.models.evaluating import evaluating
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss, Scores
from gansweep.models.translation import Translator, source_of
from gansweep.terms.clock import Clock
from gansweep.terms.collectives import gathered, own_rows
from gansweep.terms.full_precision import in_full


class ImagePool(nn.Module):
    """The last images that D was shown, of which it is shown half instead of new ones.

    A new image is stored and shown while there is room. Later, with probability 1/2, it takes the
    place of a random stored one, which is shown instead; else it is shown and not stored.
    size: images kept; 0 shows the new ones always.
    Source: Zhu et al. 2017, Section 4, after Shrivastava et al. 2017, arXiv:1612.07828.
    """

    images: Tensor
    filled: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros(1, dtype=torch.int64))

    @torch.no_grad()
    def shown(self, fakes: Tensor, chances: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What D is to see for new images, and what `images` and `filled` are afterwards.

        fakes: (N, C, H, W).   chances: (N, 2) uniform: whether to swap, and with which.
        Several processes have one pool: their images enter it in the order of their ranks.
        """
        if self.size == 0:
            return fakes, self.images, self.filled
        stored, filled, seen = self.images.clone(), self.filled.clone(), []
        everyones = gathered(fakes.to(stored.dtype))
        # no branch on what is on the device, so that nothing waits for it
        for image, (swap, place) in zip(everyones.split(1), gathered(chances), strict=True):
            full = filled >= self.size
            slot = torch.where(full, (place * self.size).long(), filled).clamp(max=self.size - 1)
            swapped = full & (swap > 0.5)
            old = stored[slot]
            seen.append(torch.where(swapped, old, image))
            stored[slot] = torch.where(swapped | ~full, image, old)
            filled += (~full).long()
        return own_rows(torch.cat(seen)), stored, filled


class BothWays(nn.Module):
    """The generators G_AB: A -> B and G_BA: B -> A as one player; called, it is G_AB."""

    def __init__(self, ab: nn.Module, ba: nn.Module) -> None:
        super().__init__()
        self.ab, self.ba = ab, ba

    def forward(self, source: Tensor) -> Tensor:
        return self.ab(source)


class BothJudges(nn.Module):
    """The discriminators D_A and D_B as one player; called, it is D_B."""

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, images: Tensor) -> Tensor:
        return self.b(images)


class CycleGAN(Translator):
    """G_AB and G_BA, held together by cycles, against D_A and D_B, least squares on patches.

    generator, discriminator: callables that build the networks for the shapes of A and of B.
    cycle_weight: of the mean absolute difference of G_BA(G_AB(a)) from a, and of b's from b.
    identity_weight: of that of G_AB(b) from b and of G_BA(a) from a, in units of cycle_weight.
    pool_size: images of each kind that the discriminators are shown again; 0 for none.
    """

    generator: BothWays
    discriminator: BothJudges
    makes_without_noise = True
    sliceable = False  # the pool takes a batch as a whole

    def __init__(
        self,
        *,
        generator: Callable[..., nn.Module],
        discriminator: Callable[..., nn.Module],
        cycle_weight: Weight,
        identity_weight: Weight,
        pool_size: CountOrNone,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        assert self.source_shape is not None  # refused above
        a, b = self.source_shape, self.sample_shape
        if identity_weight > 0 and a[0] != b[0]:
            raise UserError(
                f"The sources have {a[0]} channel(s) and the images {b[0]}, so no generator can "
                "leave an image of the other kind as it is. Set model.identity_weight=0."
            )
        self.cycle_weight = cycle_weight
        self.identity_weight = identity_weight
        self.generator = BothWays(
            generator(source_shape=a, sample_shape=b), generator(source_shape=b, sample_shape=a)
        )
        self.discriminator = BothJudges(
            discriminator(sample_shape=a), discriminator(sample_shape=b)
        )
        self.pool_a, self.pool_b = ImagePool(pool_size, a), ImagePool(pool_size, b)

    @property
    def memory(self) -> dict[str, nn.Module]:
        return {"pool_a": self.pool_a, "pool_b": self.pool_b}

    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        n = len(batch)
        return {name: draws.uniform(n, 2, dtype=batch.images.dtype) for name in self.memory}

    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        return self.generator.ab(source_of(batch))

    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        if player == "generator":
            return self.generator_loss(batch, fakes)
        return self.discriminator_loss(batch, drawn, fakes)

    def discriminator_loss(self, batch: Batch, drawn: Drawn, fakes: Tensor) -> PlayerLoss:
        """The sum over both domains, of fakes out of the pools; the scores are domain B's."""
        with torch.no_grad():
            fake_a = self.generator.ba(batch.images)
        seen_a, images_a, filled_a = self.pool_a.shown(fake_a, drawn["pool_a"])
        seen_b, images_b, filled_b = self.pool_b.shown(fakes.detach(), drawn["pool_b"])
        loss_a, _ = _against(self.discriminator.a, source_of(batch), seen_a)
        loss_b, scores = _against(self.discriminator.b, batch.images, seen_b)
        parts = {"loss/discriminator_a": loss_a.detach(), "loss/discriminator_b": loss_b.detach()}
        found = {"pool_a.images": images_a, "pool_a.filled": filled_a}
        found |= {"pool_b.images": images_b, "pool_b.filled": filled_b}
        return PlayerLoss(loss_a + loss_b, parts, scores, found)

    def generator_loss(self, batch: Batch, fakes: Tensor) -> PlayerLoss:
        """Both translators' least squares, `cycle_weight` times both cycles, and the identities.

        Source: Zhu et al. 2017, Eq. 3; the identity terms are those of Section 5.2.
        """
        a, b = source_of(batch), batch.images
        there, back = self.generator.ab, self.generator.ba
        fake_a = back(b)
        fooling = _misses(self.discriminator.b(fakes), 1) + _misses(self.discriminator.a(fake_a), 1)
        cycle = _apart(back(fakes), a) + _apart(there(fake_a), b)
        parts = {"loss/adversarial": fooling.detach(), "loss/cycle": cycle.detach()}
        total = fooling + self.cycle_weight * cycle
        if self.identity_weight > 0:
            identity = _apart(there(b), b) + _apart(back(a), a)
            parts["loss/identity"] = identity.detach()
            total = total + self.cycle_weight * self.identity_weight * identity
        return PlayerLoss(total, parts)

    def remembered(self, player: str, slices: Sequence[PlayerLoss]) -> Memories:
        if player != "discriminator":
            return {}
        (terms,) = slices  # the batch is never cut: see `sliceable`
        return {
            name: {key: terms.found[f"{name}.{key}"] for key in ("images", "filled")}
            for name in self.memory
        }

    def translate(self, source: Tensor, rng: torch.Generator | None) -> Tensor:
        with evaluating(self.sampler()) as generator:
            return generator(source)

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, Tensor]:
        images = super().answers(batch)["images"]
        with evaluating(self.sampler()) as generators:
            assert isinstance(generators, BothWays)
            return {"images": images, "cycle": generators.ba(images)}

    @torch.no_grad()
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores:
        fakes = self.fakes(batch, rng)
        with evaluating(self.discriminator) as judges:
            return Scores(mean_score(judges(batch.images)), mean_score(judges(fakes)), "critic")

    def compile_networks(self) -> None:
        for network in (*self.generator.children(), *self.discriminator.children()):
            network.compile()


def _misses(scores: Tensor, target: float) -> Tensor:
    """Least squares over all patches (Mao et al. 2017, arXiv:1611.04076)."""
    return (in_full(scores) - target).square().mean()


def _apart(images: Tensor, truth: Tensor) -> Tensor:
    return (in_full(images) - truth).abs().mean()


def _against(judge: nn.Module, real: Tensor, fake: Tensor) -> tuple[Tensor, Scores]:
    """Half the discriminator's loss, as in the released code, and what it said."""
    real_patches, fake_patches = in_full(judge(real)), in_full(judge(fake))
    loss = 0.5 * (_misses(real_patches, 1) + _misses(fake_patches, 0))
    said = Scores(mean_score(real_patches.detach()), mean_score(fake_patches.detach()), "critic")
    return loss, said
