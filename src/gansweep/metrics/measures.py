"""The catalogue of measures that a panel chooses from."""

from __future__ import annotations

from gansweep.metrics.measure import Measure
from gansweep.metrics.scores.agreement import Agreement
from gansweep.metrics.scores.bins import Bins
from gansweep.metrics.scores.birthday import Support
from gansweep.metrics.scores.fifty_fifty import Fresh
from gansweep.metrics.scores.frechet import Fid, IntraFid
from gansweep.metrics.scores.frechet_limit import FidError, FidInfinity
from gansweep.metrics.scores.inception_score import Inception, ModeScores
from gansweep.metrics.scores.kernel import Kid
from gansweep.metrics.scores.memorisation import Copying
from gansweep.metrics.scores.modes import Modes
from gansweep.metrics.scores.parzen import Parzen
from gansweep.metrics.scores.prdc import Fidelity
from gansweep.metrics.scores.vendi import Diversity

MEASURES: tuple[Measure, ...] = (
    Fid(),
    FidError(),
    FidInfinity(),
    IntraFid(),
    Inception(),
    ModeScores(),
    Kid(),
    Fidelity(),
    Modes(),
    Agreement(),
    Bins(),
    Support(),
    Diversity(),
    Copying(),
    Fresh(),
    Parzen(),
)
