"""The journal of a run: callbacks write their numbers, scores and verdicts to it.

It imports no tracker before it has one: `gansweep.track` works without PyTorch.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gansweep.diagnosis.findings import Finding
from gansweep.errors import UserError
from gansweep.metrics.protocol import Protocol, Score
from gansweep.records.record import RunRecord
from gansweep.records.sheets import as_png

if TYPE_CHECKING:
    from PIL import Image
    from pytorch_lightning.loggers import Logger

KEPT = ("best", "last", "latest", "protocols")  # mappings that a checkpoint holds
WRITE_SECONDS = 0.25
OnScore = Callable[[float, dict[str, float]], bool]


class Journal:
    """Writes the rows of one run to its record and its tracker, and keeps the reason to stop.

    on_score: called with (kimg, {score: value}) after each evaluation; True prunes the run.

    `objective` is the score that chooses the best checkpoint; None before the first evaluation.
    `seconds` include the time before the run was continued. `curves` has every logged number as
    (kimg, value), for the rules that judge the run while it trains.
    """

    def __init__(
        self, record: RunRecord | None, logger: Logger | None, *, on_score: OnScore | None = None
    ) -> None:
        self.record = record
        self.logger = logger
        self.objective: str | None = None
        self.protocols: dict[str, Protocol] = {}
        self.on_score = on_score
        self.best: dict[str, dict[str, Any]] = {}
        self.last: dict[str, dict[str, Any]] = {}
        self.latest: dict[str, Any] = {}
        self.curves: dict[str, list[tuple[float, float]]] = {}
        self.verdict: tuple[str, str] | None = None
        self.stopped_by: str | None = None
        self.seconds_before = 0.0
        self.paused_seconds = 0.0
        self.score_counter = 0
        self._scored_kimg = -1.0  # when any score was measured last
        self._announced: set[str] = set()
        self._pending: dict[str, Any] = {}
        self._pending_images = 0
        self._rows: list[tuple[int, dict[str, Any], dict[str, Any]]] = []  # images, stamp, row
        self._written = -math.inf
        self._tracks = False  # whether the tracker has had a row, with which some start
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self._started

    @property
    def training_seconds(self) -> float:
        """Seconds of training in this process, without the time spent in `outside_training`."""
        return time.perf_counter() - self._started - self.paused_seconds

    @contextlib.contextmanager
    def outside_training(self) -> Iterator[None]:
        """Time spent inside does not count as training time; one may be inside another."""
        before, started = self.paused_seconds, time.perf_counter()
        try:
            yield
        finally:
            self.paused_seconds = before + time.perf_counter() - started

    def log(self, images_seen: int, row: Mapping[str, Any]) -> None:
        """Add to the row of this step. All rows of the same step become one line.

        Raises: UserError for a tensor or a number of NumPy, which no record can hold.
        """
        self._extend_curves(images_seen / 1000, row)
        if images_seen != self._pending_images:
            self._end_row()
            self._pending_images = images_seen
        self._pending.update(row)
        self.latest.update(row)

    def _extend_curves(self, kimg: float, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                self.curves.setdefault(name, []).append((kimg, float(value)))
            elif hasattr(value, "item"):
                raise UserError(
                    f"The curve '{name}' was given a {type(value).__name__}. Log a number of "
                    "Python's own, as `value.item()`."
                )

    def end_step(self) -> None:
        """End the row of this step. Rows are written together, at the latest `WRITE_SECONDS` later,
        since one write costs as much as a step of a small network."""
        self._end_row()
        if self._rows and time.perf_counter() - self._written >= WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write all rows to the record and to the tracker."""
        self._end_row()
        self._write()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        self._written = time.perf_counter()
        if rows and self.record is not None:
            self.record.append(*(stamp | row for _, stamp, row in rows))
        if self.logger is None or not rows:
            return
        from gansweep.callbacks.tracking import log_scalars

        starts, self._tracks = not self._tracks, True
        with self.outside_training() if starts else contextlib.nullcontext():
            for images_seen, _, row in rows:
                log_scalars(self.logger, images_seen, row, self.protocols)

    def _end_row(self) -> None:
        if self._pending:
            stamp = self._stamp(self._pending_images)
            self._rows.append((self._pending_images, stamp, self._pending))
            self._pending = {}

    def score(self, images_seen: int, scores: Mapping[str, Score]) -> None:
        """Log scores with their protocols, keep the best of each and ask whether to prune."""
        if scores.keys() - self._announced:
            self._write()
        for name, score in scores.items():
            if name not in self._announced and self.record is not None:
                row = self._stamp(images_seen) | {"protocol": {name: score.protocol}}
                self.record.append(row)
            if name not in self._announced and self.logger is not None:
                from gansweep.callbacks.tracking import announce

                announce(self.logger, name, score.protocol)
            self._announced.add(name)
            self.protocols[name] = score.protocol
            self._keep_best(name, score, images_seen / 1000)
        self.score_counter += 1
        self._scored_kimg = images_seen / 1000
        self.log(images_seen, {name: score.value for name, score in scores.items()})
        if self.on_score is not None:
            values = {k: s.value for k, s in scores.items() if isinstance(s.value, float)}
            if self.on_score(images_seen / 1000, values):
                self.stop("pruned", "the pruner judged it unpromising", images_seen)

    def _keep_best(self, name: str, score: Score, kimg: float) -> None:
        self.last[name] = {"value": score.value, "kimg": kimg}
        direction = score.protocol.get("direction")
        if direction is None or isinstance(score.value, list) or not math.isfinite(score.value):
            return
        sign = 1 if direction == "minimize" else -1
        if name not in self.best or sign * score.value < sign * self.best[name]["value"]:
            self.best[name] = {"value": score.value, "kimg": kimg}

    @property
    def objective_just_improved(self) -> bool:
        """Whether the best value of the objective is of the moment that was scored last."""
        return self.best.get(self.objective or "", {}).get("kimg") == self._scored_kimg

    def stop(self, status: str, reason: str, images_seen: int, rule: str | None = None) -> None:
        """Request the end of the run. Only the first verdict counts.

        status: such as "diverged" or "plateau".   rule: the name of the stop rule, if it was one.
        """
        if self.verdict is None:
            self.verdict = (status, f"{reason} (at {images_seen / 1000:.1f} kimg)")
            self.stopped_by = rule

    def find(self, images_seen: int, finding: Finding) -> None:
        """Record a finding about the run's health, and alert through the tracker."""
        self.log(images_seen, {})
        self._write()  # the rows of earlier steps come first
        if self.record is not None:
            words = {"rule": finding.rule, "text": finding.text, "severity": finding.severity}
            self.record.append(self._stamp(images_seen) | {"finding": words})
        if self.logger is not None:
            from gansweep.callbacks.tracking import alert

            alert(self.logger, finding.title, finding.text, finding.severity)

    def show(self, name: str, images_seen: int, picture: Image.Image, kind: str) -> None:
        """Show a picture in the tracker under a name such as "samples", marked as machine-made.

        kind: of the sheet, one of `KINDS`.
        """
        if self.logger is not None:
            from gansweep.callbacks.tracking import log_picture

            log_picture(self.logger, name, images_seen, as_png(picture, kind))

    def _stamp(self, images_seen: int) -> dict[str, Any]:
        return {"kimg": images_seen / 1000, "seconds": round(self.seconds, 3)}

    def state(self) -> dict[str, Any]:
        """The state for a checkpoint, as plain values."""
        kept = {name: getattr(self, name) for name in (*KEPT, "objective", "seconds")}
        found: dict[str, Any] = _plain({**kept, "announced": sorted(self._announced)})
        return found

    def load(self, state: Mapping[str, Any]) -> None:
        """Restore what `state` returned; the curves are read from the record."""
        for name in KEPT:
            setattr(self, name, dict(state[name]))
        self.objective = state["objective"]
        self._announced = set(state["announced"])
        self.seconds_before = state["seconds"]
        for row in self.record.history() if self.record is not None else []:
            clock = row.pop("kimg", None)
            row.pop("seconds", None)
            if clock is not None:
                self._extend_curves(clock, row)


def _plain(value: Any) -> Any:
    """The value with Python's own numbers and text: NumPy's float64 and str_ are floats and strs of
    a class that a checkpoint cannot be read back with."""
    if isinstance(value, dict):
        return {_plain(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    kind = next((k for k in (bool, int, float, str) if isinstance(value, k)), None)
    return value if kind is None else kind(value)
