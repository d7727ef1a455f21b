"""Differentiable augmentation: what the discriminator sees instead of the samples themselves.

An augmentation changes real and generated samples alike, in the losses of both players, so that
the discriminator cannot know few images by heart and the generator need not imitate the changes.
It is called as augmentation(images, draw) and returns images of the same shape. It is a term (see
term.py): the caller draws the random tensors that `noise(images)` asks for.

Shapes: N batch, C channels, H and W pixels. Images are in [-1, 1]; results may leave that range.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gansweep.config.ranges import Count, Kimg, Share, ShareInTime
from gansweep.terms.clock import Clock
from gansweep.terms.resampling import read
from gansweep.terms.schedules import Schedule, value_at
from gansweep.terms.term import Draw, Judged, Noise, Term, TwoPlayers


class Augmentation(Term, ABC):
    """A differentiable change of images, random only by the draw that it is given."""

    @abstractmethod
    def __call__(self, images: Tensor, draw: Draw) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""

    def shown(self, samples: Tensor, draw: Draw, clock: Clock) -> Tensor:
        changed: Tensor = self(samples, draw)
        return changed

    def misfit(self, game: TwoPlayers) -> str:
        if len(game.sample_shape) == 3:
            return ""
        return (
            "model.augment changes images, and the data are points. Use model.augment=null, "
            "or image data, as data=digits."
        )


class RandomChanges(Augmentation):
    """Changes that come with a probability p, which is given.   p: a number or a schedule."""

    p: float | Schedule

    @abstractmethod
    def __call__(self, images: Tensor, draw: Draw, p: float | Tensor = 1.0) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""

    def shown(self, samples: Tensor, draw: Draw, clock: Clock) -> Tensor:
        changed: Tensor = self(samples, draw, value_at(self.p, clock))
        return changed

    def settings(self) -> Mapping[str, float | Schedule]:
        return {"p": self.p}


class DiffAugment(RandomChanges):
    """Colour, translation and cutout, each on every image, or with the probability p.

    policy: those in use. "color": brightness + U(-1/2, 1/2), saturation times U(0, 2) around the
    mean of the channels, contrast times U(1/2, 3/2) around the image's mean; "translation": up to
    an eighth of the side, in whole pixels; "cutout": a square of half the side, its centre
    anywhere. New pixels are 0, mid-grey, as in the authors' code.
    Source: Zhao et al. 2020, arXiv:2006.10738, Section 3.2.
    """

    def __init__(
        self,
        *,
        policy: Sequence[Literal["color", "translation", "cutout"]],
        p: ShareInTime = 1.0,
    ) -> None:
        self.policy = tuple(policy)
        self.p = p

    def noise(self, samples: Tensor) -> Noise:
        counts = {"color": 3, "translation": 2, "cutout": 2}
        wanted: Noise = {name: ("uniform", (len(samples), counts[name])) for name in self.policy}
        if self.p != 1:
            wanted |= {f"{name}_happens": ("uniform", (len(samples), 1)) for name in self.policy}
        return wanted

    def __call__(self, images: Tensor, draw: Draw, p: float | Tensor = 1.0) -> Tensor:
        for name, change in (("color", recoloured), ("translation", moved), ("cutout", cut_out)):
            if name not in self.policy:
                continue
            changed = change(images, draw[name])
            if self.p != 1:
                happens = draw[f"{name}_happens"] < p
                changed = torch.where(happens[:, :, None, None], changed, images)
            images = changed
        return images


def recoloured(images: Tensor, draw: Tensor) -> Tensor:
    """DiffAugment's colours.   draw: (N, 3) on [0, 1): brightness, saturation, contrast."""
    brightness, saturation, contrast = (draw.to(images)[:, k, None, None, None] for k in range(3))
    images = images + brightness - 0.5
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * 2 * saturation
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * (contrast + 0.5)


def moved(images: Tensor, draw: Tensor) -> Tensor:
    """DiffAugment's translation.   draw: (N, 2) on [0, 1): down, right."""
    return shifted(images, shifts(draw, reach_of(images)))


