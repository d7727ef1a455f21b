"""Stops a run that cannot recover, and reports when it failed."""

import itertools
import math
import statistics
from collections.abc import Sequence
from typing import Annotated

import pytorch_lightning as pl

from gansweep.callbacks.journal import Journal
from gansweep.callbacks.watcher import Watcher
from gansweep.config.ranges import Count, KimgOrNone, Range, Weight
from gansweep.models.adversarial import Adversarial

LOSSES = ("loss/", "penalty/")
LEAST_SCORES = 5  # evaluations that must agree, however often the run is evaluated
SHARE_OF_RUN = 0.2  # of the run so far: a long run gets more time to recover
LOST_SHARE = 0.25  # of the score's improvement: near 0 a factor alone says little


class StopOnFailure(Watcher):
    """Ends a run with status "diverged" or "collapsed".

    Diverged: a loss is not finite. Or the objective, a positive score to minimise, has been worse
    than `worse_factor` times its best and has lost a quarter of its improvement. This must last
    for `worse_kimg`, for a fifth of the run so far and for five evaluations.
    Collapsed: the generator's output has hardly varied over a batch for `collapse_kimg`. This is
    judged by spread/fakes, which is logged.

    collapse_spread: below it the fakes count as constant. It is the standard deviation over the
        batch, averaged over pixels, in units of the data ([-1, 1] for images).
    collapse_kimg, worse_kimg: thousands of images.
    """

    def __init__(
        self,
        every_steps: Count,
        collapse_spread: Weight = 1e-3,
        collapse_kimg: KimgOrNone = 5.0,
        worse_factor: Annotated[float, Range(1, 1e9)] = 2.0,
        worse_kimg: KimgOrNone = 50.0,
    ) -> None:
        super().__init__(every_steps)
        self.collapse_spread = collapse_spread
        self.collapse_kimg = collapse_kimg
        self.worse_factor = worse_factor
        self.worse_kimg = worse_kimg
        self.constant_since: int | None = None
        self._seen = -math.inf  # kimg of the last look

    def look(self, module: Adversarial) -> None:
        """Check the latest means of the losses, the objective's curve and the latest fakes."""
        self._judge_losses(module)
        reason = worsened(self.journal, self.worse_factor, self.worse_kimg)
        if reason is not None:
            self._stop("diverged", reason, module)
        if module.last_fakes is not None and len(module.last_fakes) > 1:
            self._judge_spread(float(module.last_fakes.float().std(dim=0).mean()), module)

    def _judge_losses(self, module: Adversarial) -> None:
        # means over all batches since the last look: one loss that is not finite makes its mean so
        for name, curve in self.journal.curves.items():
            if name.startswith(LOSSES):
                new = itertools.takewhile(lambda row: row[0] > self._seen, reversed(curve))
                self._refuse(name, [value for _, value in new], module)
        self._seen = module.images_seen / 1000

    def _refuse(self, name: str, values: Sequence[float], module: Adversarial) -> None:
        for value in values:
            if not math.isfinite(value):
                self._stop("diverged", f"{name} is {value}", module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the losses of the last steps, whatever number of them is left since a look."""
        assert isinstance(pl_module, Adversarial)
        if trainer.is_global_zero and self.journal.verdict is None:
            self._judge_losses(pl_module)
            # they are in no row yet, and are in the next one if the run is continued
            for name, value in pl_module.recent_means(forget=False).items():
                if name.startswith(LOSSES):
                    self._refuse(name, [value], pl_module)

    def _judge_spread(self, spread: float, module: Adversarial) -> None:
        self.journal.log(module.images_seen, {"spread/fakes": spread})
        if not math.isfinite(spread):
            self._stop("diverged", "the generator's output is not finite", module)
        elif spread >= self.collapse_spread:
            self.constant_since = None
        elif self.constant_since is None:
            self.constant_since = module.images_seen
        elif module.images_seen - self.constant_since >= self.collapse_kimg * 1000:
            since = f"since {self.constant_since / 1000:.1f} kimg"
            why = f"the generator's output has been constant (spread {spread:.1e}) {since}"
            self._stop("collapsed", why, module)

    def _stop(self, status: str, reason: str, module: Adversarial) -> None:
        self.journal.stop(status, reason, module.images_seen, rule="stop_on_failure")

    def state_dict(self) -> dict[str, int | None]:
        return {"constant_since": self.constant_since}

    def load_state_dict(self, state_dict: dict[str, int | None]) -> None:
        self.constant_since = state_dict["constant_since"]


def worsened(journal: Journal, factor: float, kimg: float) -> str | None:
    """Why the objective shows that training has failed; None if it does not.

    factor: worse by this factor than its best.   kimg: for at least so many thousand images.
    """
    name = journal.objective
    if name is None or journal.protocols[name]["direction"] != "minimize":
        return None
    curve = [(k, v) for k, v in journal.curves.get(name, []) if math.isfinite(v)]
    if len(curve) <= LEAST_SCORES or min(value for _, value in curve) <= 0:
        return None
    # the best of the medians of three in a row, so that one lucky evaluation does not count
    medians = [(curve[n][0], statistics.median(v for _, v in curve[n - 1 : n + 2]))
               for n in range(1, len(curve) - 1)]  # fmt: skip
    best_kimg, best = min(medians, key=lambda point: point[1])
    limit = max(factor * best, best + LOST_SHARE * (curve[0][1] - best))
    bad = list(itertools.takewhile(lambda point: point[1] > limit, reversed(curve)))
    now = curve[-1][0]
    if len(bad) < LEAST_SCORES or now - bad[-1][0] < max(kimg, SHARE_OF_RUN * now):
        return None
    level = statistics.median(value for _, value in bad)
    return (
        f"{name} has stayed near {level:.4g} since {bad[-1][0]:.1f} kimg, {level / best:.1f} times "
        f"its best of {best:.4g} at {best_kimg:.1f} kimg"
    )
