"""A curve of the weights' size, as an example of a callback of one's own."""

import torch
from torch import nn

from gansweep.callbacks.watcher import Watcher
from gansweep.models.adversarial import Adversarial


class WeightNorms(Watcher):
    """Logs weight_norm/PLAYER, the 2-norm over all weights of a player, every `every_steps`."""

    def look(self, module: Adversarial) -> None:
        norms = {
            f"weight_norm/{name}": nn.utils.get_total_norm([p.detach() for p in net.parameters()])
            for name, net in module.players.items()
        }
        values = torch.stack(list(norms.values())).tolist()  # one wait for the device
        self.journal.log(module.images_seen, dict(zip(norms, values, strict=True)))
