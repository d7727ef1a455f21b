"""The objective of a sweep: which score of a run counts, in which direction, at which moment."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.errors import UserError, nearest
from gansweep.judging.ranking import lower_is_better
from gansweep.metrics.protocol import (
    CHOSEN_BY,
    DEFAULT_OBJECTIVES,
    DIRECTIONS,
    OF_POINTS,
    ON_REQUEST,
    QUICK,
    Direction,
    scores_called,
)
from gansweep.records.read import Run
from gansweep.records.sweep_part import SweepPart

# The costs in a run's result, and their direction. They compare on one machine alone.
COSTS: dict[str, Direction] = {
    "seconds": "minimize",
    "images_per_second": "maximize",
    "peak_memory_mib": "minimize",
}


@dataclass(frozen=True)
class Objective:
    """A score of a run, its direction, and the moment at which it is read."""

    metric: str  # auto, a score ("fid"), its full name ("fid_digitsnet1_2k_train"), or one of COSTS
    direction: Direction
    at: str  # last | best

    @classmethod
    def parse(cls, settings: Mapping[str, Any]) -> Objective:
        """From `sweep.objective`; direction=auto stands for the usual one of the score.

        Raises: UserError for an unknown word, or a score whose direction is not known.
        """
        metric, direction, at = (str(settings[k]) for k in ("metric", "direction", "at"))
        _one_of("sweep.objective.at", at, ("last", "best"))
        _one_of("sweep.objective.direction", direction, ("auto", "minimize", "maximize"))
        if direction == "auto":
            direction = _usual_direction(metric)
        return cls(metric, _direction(direction), at)

    @classmethod
    def of_record(cls, content: Mapping[str, Any]) -> Objective:
        """From a run's record. A missing key has its default."""
        metric, at = str(content.get("metric", "auto")), str(content.get("at", "last"))
        return cls(metric, _direction(content.get("direction")), at)

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
                f"sweep.objective.metric={metrics} names a score twice. Name each once."
            )
        if len(metrics) > 1 and settings["at"] != "last":
            raise UserError(
                f"sweep.objective.at={settings['at']} would read each of {', '.join(metrics)} at "
                "another moment of a run, and no one network has these values. Use at=last."
            )
        pairs = zip(metrics, directions, strict=True)
        return [cls.parse({**settings, "metric": m, "direction": d}) for m, d in pairs]

    def find(
        self,
        names: Collection[str],
        protocols: Mapping[str, Any],
        default: str | None = None,
        word: str | None = None,
    ) -> str | None:
        """The full name of this objective's score among `names`; None where it is not there.

        protocols: score's full name -> its protocol, as the run record keeps them.
        default: the score that the run itself is judged by.
        word: the score ("fid") that counts where the objective's own name is not there, as when a
            confirmation was measured with a larger sample.
        """
        if self.metric in names:
            return self.metric
        wanted: Sequence[str] = (word or self.metric,)
        if self.metric == "auto":
            if default in names:
                return default
            stated = protocols.get(default or "", {}).get("score") or word
            wanted = (stated,) if stated else DEFAULT_OBJECTIVES
        present = {name: protocols.get(name, {}) for name in names}
        return next((name for score in wanted for name in scores_called(present, score)), None)

    def read(self, result: Mapping[str, Any], word: str | None = None) -> tuple[str, float] | None:
        """(full name, value) of the objective in a run's result; None where it has none.

        word: as of `find`.
        """
        if self.metric in COSTS:
            cost = result.get(self.metric)
            return (self.metric, float(cost)) if cost is not None and _is_number(cost) else None
        scores = result.get(self.at) or {}
        name = self.find(scores, result.get("protocols") or {}, result.get("objective"), word)
        if name is None:
            return None
        value = scores[name].get("value")
        # a list such as mode_counts ranks nothing
        return (name, float(value)) if _is_number(value) else None

    def column(self, run: Run, alike: Sequence[Run] = ()) -> str | None:
        """The full name of this objective's score in a run's record, or the key of its result.

        alike: runs of the same sweep, whose protocols say which score a full name stands for.
        """
        known = next((p for other in alike if (p := other.protocols.get(self.metric))), {})
        judged_by, word = run.result.get("objective"), known.get("score")
        name = self.find(run.scores(), run.protocols, judged_by, word)
        return name or (self.metric if run.number(self.metric) is not None else None)

    def value(self, run: Run, column: str) -> float | None:
        """A run's value in the column that `column` gave for this run or for one like it."""
        return run.value(column, self.at) if column in run.scores() else run.number(column)

    def sort_key(self, value: float) -> float:
        """Ascending order of this key is from best to worst."""
        return lower_is_better(value, self.direction)


