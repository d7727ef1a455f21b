"""Whether the discriminator overfits its training images."""

from dataclasses import replace

import torch

from gansweep.callbacks.real_samples import Rows
from gansweep.callbacks.watcher import Watcher
from gansweep.config.ranges import Count
from gansweep.data.batch import Batch
from gansweep.data.order import generator_for
from gansweep.data.source import DataSource, Split
from gansweep.metrics.scores.equilibrium import overfitting
from gansweep.models.adversarial import Adversarial
from gansweep.models.player_loss import Scores

ROWS_KEPT = 2048  # of each split, in memory, so that a folder of images is read once
SEED = 20200611
SPLITS: tuple[Split, Split] = ("train", "validation")


class Overfitting(Watcher):
    """Logs overfit/r_t and overfit/r_v: the discriminator on training and on held-out images.

    The held-out images are the validation split. Without one, and for translators, nothing is
    logged. The generated samples are those of the current step.

    images: number of images of each kind, which are judged apart.
    Source: Karras et al. 2020 (ADA), arXiv:2006.06676, Section 3.
    """

    data: DataSource

    def __init__(self, every_steps: Count, images: Count = 64) -> None:
        super().__init__(every_steps)
        self.images = images
        self._splits: tuple[Rows, Rows] | None = None

    def look(self, module: Adversarial) -> None:
        """Log the two numbers, from random images of both splits and the step's own fakes."""
        # `scores` would translate a translator's sources again
        if module.last_scores is None or module.needs_source or not self.data.n_validation:
            return
        if self._splits is None:
            with self.journal.outside_training():
                train, held_out = (Rows.of(self.data, split, ROWS_KEPT) for split in SPLITS)
            self._splits = train, held_out
        rng = generator_for(SEED, module.images_seen)
        real = [rows.draw(self.images, rng, module) for rows in self._splits]
        # the samples of the current step, with their labels and sources
        made = module.last_fakes
        assert made is not None and module.last_asked is not None
        n = min(len(made), self.images)
        asked = module.last_asked[:n]
        fake = Batch(made[:n].to(self.batch.images), asked.labels, asked.source)
        size = n if module.compares_samples else self.images
        known, unseen, made_up = (_scores(module, kind, size, rng) for kind in (*real, fake))
        measured = overfitting(known.real, unseen.real, made_up.real, known.kind)
        values = torch.stack(list(measured.values())).tolist()
        self.journal.log(module.images_seen, dict(zip(measured, values, strict=True)))


def _scores(module: Adversarial, batch: Batch, size: int, rng: torch.Generator) -> Scores:
    """Those of a batch of one kind, `size` rows at a time; rows that fill no part are left out.

    A discriminator that packs or compares samples would else judge one kind beside another.
    """
    size = min(size, len(batch))
    starts = range(0, len(batch) - size + 1, size)
    said = [module.scores(batch[slice(k, k + size)], rng) for k in starts]
    parts = [scores for scores in said if scores is not None]
    assert parts, "it has a discriminator: see last_scores"
    return replace(parts[0], real=torch.cat([scores.real for scores in parts]))
