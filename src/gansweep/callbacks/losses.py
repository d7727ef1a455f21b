"""Losses and penalties of the players, averaged since the last row, and what schedules set."""

from gansweep.callbacks.watcher import Watcher
from gansweep.models.adversarial import Adversarial


class Losses(Watcher):
    def look(self, module: Adversarial) -> None:
        row = module.recent_means()
        if module.lr_schedule is not None:
            row |= {f"lr/{player}": lr for player, lr in module.learning_rates.items()}
        if module.last_clock is not None:
            row |= module.scheduled(module.last_clock)
        self.journal.log(module.images_seen, row)
