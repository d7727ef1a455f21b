"""Stops a run that no longer improves: at an equilibrium or on a plateau."""

import math
import statistics

import pytorch_lightning as pl

from gansweep.callbacks.balance import Balance
from gansweep.callbacks.gradients import GradientNorms
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.quality import Quality
from gansweep.callbacks.watcher import GameCallback
from gansweep.config.ranges import Kimg, Share, Weight
from gansweep.errors import UserError, nearest
from gansweep.judging.statuses import evidence_by_word, why_nothing
from gansweep.metrics.protocol import scores_called
from gansweep.models.adversarial import Adversarial

Curve = list[tuple[float, float]]
Curves = dict[str, Curve]

LEAST_SCORES = 4  # evaluations that a judgement on an interval needs
BETTER_THAN_CHANCE = 0.6  # mean accuracy that an untrained discriminator does not reach
ALIVE = 1e-3  # of the usual gradient; with a dead discriminator the gradient is 0
MODES_KEPT = 0.9  # of all modes, or of the most that were ever captured
BALANCE_CURVES = ("balance/", "critic/")  # written by callbacks.balance
NOISE_FLOOR = 0.02  # of the score's improvement: counts as flat for a score that ends near 0


class _ScoreRule(GameCallback):
    """Judges the run after each evaluation, from the journal's curves only.

    It has no state of its own, so a continued run stops at the same point as an uninterrupted one.
    """

    status: str
    rule: str
    reads: tuple[tuple[str, type[GameCallback]], ...]  # needed callbacks: key in conf, class

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raises: UserError if a callback that the rule needs is switched off."""
        present = trainer.callbacks  # type: ignore[attr-defined]
        for key, kind in self.reads:
            if not any(isinstance(callback, kind) for callback in present):
                why = " and a score (not metrics=none)" if kind is Quality else ""
                raise UserError(
                    f"callbacks.{self.rule} needs what callbacks.{key} writes, but that is "
                    f"switched off. Switch on callbacks.{key}{why}, or leave the rule out with "
                    f"'~callbacks.{self.rule}'."
                )

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        """Apply the rule if its curve has a new value."""
        curve = self.journal.curves.get(self.judges(self.journal) or "", [])
        # a score of this step, or of the last step if the scorer comes after this rule
        if not curve or round(curve[-1][0] * 1000) < module.images_seen - images:
            return
        reason = self.reason(self.journal, module.makers)
        if reason is not None:
            self.journal.stop(self.status, reason, module.images_seen, rule=self.rule)

    def judges(self, journal: Journal) -> str | None:
        """The name of the curve; the run is judged after each new value of it."""
        return journal.objective

    def reason(self, journal: Journal, makers: tuple[str, ...]) -> str | None:
        """Why the run should stop now, with the numbers; None if it should not."""
        raise NotImplementedError


class StopOnPlateau(_ScoreRule):
    """Ends a run with status "plateau" if its objective has not improved for long.

    patience_kimg: thousands of images without an improvement, and at least three evaluations.
    min_relative: the smallest improvement, as a share of the best value so far. Smaller steps add
        up.
    watch: a logged curve to use in place of the objective, where lower is better, such as BEGAN's
        critic/global_measure. It is averaged over quarters of the patience, since each logged
        value is from one batch.
    """

    status = "plateau"
    rule = "stop_on_plateau"
    reads: tuple[tuple[str, type[GameCallback]], ...] = (("quality", Quality),)

    def __init__(self, patience_kimg: Kimg, min_relative: Weight, watch: str | None = None) -> None:
        self.patience_kimg = patience_kimg
        self.min_relative = min_relative
        self.watch = watch
        if watch is not None:
            self.reads = (("balance", Balance),) if watch.startswith(BALANCE_CURVES) else ()

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        """Raises: UserError if no callback has written the curve to watch within the patience."""
        curves, is_due = self.journal.curves, module.images_seen >= self.patience_kimg * 1000
        if is_due and trainer.is_global_zero and self.watch and self.watch not in curves:
            raise UserError(
                f"callbacks.{self.rule}.watch={self.watch} is not a curve of this run."
                f"{nearest(self.watch, curves)} Choose one of: {', '.join(sorted(curves))}."
            )
        super().after_step(trainer, module, images)

    def judges(self, journal: Journal) -> str | None:
        return self.watch or journal.objective

    def reason(self, journal: Journal, makers: tuple[str, ...]) -> str | None:
        """The best value and how long ago it was reached; None before the patience is over."""
        if self.watch is not None:
            step = self.patience_kimg / LEAST_SCORES
            sign, curve = 1, _quarters(journal.curves[self.watch], step)
        else:
            sign, curve = _objective(journal)
        if not curve:
            return None
        since, held = curve[0]
        waited = 0
        for kimg, value in curve[1:]:
            if sign * (held - value) > self.min_relative * abs(held):
                since, held, waited = kimg, value, 0
            else:
                waited += 1
        now, last = curve[-1]
        if now - since < self.patience_kimg or waited < LEAST_SCORES - 1:
            return None
        text = (
            f"{self.judges(journal)} has not improved by {self.min_relative:.1%} since it was "
            f"{held:.4g} at {since:.1f} kimg, {now - since:.1f} kimg and {waited} "
            f"{'means' if self.watch else 'evaluations'} ago (now {last:.4g})"
        )
        values = {name: entry["value"] for name, entry in journal.last.items()}
        numbers = {name: v for name, v in values.items() if isinstance(v, (int, float))}
        why = why_nothing(evidence_by_word(numbers, journal.protocols))
        if not why:
            return text
        return f"{text}; no sample resembles the data ({why}), so this plateau is saturation"


class StopAtEquilibrium(_ScoreRule):
    """Ends a run with status "equilibrium" if the game is balanced and its quality is constant.

    Over the last `window_kimg` thousand images all of these must hold:
    - balanced: the discriminator's outputs are near 1/2 (mean |D - 1/2| at most `tolerance`). For
      a critic, which has no such scale, the gap is at most `tolerance` times its largest value.
    - flat: the objective's means over the two halves of the window differ by at most `flat`.
    - good: the objective has improved on its first value by the share `improved`, and 90 % of the
      modes are captured, if modes are counted.
    - earned: the discriminator was clearly better than chance at some time before.
    - alive: the generator still gets a gradient.
    The last three exclude an untrained discriminator, which outputs 1/2 from the start, and a
    collapsed one, which outputs 1/2 for everything. With these the generator can look as constant
    as at an equilibrium.
    """

    status = "equilibrium"
    rule = "stop_at_equilibrium"
    reads = (("quality", Quality), ("balance", Balance), ("gradients", GradientNorms))

    def __init__(self, window_kimg: Kimg, tolerance: Share, flat: Weight, improved: Weight) -> None:
        self.window_kimg = window_kimg
        self.tolerance = tolerance
        self.flat = flat
        self.improved = improved

    def reason(self, journal: Journal, makers: tuple[str, ...]) -> str | None:
        """The numbers that show balance and constant quality; None if a condition fails."""
        now = journal.curves[journal.objective or ""][-1][0]
        start = now - self.window_kimg
        if start < self.window_kimg:
            return None
        gradients = [journal.curves.get(f"grad_norm/{maker}", []) for maker in makers]
        if not all(_is_taught(curve, start) for curve in gradients):
            return None
        balanced = self._balance(journal.curves, start)
        rested = self._rest(journal, start)
        if balanced is None or rested is None or not _modes_are_there(journal, start):
            return None
        return f"over the last {self.window_kimg:g} kimg {balanced}, and {rested}"

    def _balance(self, curves: Curves, start: float) -> str | None:
        """How balanced the game was since `start`; None if it was not, or was never a real game."""
        distances = _values(curves.get("balance/distance", []), start)
        if distances:
            right = [
                (kimg, (real + fake) / 2)
                for (kimg, real), (_, fake) in zip(
                    curves["balance/real_accuracy"], curves["balance/fake_accuracy"], strict=True
                )
            ]
            distance, best = statistics.fmean(distances), max(self._stretches(right, 0, start))
            if distance > self.tolerance or best < BETTER_THAN_CHANCE:
                return None
            return (
                f"the discriminator's outputs were {distance:.3f} from 1/2 (it was right on "
                f"{best:.0%} at its best)"
            )
        gaps = _values(curves.get("critic/gap", []), start)
        if not gaps:
            return None
        gap = abs(statistics.fmean(gaps))
        largest = max(map(abs, self._stretches(curves["critic/gap"], 0, start)))
        if largest == 0 or gap > self.tolerance * largest:
            return None
        return f"the critic's gap was {gap:.3g}, {gap / largest:.1%} of its largest"

    def _stretches(self, curve: Curve, after: float, until: float) -> list[float]:
        """Means over intervals of a quarter of the window, so that no single batch counts."""
        step = self.window_kimg / 4
        ends = [until - n * step for n in range(math.ceil((until - after) / step))]
        stretches = [_values(curve, max(after, end - step), end) for end in ends]
        return [statistics.fmean(values) for values in stretches if values] or [0.0]

    def _rest(self, journal: Journal, start: float) -> str | None:
        """The constant value of the objective since `start`; None if it moved or is not good."""
        sign, curve = _objective(journal)
        values = _values(curve, start)
        if len(values) < LEAST_SCORES:
            return None
        first, level, half = curve[0][1], statistics.fmean(values), len(values) // 2
        moved = abs(statistics.fmean(values[half:]) - statistics.fmean(values[:half]))
        gained = sign * (first - level)
        if gained < self.improved * abs(first):
            return None
        if moved > self.flat * max(abs(level), NOISE_FLOOR * gained):
            return None
        return (
            f"{journal.objective} stayed at {level:.4g} (it moved by {moved:.2g}; its first value "
            f"was {first:.4g})"
        )


def _objective(journal: Journal) -> tuple[int, Curve]:
    """1 if the objective is minimised, else -1; and its finite values."""
    name = journal.objective
    assert name is not None
    sign = 1 if journal.protocols[name]["direction"] == "minimize" else -1
    return sign, [(k, v) for k, v in journal.curves[name] if math.isfinite(v)]


def _quarters(curve: Curve, step: float) -> Curve:
    """(end, mean) of each complete interval of `step` kimg, without values that are not finite."""
    parts = range(1, math.floor(curve[-1][0] / step) + 1)
    values = [(n * step, _values(curve, (n - 1) * step, n * step)) for n in parts]
    return [(end, statistics.fmean(found)) for end, found in values if found]


def _values(curve: Curve, after: float, until: float = math.inf) -> list[float]:
    return [value for kimg, value in curve if after < kimg <= until and math.isfinite(value)]


def _is_taught(gradients: Curve, start: float) -> bool:
    """Whether the generator's gradient never vanished since `start`."""
    before, since = _values(gradients, 0, start), _values(gradients, start)
    return bool(before and since) and min(since) > ALIVE * statistics.median(before)


def _modes_are_there(journal: Journal, start: float) -> bool:
    words = ("confident_modes", "modes")  # of images, confident predictions only
    names = (scores_called(journal.protocols, word) for word in words)
    for name in next(filter(None, names), []):
        curve = journal.curves.get(name, [])
        if not _values(curve, start):  # after a takeover, before the run's own first score
            return False
        whole = max(value for _, value in curve)
        for counts in scores_called(journal.protocols, "mode_counts"):
            if counts in journal.last:
                whole = len(journal.last[counts]["value"])
        if statistics.fmean(_values(curve, start)) < MODES_KEPT * whole:
            return False
    return True
