"""How near the fakes are to the training batch: for a run that sees one batch only."""

import torch

from gansweep.callbacks.watcher import Watcher
from gansweep.models.adversarial import Adversarial


class Memorised(Watcher):
    """Logs memorised/distance and memorised/share on the newest fakes and the training batch.

    distance: of a fake to its nearest sample of the batch, averaged over the fakes: the root mean
        square over pixels or coordinates, in units of the data ([-1, 1] for images).
    share: of the batch's samples that are the nearest one of some fake. It is low if the generator
        has memorised only a part of the batch.
    """

    def look(self, module: Adversarial) -> None:
        """Log both, if the game has made fakes of the batch's shape."""
        real, fakes = self.batch.images, module.last_fakes
        if fakes is None or fakes.shape[1:] != real.shape[1:]:
            return
        distances = torch.cdist(fakes.float().flatten(1), real.float().flatten(1))
        nearest, which = distances.min(dim=1)
        row = {
            "memorised/distance": float(nearest.mean()) / real[0].numel() ** 0.5,
            "memorised/share": len(which.unique()) / len(real),
        }
        self.journal.log(module.images_seen, row)