def objectives_of(part: SweepPart) -> tuple[Objective, ...]:
    """The objectives of a run's sweep, of which the first ranks."""
    return tuple(map(Objective.of_record, part.objectives))


def objective_so_far(run: Run) -> tuple[str, float, Direction] | None:
    """(score, value, direction) of what a run is judged by so far; None without a value.

    That is the objective of its sweep, else its own, else the usual one of the scores it has.
    """
    objective = objectives_of(run.sweep)[0] if run.sweep else Objective("auto", "minimize", "last")
    directed = next((score for score in run.scores() if run.direction(score)), None)
    column = objective.column(run) or (None if run.sweep else directed)
    value = None if column is None else objective.value(run, column)
    if column is None or value is None or not math.isfinite(value):
        return None
    direction = objective.direction if run.sweep else _direction(run.direction(column))
    return column, value, direction


def direction_of_runs(judged_by: Iterable[str] | None, scores: Iterable[str] | None) -> str:
    """The direction of the score that runs are judged by; "auto" where it is not known.

    judged_by: the held-out scores that the model names, which come first.
    scores: what the metrics measure.
    """
    measured = set(scores or ())
    words = [*(judged_by or ()), *(score for score in DEFAULT_OBJECTIVES if score in measured)]
    return next((DIRECTIONS[word] for word in words), "auto")


def refuse_reversed(objective: Objective) -> None:
    """Raises: UserError for a known score in the direction of its worst value."""
    metric, given = objective.metric, objective.direction
    usual = {**DIRECTIONS, **COSTS}.get(_score_in(metric, {**DIRECTIONS, **COSTS}), given)
    if metric != "auto" and usual != given:
        raise UserError(
            f"sweep.objective.direction={given} looks for the worst {metric}, which is to be "
            f"{usual}d. Use direction=auto."
        )


def refuse_unmeasured(
    option: str, metric: str, metrics: Mapping[str, Any], *, of_points: bool = False
) -> None:
    """Raises: UserError where the configuration shows that runs do not measure `metric`.

    option: what names the metric.   metrics: the configuration's node of that name.
    of_points: whether the data are known to be points.
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
        raise UserError(f"{option} names '{metric}', which is not a score.{nearest(metric, known)}")
    word, chosen = CHOSEN_BY.get(word, word), metrics.get("scores")
    if word not in (*QUICK, *ON_REQUEST):
        return  # a held-out score or one of the user's own: known after the first run
    if of_points and word not in OF_POINTS:
        raise UserError(
            f"{option} names '{metric}', which is measured on images, and these data are points. "
            f"Use auto, or a score of {' or '.join(OF_POINTS)}, such as reverse_kl."
        )
    if chosen == "all":
        return
    measured = [chosen] if isinstance(chosen, str) else list(QUICK if chosen is None else chosen)
    if of_points and chosen is None:
        measured = [score for score in QUICK if score in OF_POINTS]
    if word not in measured:
        raise UserError(
            f"{option} names '{metric}', which these runs do not measure. Set metrics.scores="
            f"[{','.join([*measured, word])}], or metrics.scores=all."
        )


def _direction(word: object) -> Direction:
    return "maximize" if word == "maximize" else "minimize"


def _usual_direction(metric: str) -> str:
    if metric == "auto":
        return "minimize"
    if metric in COSTS:
        return COSTS[metric]
    word = _score_in(metric, DIRECTIONS)
    if word not in DIRECTIONS:
        known = [*DIRECTIONS, *COSTS]
        raise UserError(
            f"The direction of sweep.objective.metric={metric} is not known."
            f"{nearest(metric, known)} Known are {', '.join(known)}; for another score set "
            "sweep.objective.direction=minimize or maximize."
        )
    return DIRECTIONS[word]


def _score_in(metric: str, scores: Iterable[str]) -> str:
    """The score of a full name: "fid_digitsnet1_1k_train" -> "fid"; else the word itself."""
    heads = [score for score in scores if metric == score or metric.startswith(score + "_")]
    return max(heads, key=len, default=metric)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(
            f"{option}={value} is not known.{nearest(value, allowed)} Use {' or '.join(allowed)}."
        )
