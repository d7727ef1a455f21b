"""Quality and mode coverage from one shared pass, on the image clock."""

from __future__ import annotations

import torch
from torch import Tensor

from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.data.conditions import Conditions
from gansweep.errors import UserError
from gansweep.metrics.panel import Panel
from gansweep.models.adversarial import Adversarial


class Quality(ImageClockWatcher):
    """Scores the averaged generator every `every_kimg` thousand images, and at the end."""

    panel: Panel
    conditions: Conditions

    def work(self, module: Adversarial) -> None:
        def generate(n: int, rng: torch.Generator) -> Tensor:
            return module.fakes(self.conditions.draw(n, rng).to(module.device), rng)

        self.panel.prepare(module.device)  # a classifier is trained once, here at the latest
        self.journal.objective = self.panel.objective
        try:
            scores = self.panel.score(generate)
        except UserError:
            raise
        except ValueError as error:  # the panel refuses samples that are not finite
            self.journal.stop("diverged", str(error), module.images_seen)
            return
        self.journal.score(module.images_seen, scores)
