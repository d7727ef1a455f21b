"""What procedures that make an image of another one share."""

from abc import abstractmethod

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.evaluating import like_weights


class Translator(Adversarial):
    """A model that is given `Batch.source` and makes what is to resemble `Batch.images`."""

    takes_points = False
    needs_source = True

    @abstractmethod
    def translate(self, source: Tensor, rng: torch.Generator | None) -> Tensor:
        """What the averaged generator makes of the sources, in evaluation mode.

        rng: a CPU generator for what is random in it; None for nothing random.
        """

    @torch.no_grad()
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        return self.translate(self._given(batch), rng)

    @torch.no_grad()
    def answers(self, batch: Batch) -> dict[str, Tensor]:
        return {"images": self.translate(self._given(batch), None)}

    def _given(self, batch: Batch) -> Tensor:
        return like_weights(source_of(batch), self.sampler())


def source_of(batch: Batch) -> Tensor:
    assert batch.source is not None, "this model needs sources: see needs_source"
    return batch.source
