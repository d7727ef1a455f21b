"""What a sweep optimises: which score of a run, in which direction, read at which moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gansweep.errors import UserError, nearest
from gansweep.metrics.protocol import DIRECTIONS, scores_called

# what a run is judged by, where it measures several: the first of these
JUDGED_BY = ("fid", "kid", "is", "reverse_kl")
# what `metric: auto` stands for: images are judged by FID, points by their distance to the mixture
DEFAULT_SCORES = ("fid", "reverse_kl")


@dataclass(frozen=True)
class Objective:
    metric: str  # auto, a score ("fid") or a score's full name ("fid_digitsnet_2k_train")
    direction: Literal["minimize", "maximize"]
    at: str  # last | best

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Objective:
        metric, direction, at = (str(settings[k]) for k in ("metric", "direction", "at"))
        _one_of("sweep.objective.at", at, ("last", "best"))
        _one_of("sweep.objective.direction", direction, ("auto", "minimize", "maximize"))
        if direction == "auto":
            direction = _usual_direction(metric)
        return cls(metric, "maximize" if direction == "maximize" else "minimize", at)

    @classmethod
    def parse_all(cls, settings: Mapping[str, Any]) -> list[Objective]:
        """One objective, or one for each word of a list."""
        metrics, directions = settings["metric"], settings["direction"]
        if isinstance(metrics, str):
            return [cls.parse(settings)]
        if isinstance(directions, str):
            directions = [directions] * len(metrics)
        if not metrics or len(directions) != len(metrics):
            raise UserError(
                f"sweep.objective.metric={metrics} needs as many directions, and there are "
                f"{len(directions)}: {directions}. Use direction=auto, or one for each."
            )
        pairs = zip(metrics, directions, strict=True)
        return [cls.parse({**settings, "metric": m, "direction": d}) for m, d in pairs]

    def find(
        self, names: Mapping[str, Any], protocols: Mapping[str, Any], default: str | None = None
    ) -> str | None:
        """The full name of this objective's score among `names`, or None where it is not there.

        protocols: score's full name -> its protocol, as the run record keeps them.
        default: the score that the run itself is judged by.
        """
        if self.metric in names:
            return self.metric
        if self.metric == "auto" and default in names:
            return default
        wanted = DEFAULT_SCORES if self.metric == "auto" else (self.metric,)
        present = {name: protocols.get(name, {}) for name in names}
        return next((name for score in wanted for name in scores_called(present, score)), None)

    def read(self, result: Mapping[str, Any]) -> tuple[str, float] | None:
        """(full name, value) of the objective in a run's result; None where it has none."""
        scores = result.get(self.at) or {}
        name = self.find(scores, result.get("protocols") or {}, result.get("objective"))
        if name is None:
            return None
        value = scores[name]["value"]
        # a list such as mode_counts ranks nothing
        if not isinstance(value, (int, float)) or not math.isfinite(value):
            return None
        return name, float(value)

    def better(self, a: float, b: float) -> bool:
        return a < b if self.direction == "minimize" else a > b

    def sort_key(self, value: float) -> float:
        """Ascending order of this key is from best to worst."""
        return value if self.direction == "minimize" else -value


def direction_of_runs(judged_by: Iterable[str] | None, scores: Iterable[str] | None) -> str:
    """The better end of what runs are judged by; auto where that is open.

    judged_by: the held-out scores that the model names, which come first.
    scores: what the metrics measure.
    """
    measured = set(scores or ())
    words = [*(judged_by or ()), *(score for score in JUDGED_BY if score in measured)]
    return next((DIRECTIONS[word] for word in words), "auto")


def _usual_direction(metric: str) -> str:
    if metric == "auto":
        return "minimize"
    heads = [score for score in DIRECTIONS if metric == score or metric.startswith(score + "_")]
    if not heads:
        raise UserError(
            f"sweep.objective.metric={metric} is no score whose better end is known."
            f"{nearest(metric, DIRECTIONS)} Known are {', '.join(DIRECTIONS)}; for another one set "
            "sweep.objective.direction=minimize or maximize."
        )
    return DIRECTIONS[max(heads, key=len)]


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(
            f"{option}={value} is not known.{nearest(value, allowed)} Use {' or '.join(allowed)}."
        )
