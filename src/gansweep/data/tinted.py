"""A second known attribute beside the class: some images of a set are tinted, others are not."""

import torch
from torch import Tensor

from gansweep.config.ranges import Share
from gansweep.data.order import generator_for
from gansweep.data.resident import DerivedSource, whole
from gansweep.data.source import Arrays, DataSource, Split
from gansweep.data.tasks import tinted
from gansweep.errors import UserError

TINT_SEED = 20160107
PARTS = 1_000_003  # into which images fall by their pixels; a prime


class Tinted(DerivedSource):
    """The images of a set in three channels, some of them in navy and amber (data.task=tint).

    Splits and labels are those of the base set.
    base: images of one or three channels; its `flip` is used here.
    share: about this share of the images of each split is tinted. A hash of its pixels decides for
        each image, so that it looks the same in every split and every run.
    """

    def __init__(self, base: DataSource, share: Share = 0.5) -> None:
        super().__init__(base, f"{base.name}_tinted", flip=getattr(base, "flip", False))
        self.share = share
        if base.is_points:
            raise UserError("data=tinted needs images: use a set such as data@data.base=mnist.")
        for option, key in (("n_labels", "n_labels"), ("random_crop", "crop")):
            if getattr(base, option, None):
                raise UserError(
                    f"data.base.{key} has no effect with data=tinted, which tints the unchanged "
                    f"images of a set. Leave data.base.{key} out."
                )

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, *self.base.shape[1:])

    @property
    def undivided(self) -> DataSource:
        base = self.base.undivided
        return self if base is self.base else Tinted(base, self.share)

    def prepare(self) -> None:
        self.base.prepare()
        super().prepare()

    def read(self, split: Split) -> Arrays:
        images, labels = whole(self.base, split)
        chosen = self.chosen(images)
        made = images.expand(-1, 3, -1, -1).contiguous()
        made[chosen] = tinted(images[chosen])
        return made, labels

    def chosen(self, images: Tensor) -> Tensor:
        """(N,) bool: which images of the base set, (N, C, H, W) uint8, are tinted."""
        rng = generator_for(TINT_SEED)
        weights = torch.randint(PARTS, images[0].shape, generator=rng)
        parts = [(some.long() * weights).flatten(1).sum(1) for some in images.split(1000)]
        return torch.cat(parts) % PARTS < self.share * PARTS
