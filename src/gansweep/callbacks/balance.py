"""The balance of the discriminator's outputs on the current training batch."""

import torch

from gansweep.callbacks.watcher import Watcher
from gansweep.metrics.scores.equilibrium import balance
from gansweep.models.adversarial import Adversarial


class Balance(Watcher):
    def look(self, module: Adversarial) -> None:
        scores = module.last_scores
        if scores is None:
            return
        measured = balance(scores.real, scores.fake, scores.kind, scores.gamma)
        values = torch.stack(list(measured.values())).double().tolist()
        self.journal.log(module.images_seen, dict(zip(measured, values, strict=True)))
