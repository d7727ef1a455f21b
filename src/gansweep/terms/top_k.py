"""The generator learns from its best fakes alone: Sinha et al. 2020, arXiv:2002.06224."""

from collections.abc import Mapping

from torch import Tensor

from gansweep.terms.clock import Clock
from gansweep.terms.losses import Kind
from gansweep.terms.schedules import Schedule, value_at
from gansweep.terms.term import Term, TwoPlayers


class TopK(Term):
    """Keeps the share of a batch's fakes that the discriminator takes most for real.

    share: (kimg, budget_kimg) -> that share, in 0 to 1; one fake at least is kept. Of several
        processes each chooses in its own slice of the batch.
    Source: Section 3.
    """

    compares_samples = True

    def __init__(self, share: Schedule) -> None:
        self.share = share

    def misfit(self, game: TwoPlayers) -> str:
        if "top_k" in game.loss.combines_with:
            return ""
        return (
            "model.top_k chooses among the fakes, and this loss compares each with real samples. "
            "Use model.top_k=null, or another loss, as gansweep.terms.losses.NonSaturating."
        )

    def chosen(self, fake_scores: Tensor, kind: Kind, clock: Clock) -> Tensor:
        kept = max(1, int(value_at(self.share, clock) * len(fake_scores)))
        return fake_scores.topk(kept, largest=kind != "energy").values

    def settings(self) -> Mapping[str, float | Schedule]:
        return {"share": self.share}
