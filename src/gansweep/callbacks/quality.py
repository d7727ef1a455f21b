"""Quality and mode coverage from one shared pass, on the image clock."""

from __future__ import annotations

import torch

from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.errors import UserError
from gansweep.metrics.cache import say
from gansweep.metrics.panel import Panel
from gansweep.models.adversarial import Adversarial


class Quality(ImageClockWatcher):
    """Scores the averaged generator every `every_kimg` thousand images, and at the end.

    Several processes share the samples.
    """

    panel: Panel
    conditions: Conditions
    on_every_process = True

    def __init__(self, every_kimg: float) -> None:
        super().__init__(every_kimg)
        self._noted = False

    def work(self, module: Adversarial) -> None:
        module.share_buffers()
        self.panel.prepare(module.device)  # a classifier is trained once, here at the latest
        try:
            scores = self.panel.score(lambda n, rng: made(module, self.conditions, n, rng))
        except UserError:
            raise
        except ValueError as error:  # the panel refuses samples that are not finite
            self.journal.stop("diverged", str(error), module.images_seen, "stop_on_failure")
            return
        if self.panel.notes and not self._noted and self.journal.record is not None:
            self._noted = True  # once: what a young generator misses it may still miss later
            for note in self.panel.notes:
                say(note)
        if self.panel.objective in scores:
            self.journal.objective = self.panel.objective
        self.journal.score(module.images_seen, scores)


def made(module: Adversarial, conditions: Conditions, n: int, rng: torch.Generator) -> Batch:
    """n samples of the averaged generator, and the labels it was asked for where it follows them.

    rng: a CPU generator.
    """
    wanted = conditions.draw(n, rng).to(module.device)
    return Batch(module.fakes(wanted, rng), wanted.labels if module.conditional else None)
