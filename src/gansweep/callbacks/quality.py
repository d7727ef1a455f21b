"""Measures the panel's scores and those of held-out samples every so many images."""

import torch

from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.config.ranges import Kimg
from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.errors import DivergedError
from gansweep.metrics.cache import say
from gansweep.metrics.panel import Panel, Progress
from gansweep.metrics.protocol import Score
from gansweep.metrics.scores.held_out import HeldOut, first_measured
from gansweep.models.adversarial import Adversarial


class Quality(ImageClockWatcher):
    """Scores the averaged weights every `every_kimg` thousand images and at the end.

    Several processes share the samples.
    """

    panel: Panel
    conditions: Conditions
    data: DataSource
    on_every_process = True
    at_pauses = True  # decisions at a pause need the scores

    def __init__(self, every_kimg: Kimg) -> None:
        super().__init__(every_kimg)
        self._noted = False

    def work(self, module: Adversarial) -> None:
        """Score the model on all processes together. Samples that are not finite end the run.

        Raises: UserError if a score cannot be measured, because of the data or the weights.
        """
        module.share_buffers()
        self.panel.prepare(module.device)  # trains the data's classifier if there is none yet
        try:
            scores = measure_all(module, self.panel, self.conditions, self.data)
        except DivergedError as error:
            self.journal.stop("diverged", str(error), module.images_seen, "stop_on_failure")
            return
        if self.panel.notes and not self._noted and self.journal.record is not None:
            self._noted = True  # only once per run
            for note in self.panel.notes:
                say(note)
        objective = first_measured(scores, module.judged_by) or self.panel.objective
        if objective in scores:
            if self.journal.objective not in (None, objective):
                say(
                    f"this run was judged by {self.journal.objective}, which is no longer "
                    f"measured. From now on {objective} chooses its best checkpoint."
                )
            self.journal.objective = objective
        self.journal.score(module.images_seen, scores)


def measure_all(
    module: Adversarial,
    panel: Panel,
    conditions: Conditions,
    data: DataSource,
    progress: Progress | None = None,
) -> dict[str, Score]:
    """The panel's scores of new samples, and the scores of the model's answers for held-out ones.

    progress: called with (stage, done, total) for the new samples.
    Returns: name -> score.
    Raises: DivergedError for samples or answers that are not finite.
    """

    def samples(n: int, rng: torch.Generator) -> Batch:
        """n samples of the averaged generator, with labels if it follows them.   rng: on the CPU"""
        wanted = conditions.draw(n, rng, panel.balanced).to(module.device)
        return Batch(module.fakes(wanted, rng), wanted.labels if module.conditional else None)

    scores = panel.score(samples, progress)
    held_out = HeldOut(data, panel.held_out, panel.n_held_out)
    return scores | held_out.score(module.answers, module.device, panel.backbone)