def cut_out(images: Tensor, draw: Tensor) -> Tensor:
    """DiffAugment's cutout.   draw: (N, 2) on [0, 1): where the centre is."""
    height, width = images.shape[2:]
    sides = int(height / 2 + 0.5), int(width / 2 + 0.5)
    return images * _outside_square(draw, (height, width), sides).to(images)


def shifted(images: Tensor, by: Tensor, *, reflect: bool = False) -> Tensor:
    """Each image moved by its own whole pixels; 0 comes in, or what is reflected at the border.

    by: (N, 2) int64, down and right, each smaller than its side.
    """
    height, width = images.shape[2:]
    rows = torch.arange(height, device=images.device) - by[:, :1]
    columns = torch.arange(width, device=images.device) - by[:, 1:]
    n = torch.arange(len(images), device=images.device)[:, None, None]
    y, x = _reflected(rows, height)[:, :, None], _reflected(columns, width)[:, None, :]
    moved = images.permute(0, 2, 3, 1)[n, y, x].permute(0, 3, 1, 2)
    if reflect:
        return moved
    inside = (y == rows[:, :, None]) & (x == columns[:, None, :])
    return moved * inside[:, None].to(images)


def _reflected(places: Tensor, n: int) -> Tensor:
    """Places beyond 0 ... n - 1 mirrored at the outermost pixels' centres."""
    return (n - 1) - ((n - 1) - places.abs()).abs()


def reach_of(images: Tensor) -> tuple[int, int]:
    """An eighth of the height and of the width in whole pixels."""
    return int(images.shape[2] / 8 + 0.5), int(images.shape[3] / 8 + 0.5)


def shifts(draw: Tensor, reach: tuple[int, int]) -> Tensor:
    """(N, 2) on [0, 1) -> int64, uniform on -reach ... reach of each axis."""
    most = torch.tensor(reach, device=draw.device)
    return (draw * (2 * most + 1)).floor().long() - most


def mirrored(images: Tensor, chosen: Tensor) -> Tensor:
    """Left and right exchanged in the images that are chosen, (N,) bool."""
    return torch.where(chosen[:, None, None, None], images.flip(3), images)


def _outside_square(draw: Tensor, size: tuple[int, int], sides: tuple[int, int]) -> Tensor:
    """(N, 1, H, W), False in a rectangle whose centre is anywhere in the image, borders clipped."""
    within = []
    for axis, (n, side) in enumerate(zip(size, sides, strict=True)):
        start = (draw[:, axis, None] * (n + 1 - side % 2)).floor() - side // 2
        k = torch.arange(n, device=draw.device)
        within.append((k >= start) & (k < start + side))
    return ~(within[0][:, None, :, None] & within[1][:, None, None, :])


class StochasticAugment(RandomChanges):
    """ADA's changes, each with the same probability p, which is given.

    The changes are the paper's pixel blitting, geometry and colours ("bgc"), in its strengths:
    mirroring, quarter turns and shifts by whole pixels (up to an eighth); scaling, rotation,
    stretching and shifts by fractions; brightness, contrast, luma flip, hue and saturation (the
    last two do not show in grey images).
    Ours: geometry is one bilinear resampling with reflected borders, without a wavelet filter.
    Source: Karras et al. 2020, arXiv:2006.06676, Sections 2.2 and 3, Appendix B.
    """

    channels: ClassVar[tuple[int, ...]] = (1, 3)  # of the images that it can change

    def __init__(self, *, p: ShareInTime) -> None:
        self.p = p

    def misfit(self, game: TwoPlayers) -> str:
        if reason := super().misfit(game):
            return reason
        if game.sample_shape[0] in self.channels:
            return ""
        return (
            f"{type(self).__name__} changes colours, and the images have {game.sample_shape[0]} "
            "channels: use images of 1 or 3 channels, or term=diffaugment."
        )

    def noise(self, samples: Tensor) -> Noise:
        n = len(samples)
        return {"chance": ("uniform", (n, 13)), "u": ("uniform", (n, 8)), "v": ("normal", (n, 7))}

    def __call__(self, images: Tensor, draw: Draw, p: float | Tensor = 1.0) -> Tensor:
        # places of pixels need more digits than the 16-bit numbers of autocast have
        with torch.autocast(device_type=images.device.type, enabled=False):
            wide = images.to(torch.promote_types(images.dtype, torch.float32))
            return self._changed(wide, draw, torch.as_tensor(p).to(wide)).to(images.dtype)

    def _changed(self, images: Tensor, draw: Draw, p: Tensor) -> Tensor:
        chance, u, v = (draw[name].to(images) for name in ("chance", "u", "v"))
        # two rotations together happen with the probability p
        limits = torch.stack([p] * 4 + [1 - (1 - p).clamp_min(0).sqrt()] * 2 + [p] * 7)
        moves, recolours = (chance < limits).split([8, 5], dim=1)
        moved, coloured = (part.any(1)[:, None, None, None] for part in (moves, recolours))
        warp = geometry(moves, u, v, images.shape[2:])
        images = torch.where(moved, resampled(images, warp), images)
        return torch.where(coloured, mixed(images, colours(recolours, u, v)), images)


