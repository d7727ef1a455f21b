"""Fakes with codes of different directions: Zhao, Mathieu and LeCun 2016, arXiv:1609.03126."""

from torch import Tensor
from torch.nn import functional as F

from gansweep.config.ranges import WeightInTime
from gansweep.terms.term import Step, Term


class PullingAway(Term):
    """Mean squared cosine between the features of two fakes of a batch, in the generator's loss.

    1 where all are parallel, 0 where all are orthogonal. Of several processes each compares its
    own slice of the batch.
    weight: 0.1 in the paper.   Source: Section 2.4.
    """

    compares_samples = True
    needs_features = True

    def __init__(self, *, weight: WeightInTime) -> None:
        self.weight = weight

    def generator(self, step: Step) -> Tensor:
        directions = F.normalize(step.features(step.fake), dim=1)
        squares = (directions @ directions.T).square()
        n = len(directions)
        # all but each with itself; a lone fake has no other to be pulled away from
        return (squares.sum() - squares.trace()) / max(1, n * (n - 1))
