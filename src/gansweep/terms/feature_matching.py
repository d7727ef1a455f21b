"""Fakes with the mean features of real samples: Salimans et al. 2016, arXiv:1606.03498."""

import torch
from torch import Tensor

from gansweep.config.ranges import WeightInTime
from gansweep.terms.collectives import average
from gansweep.terms.full_precision import in_full
from gansweep.terms.term import Step, Term


class FeatureMatching(Term):
    """|E f(x) - E f(G(z))|^2 in the generator's loss, f being the discriminator's features.

    The means are those of the batch of all processes; no gradient goes through f(x).
    Source: Section 3.1.
    """

    compares_samples = True
    needs_features = True

    def __init__(self, weight: WeightInTime) -> None:
        self.weight = weight

    def generator(self, step: Step) -> Tensor:
        with torch.no_grad():
            real = average(in_full(step.features(step.real)).mean(0))
        fake = average(in_full(step.features(step.fake)).mean(0))
        return (real - fake).square().sum()