class ADA(StochasticAugment, nn.Module):
    """StochasticAugment with a p that follows how much the discriminator overfits.

    p rises while r_t = E[sign D(x)] of the (changed) real samples is above `target`, and falls
    below it, at the rate from 0 to 1 in `kimg`; it is never below 0. r_t is the mean over
    `every_batches` batches of the discriminator's, and over the processes.
    Source: Karras et al. 2020, arXiv:2006.06676, Section 3.
    """

    p: Tensor  # type: ignore[assignment]  # a buffer in place of a setting
    signs: Tensor
    batches: Tensor

    def __init__(
        self, *, target: Share = 0.6, kimg: Kimg = 500.0, every_batches: Count = 4, start: Share = 0
    ) -> None:
        nn.Module.__init__(self)
        self.target, self.kimg, self.every_batches = target, kimg, every_batches
        self.register_buffer("p", torch.tensor(float(start)))
        self.register_buffer("signs", torch.tensor(0.0))
        self.register_buffer("batches", torch.tensor(0.0))

    def misfit(self, game: TwoPlayers) -> str:
        reason = super().misfit(game)
        if reason or "ada" in game.loss.combines_with:
            return reason
        return (
            "ADA follows how many samples the discriminator takes for real, and the scores of "
            f"{type(game.loss).__name__} have no boundary that says so. Use term=diffaugment, or "
            "another loss, as gansweep.terms.losses.NonSaturating."
        )

    def shown(self, samples: Tensor, draw: Draw, clock: Clock) -> Tensor:
        changed: Tensor = self(samples, draw)
        return changed

    def forward(self, images: Tensor, draw: Draw) -> Tensor:
        return StochasticAugment.__call__(self, images, draw, self.p)

    __call__ = nn.Module.__call__

    @torch.no_grad()
    def learned(self, judged: Judged) -> Mapping[str, Tensor]:
        signs, batches = self.signs + judged.taken, self.batches + 1
        due = batches >= self.every_batches  # a tensor: no wait for the device
        step = judged.images * self.every_batches / (self.kimg * 1000)
        moved = self.p + torch.sign(signs / batches - self.target) * step
        p = torch.where(due, moved.clamp_min(0), self.p)
        return {"p": p, "signs": signs * ~due, "batches": batches * ~due}

    def parts(self) -> dict[str, Tensor]:
        return {"augment/p": self.p.clone()}


