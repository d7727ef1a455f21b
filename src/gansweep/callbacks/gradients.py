"""The gradient norm of each player."""

import pytorch_lightning as pl
import torch
from torch import nn

from gansweep.callbacks.watcher import Watcher
from gansweep.models.adversarial import Adversarial
from gansweep.records.cadence import MOST_STEPS


class GradientNorms(Watcher):
    """Logs grad_norm/PLAYER, the 2-norm of the gradient of a player's latest step.

    A player that does not move on every batch is read on its first move of each period, never with
    a stale gradient. If gradients are clipped, the model logs the norms before clipping instead.
    """

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        if trainer.is_global_zero and module.clip_grad_norm is None:
            self.look(module)

    def look(self, module: Adversarial) -> None:
        """Log the 2-norm over all parameters, for the players that are due."""
        norms, every = {}, self.every_steps or MOST_STEPS
        for place, (name, network) in enumerate(module.players.items()):
            turn = module.n_critic if place else 1
            # a player that moves every `turn` steps: its first move of a period
            periods = module.steps // every - (module.steps - turn) // every
            if module.steps % turn == 0 and periods > 0:
                gradients = [p.grad for p in network.parameters() if p.grad is not None]
                if gradients:
                    norms[f"grad_norm/{name}"] = nn.utils.get_total_norm(gradients)
        if norms:
            values = torch.stack(list(norms.values())).tolist()
            self.journal.log(module.images_seen, dict(zip(norms, values, strict=True)))
