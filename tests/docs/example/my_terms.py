"""Scores held near 0, as an example of a term of one's own."""

from torch import Tensor

from gansweep.terms.term import Step, Term


class Drift(Term):
    """E f(x)^2 in the discriminator's loss, f being the scores of real samples.

    weight: 0.001 in the paper.
    Source: Karras et al. 2018, arXiv:1710.10196, Appendix A.1.
    """

    def __init__(self, *, weight: float) -> None:
        self.weight = weight

    def discriminator(self, step: Step) -> Tensor:
        assert step.real_scores is not None
        return step.real_scores.square().mean()