def geometry(happens: Tensor, u: Tensor, v: Tensor, size: Sequence[int]) -> Tensor:
    """ADA's blitting and geometry, as the map from places in the result to places in the image.

    happens: (N, 8) bool: mirroring, quarter turn, shift by whole pixels, scaling, rotation before
        and after stretching, stretching, shift by fractions.
    u: (N, 8) on [0, 1).   v: (N, 7) normal.   size: (H, W).
    Returns: (N, 3, 3), for pixels counted from the image's centre, right and down.
    """
    height, width = size
    side = torch.tensor([width, height], device=u.device)

    def where(k: int, value: Tensor, otherwise: float) -> Tensor:
        chosen = happens[:, k] if value.dim() == 1 else happens[:, k, None]
        return torch.where(chosen, value, otherwise)

    mirror = where(0, 1 - 2 * (u[:, 0] * 2).floor(), 1.0)
    quarters = where(1, (u[:, 1] * 4).floor() * (torch.pi / 2), 0.0)
    whole = where(2, ((2 * u[:, 2:4] - 1) * side / 8).round(), 0.0)
    scale = where(3, torch.exp2(0.2 * v[:, 0]), 1.0)
    before = where(4, (2 * u[:, 4] - 1) * torch.pi, 0.0)
    after = where(5, (2 * u[:, 5] - 1) * torch.pi, 0.0)
    stretch = where(6, torch.exp2(0.2 * v[:, 1]), 1.0)
    part = where(7, v[:, 2:4] * side / 8, 0.0)
    steps = (
        _scaling(mirror, torch.ones_like(mirror)),
        _rotation(quarters),
        _translation(-whole),
        _scaling(1 / scale, 1 / scale),
        _rotation(before),
        _scaling(1 / stretch, stretch),
        _rotation(after),
        _translation(-part),
    )
    return reduce(torch.matmul, steps)


def _scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], 1))


def _rotation(angle: Tensor) -> Tensor:
    c, s, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([c, -s, zero, s, c, zero, zero, zero, one], 1).unflatten(1, (3, 3))


def _translation(by: Tensor) -> Tensor:
    zero, one = torch.zeros_like(by[:, 0]), torch.ones_like(by[:, 0])
    rows = [one, zero, by[:, 0], zero, one, by[:, 1], zero, zero, one]
    return torch.stack(rows, 1).unflatten(1, (3, 3))


def resampled(images: Tensor, warp: Tensor) -> Tensor:
    """Each image read at warp (3, 3) of every pixel's place, bilinear, borders reflected."""
    height, width = images.shape[2:]
    halves = torch.tensor([width / 2, height / 2, 1.0]).to(warp)
    theta = warp * halves / halves[:, None]  # affine_grid counts in halves of the sides
    grid = F.affine_grid(theta[:, :2], list(images.shape), align_corners=False)
    return read(images, grid)


def colours(happens: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """ADA's colours as one affine map of (red, green, blue).

    happens: (N, 5) bool: brightness, contrast, luma flip, hue, saturation.   u, v: as for geometry.
    Returns: (N, 3, 4).
    """
    brightness = torch.where(happens[:, 0], 0.2 * v[:, 4], 0.0)
    contrast = torch.where(happens[:, 1], torch.exp2(0.5 * v[:, 5]), 1.0)
    flip = torch.where(happens[:, 2], 1 - 2 * (u[:, 6] * 2).floor(), 1.0)
    hue = torch.where(happens[:, 3], (2 * u[:, 7] - 1) * torch.pi, 0.0)
    saturation = torch.where(happens[:, 4], torch.exp2(v[:, 6]), 1.0)
    # along the grey axis luma flip acts; around it hue turns and saturation stretches
    identity = torch.eye(3).to(u)
    along = torch.full((3, 3), 1 / 3).to(u)
    turn = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]).to(u) / 3**0.5
    c, s = (saturation * hue.cos())[:, None, None], (saturation * hue.sin())[:, None, None]
    linear = flip[:, None, None] * along + c * (identity - along) + s * turn
    linear = contrast[:, None, None] * linear
    offset = linear @ brightness[:, None, None].expand(-1, 3, 1)
    return torch.cat([linear, offset], dim=2)


def mixed(images: Tensor, matrix: Tensor) -> Tensor:
    """The colours of (N, 3, H, W), or the greys of (N, 1, H, W), through affine maps (N, 3, 4)."""
    if images.shape[1] == 1:  # what grey, (g, g, g), becomes: the maps keep it grey
        gain, offset = matrix[:, :, :3].sum(2).mean(1), matrix[:, :, 3].mean(1)
        return images * gain[:, None, None, None] + offset[:, None, None, None]
    pixels = torch.einsum("nij,njhw->nihw", matrix[:, :, :3], images)
    return pixels + matrix[:, :, 3, None, None]
