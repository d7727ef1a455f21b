"""The two-player losses, as functions of the discriminator's scores.

Scores are (N,) and unbounded; D(x) = sigmoid(score) where `kind` is "logit". Every loss is a mean
over the batch and is minimised by the player whose name its method has. A loss declares what else
others need to know of it (see Loss): the game, the record, and the doctor, which reads the record.
"""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from gansweep.config.ranges import Finite, Positive

Kind = Literal["logit", "critic", "energy", "paired_logit"]


class Loss(ABC):
    """What the discriminator's scores cost either player.

    kind: what a score means (see Scores in models/player_loss.py); only a logit's is a probability.
    boundary: the score above which a sample is taken for real; None if only differences count.
    tie: the discriminator's loss when all scores are the boundary, or alike; None if the loss has
        no best value to compare with.
    pairs_real: whether the generator's loss needs the scores of real samples too, the i-th beside
        the i-th fake.
    compares_samples: whether a sample's part of the loss depends on other samples than its partner:
        then the loss of a batch is not the mean of its slices' losses.
    needs_lipschitz: whether the discriminator's loss is unbounded unless its slope is limited.
    saturates: whether the generator's gradient vanishes where the discriminator is sure.
    """

    kind: ClassVar[Kind]
    boundary: float | None = 0.0
    tie: float | None = None
    pairs_real: ClassVar[bool] = False
    compares_samples: ClassVar[bool] = False
    needs_lipschitz: ClassVar[bool] = False
    saturates: ClassVar[bool] = False

    @property
    def combines_with(self) -> frozenset[str]:
        """Which of "ada", "top_k" and "accumulate" can join it.

        ADA counts the samples beyond the boundary, top-k drops fakes, which must have no partner
        and no part in the others' loss, and accumulation adds up the losses of slices.
        """
        fits = {
            "ada": self.boundary is not None,
            "top_k": not self.pairs_real and not self.compares_samples,
            "accumulate": not self.compares_samples,
        }
        return frozenset(term for term, does in fits.items() if does)

    def declared(self) -> dict[str, Any]:
        """All of this in plain values, for the record."""
        return {
            "kind": self.kind,
            "boundary": self.boundary,
            "tie": self.tie,
            "pairs_real": self.pairs_real,
            "compares_samples": self.compares_samples,
            "needs_lipschitz": self.needs_lipschitz,
            "saturates": self.saturates,
            "combines_with": sorted(self.combines_with),
        }

    @abstractmethod
    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        """The discriminator's loss. real_scores, fake_scores: (N,).   Returns: scalar."""

    @abstractmethod
    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        """The generator's loss; real_scores may be None but where pairs_real.   Returns: scalar."""


class NonSaturating(Loss):
    """Cross-entropy; the generator maximises log D(G(z)), whose gradient lasts while D wins.

    L_D = -E log D(x) - E log(1 - D(G(z))),  L_G = -E log D(G(z)).  At D = 1/2: log 4 and log 2.
    Source: Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1 and the end of Section 3.
    """

    kind = "logit"
    tie = math.log(4)

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        # softplus(-l) = -log sigmoid(l), softplus(l) = -log(1 - sigmoid(l))
        return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return F.softplus(-fake_scores).mean()


class Minimax(NonSaturating):
    """The zero-sum game: L_G = E log(1 - D(G(z))), the discriminator's loss as above.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1 and Algorithm 1.
    """

    saturates = True

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return -F.softplus(fake_scores).mean()


class LeastSquares(Loss):
    """Squared distances from targets: a for fake, b for real, c is what the generator aims at.

    L_D = 1/2 E(D(x) - b)^2 + 1/2 E(D(G(z)) - a)^2,  L_G = 1/2 E(D(G(z)) - c)^2.
    a=0, b=c=1 is the paper's Eq. 9; a=-1, b=1, c=0 its Eq. 8, Pearson's chi-squared divergence.
    Source: Mao et al. 2017, arXiv:1611.04076, Eq. 2.
    """

    kind = "critic"  # the score aims at a or b, but nothing bounds it: no probability

    def __init__(
        self,
        *,
        fake_target: Finite = 0.0,
        real_target: Finite = 1.0,
        generator_target: Finite = 1.0,
    ) -> None:
        self.fake_target = fake_target
        self.real_target = real_target
        self.generator_target = generator_target
        self.boundary = (fake_target + real_target) / 2
        self.tie = (real_target - fake_target) ** 2 / 4

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        real = (real_scores - self.real_target).square().mean()
        fake = (fake_scores - self.fake_target).square().mean()
        return 0.5 * (real + fake)

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return 0.5 * (fake_scores - self.generator_target).square().mean()


class Wasserstein(Loss):
    """L_D = E f(G(z)) - E f(x),  L_G = -E f(G(z)), f held Lipschitz by clipping or a penalty.

    Source: Arjovsky et al. 2017, arXiv:1701.07875, Algorithm 1.
    """

    kind = "critic"
    boundary = None  # a constant added to f leaves both losses as they are
    needs_lipschitz = True

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean() - real_scores.mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()


class Hinge(Loss):
    """L_D = E max(0, 1 - f(x)) + E max(0, 1 + f(G(z))),  L_G = -E f(G(z)).

    Source: Miyato et al. 2018, arXiv:1802.05957, Eqs. 16 and 17.
    """

    kind = "critic"
    tie = 2.0

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return F.relu(1 - real_scores).mean() + F.relu(1 + fake_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()


class RelativisticPairing(Loss):
    """Each fake is judged against one real sample: the i-th against the i-th.

    L_D = E softplus(f(G(z)) - f(x)),  L_G = E softplus(f(x) - f(G(z))).
    Source: Huang et al. 2024, arXiv:2501.05441, Eq. 2 with f(t) = -log(1 + exp(-t)).
    """

    kind = "paired_logit"
    pairs_real = True
    boundary = None
    tie = math.log(2)

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return F.softplus(fake_scores - real_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        assert real_scores is not None, "RelativisticPairing needs the real samples' scores"
        return F.softplus(real_scores - fake_scores).mean()


class RelativisticAverage(Loss):
    """Each sample is judged against the mean score of the other kind (RaSGAN).

    L_D = E softplus(E f(G(z)) - f(x)) + E softplus(f(G(z)) - E f(x)),  and L_G is L_D with real and
    generated samples exchanged. Of several processes each takes the means of its own slice.
    Source: Jolicoeur-Martineau 2018, arXiv:1807.00734, Section 4.
    """

    kind = "paired_logit"
    pairs_real = True
    compares_samples = True
    boundary = None
    tie = math.log(4)

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        real = F.softplus(fake_scores.mean() - real_scores).mean()
        return real + F.softplus(fake_scores - real_scores.mean()).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        assert real_scores is not None, "RelativisticAverage needs the real samples' scores"
        return self.discriminator(fake_scores, real_scores)


class EnergyMargin(Loss):
    """L_D = E f(x) + E max(0, margin - f(G(z))),  L_G = E f(G(z)), on energies f of at least 0.

    Source: Zhao et al. 2016, arXiv:1609.03126, Eqs. 1 and 2.
    """

    kind = "energy"
    boundary = None

    def __init__(self, *, margin: Positive) -> None:
        self.margin = margin
        self.tie = margin  # at any energy up to the margin

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return real_scores.mean() + F.relu(self.margin - fake_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean()
