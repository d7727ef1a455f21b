"""The two-player losses, as functions of the discriminator's scores.

Scores are (N,) and unbounded; D(x) = sigmoid(score) where `kind` is "logit". Every loss is a mean
over the batch and is minimised by the player whose name its method bears. `kind` says what the
score means (see Scores in models/adversarial.py): a critic's is never a probability.
`pairs_real`: the generator's loss needs the scores of real samples too. `boundary`: the score that
speaks for neither, above which a sample is taken for real; None where only differences count.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn import functional as F

from gansweep.ranges import Finite

Kind = Literal["logit", "critic", "energy", "paired_logit"]


class Loss(ABC):
    """What the discriminator's scores cost either player; the attributes are told above."""

    kind: ClassVar[Kind]
    pairs_real: ClassVar[bool] = False
    boundary: float | None = 0.0

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

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        # softplus(-l) = -log sigmoid(l), softplus(l) = -log(1 - sigmoid(l))
        return F.softplus(-real_scores).mean() + F.softplus(fake_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return F.softplus(-fake_scores).mean()


class Minimax(NonSaturating):
    """The zero-sum game: L_G = E log(1 - D(G(z))), the discriminator's loss as above.

    Source: Goodfellow et al. 2014, arXiv:1406.2661, Eq. 1 and Algorithm 1.
    """

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

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return fake_scores.mean() - real_scores.mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        return -fake_scores.mean()


class Hinge(Loss):
    """L_D = E max(0, 1 - f(x)) + E max(0, 1 + f(G(z))),  L_G = -E f(G(z)).

    Source: Miyato et al. 2018, arXiv:1802.05957, Eqs. 16 and 17.
    """

    kind = "critic"

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

    def discriminator(self, real_scores: Tensor, fake_scores: Tensor) -> Tensor:
        return F.softplus(fake_scores - real_scores).mean()

    def generator(self, real_scores: Tensor | None, fake_scores: Tensor) -> Tensor:
        assert real_scores is not None, "RelativisticPairing needs the real samples' scores"
        return F.softplus(real_scores - fake_scores).mean()
