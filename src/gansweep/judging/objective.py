"""What a sweep optimises: which score of a run, in which direction, read at which moment."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gansweep.errors import UserError, nearest
from gansweep.metrics.protocol import CHOSEN_BY, DIRECTIONS, ON_REQUEST, QUICK, scores_called

# what a run is judged by, where it measures several: the first of these
JUDGED_BY = ("fid", "kid", "is", "reverse_kl")
# what `metric: auto` stands for: images are judged by FID, points by their distance to the mixture
DEFAULT_SCORES = ("fid", "reverse_kl")
# what a run costs, as its result says, and the better end of it; not on two kinds of machine
COSTS: dict[str, Literal["minimize", "maximize"]] = {
    "seconds": "minimize",
    "images_per_second": "maximize",
    "peak_memory_mib": "minimize",
}


@dataclass(frozen=True)
class Objective:
    """One score of a run, which of two values is the better, and the moment it is read at."""

    metric: str  # auto, a score ("fid"), its full name ("fid_digitsnet_2k_train"), or one of COSTS
    direction: Literal["minimize", "maximize"]
    at: str  # last | best

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Objective:
        """From `sweep.objective`; direction=auto is the usual one of the score.

        Raises: UserError for a word that is not known, or a score whose direction is not.
        """
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
        if len(set(metrics)) < len(metrics):
            raise UserError(
                f"sweep.objective.metric={metrics} names one twice. Name each score once."
            )
        if len(metrics) > 1 and settings["at"] != "last":
            raise UserError(
                f"sweep.objective.at={settings['at']} would take each of {', '.join(metrics)} from "
                "another moment of a run, and no network has them all. Use at=last."
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
        if self.metric in COSTS:
            cost = result.get(self.metric)
            return (self.metric, float(cost)) if cost is not None and _is_number(cost) else None
        scores = result.get(self.at) or {}
        name = self.find(scores, result.get("protocols") or {}, result.get("objective"))
        if name is None:
            return None
        value = scores[name].get("value")
        # a list such as mode_counts ranks nothing
        return (name, float(value)) if _is_number(value) else None

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


def refuse_unmeasured(option: str, metric: str, metrics: Mapping[str, Any]) -> None:
    """Raises: UserError where it is plain before the first run that runs do not measure `metric`.

    option: what names the metric.   metrics: the configuration's node of that name.
    """
    if metric == "auto" or metric in COSTS:
        return
    if "_target_" in metrics and metrics["_target_"] is None:
        raise UserError(
            f"{option} names '{metric}', and metrics=none measures nothing. Use metrics=auto, or "
            f"one of {', '.join(COSTS)}."
        )
    known = {*DIRECTIONS, *COSTS, *ON_REQUEST, *CHOSEN_BY}
    word = _score_in(metric, known)
    if word not in known and nearest(metric, known):
        raise UserError(f"{option} names '{metric}', which is no score.{nearest(metric, known)}")
    word, chosen = CHOSEN_BY.get(word, word), metrics.get("scores")
    if word not in (*QUICK, *ON_REQUEST) or chosen == "all":
        return  # a held-out score or one of the user's own: the first run will tell
    measured = [chosen] if isinstance(chosen, str) else list(QUICK if chosen is None else chosen)
    if word not in measured:
        raise UserError(
            f"{option} names '{metric}', which these runs do not measure. Set metrics.scores="
            f"[{','.join([*measured, word])}], or metrics.scores=all."
        )


def _usual_direction(metric: str) -> str:
    if metric == "auto":
        return "minimize"
    if metric in COSTS:
        return COSTS[metric]
    word = _score_in(metric, DIRECTIONS)
    if word not in DIRECTIONS:
        known = [*DIRECTIONS, *COSTS]
        raise UserError(
            f"sweep.objective.metric={metric} is no score whose better end is known."
            f"{nearest(metric, known)} Known are {', '.join(known)}; for another one set "
            "sweep.objective.direction=minimize or maximize."
        )
    return DIRECTIONS[word]


def _score_in(metric: str, scores: Iterable[str]) -> str:
    """The score of a full name: "fid_digitsnet_1k_train" -> "fid"; else the word itself."""
    heads = [score for score in scores if metric == score or metric.startswith(score + "_")]
    return max(heads, key=len, default=metric)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(
            f"{option}={value} is not known.{nearest(value, allowed)} Use {' or '.join(allowed)}."
        )
