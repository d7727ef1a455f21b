"""Quality and mode coverage from one shared pass, on the image clock."""

from __future__ import annotations

import torch

from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.config.ranges import Kimg
from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.metrics.cache import say
from gansweep.metrics.panel import Panel, Progress
from gansweep.metrics.protocol import Score
from gansweep.metrics.scores.held_out import HeldOut, judged
from gansweep.models.adversarial import Adversarial


class Quality(ImageClockWatcher):
    """Scores the averaged makers every `every_kimg` thousand images, and at the end.

    Several processes share the samples.
    """

    panel: Panel
    conditions: Conditions
    data: DataSource
    on_every_process = True
    at_pauses = True  # what is decided then is decided by the scores

    def __init__(self, every_kimg: Kimg) -> None:
        super().__init__(every_kimg)
        self._noted = False

    def work(self, module: Adversarial) -> None:
        """Score the model on every process together; samples that are not finite end the run.

        Raises: UserError where no score can be had: the data or the weights must be mended.
        """
        module.share_buffers()
        self.panel.prepare(module.device)  # a classifier is trained once, here at the latest
        try:
            scores = measured(module, self.panel, self.conditions, self.data)
        except UserError:
            raise
        except ValueError as error:  # the panel refuses samples that are not finite
            self.journal.stop("diverged", str(error), module.images_seen, "stop_on_failure")
            return
        if self.panel.notes and not self._noted and self.journal.record is not None:
            self._noted = True  # once: what a young generator misses it may still miss later
            for note in self.panel.notes:
                say(note)
        objective = judged(scores, module.judged_by) or self.panel.objective
        if objective in scores:
            if self.journal.objective not in (None, objective):
                say(
                    f"this run was judged by {self.journal.objective}, which is not measured any "
                    f"more; from here on its best checkpoint is that of {objective}."
                )
            self.journal.objective = objective
        self.journal.score(module.images_seen, scores)


def measured(
    module: Adversarial,
    panel: Panel,
    conditions: Conditions,
    data: DataSource,
    progress: Progress | None = None,
) -> dict[str, Score]:
    """The panel's scores of new samples, and those of what the model says of held-out ones: of the
    panel's held-out split."""
    scores = panel.score(lambda n, rng: made(module, conditions, n, rng, panel.balanced), progress)
    held_out = HeldOut(data, panel.held_out, panel.n_held_out)
    return scores | held_out.score(module.answers, module.device, panel.backbone)


def made(
    module: Adversarial,
    conditions: Conditions,
    n: int,
    rng: torch.Generator,
    balanced: bool = False,
) -> Batch:
    """n samples of the averaged generator, and the labels it was asked for where it follows them.

    rng: a CPU generator.   balanced: it is asked for every class equally often.
    """
    wanted = conditions.draw(n, rng, balanced).to(module.device)
    return Batch(module.fakes(wanted, rng), wanted.labels if module.conditional else None)
