"""What a run's record says of the sweep that it belongs to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Goal:
    """One objective of a sweep.

    metric: as the settings name it: "auto", "fid", a score's full name, or a number of the result
    such as "seconds".   at: whether a run counts with its "best" value on the way or its "last".
    """

    metric: str
    direction: str
    at: str


@dataclass(frozen=True)
class Segment:
    """The settings that held from `kimg` on, and whose weights were taken over then, if any."""

    kimg: float
    params: dict[str, Any]
    source: str | None


@dataclass(frozen=True)
class Limit:
    """A constraint of a sweep: a metric, and the value that it may not go beyond."""

    metric: str
    at_most: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.metric} {'<=' if self.at_most else '>='} {self.bound:g}"

    def broken_by(self, value: float) -> bool:
        return value > self.bound if self.at_most else value < self.bound


@dataclass(frozen=True)
class SweepPart:
    """What a run is within its sweep.

    role: "trial" or "confirm".   goals: one, or several, of which the first ranks.
    limits: what a winner must meet.
    schedule: how a population changed the settings on the way; empty elsewhere.
    """

    name: str
    key: str
    params: dict[str, Any]
    role: str
    goals: tuple[Goal, ...]
    schedule: tuple[Segment, ...] = ()
    limits: tuple[Limit, ...] = ()

    @property
    def metric(self) -> str:
        return self.goals[0].metric

    @property
    def at(self) -> str:
        return self.goals[0].at


def sweep_part(content: Any) -> SweepPart | None:
    """The entry "sweep" of result.json; None where there is none."""
    if not isinstance(content, dict) or not content:
        return None
    listed = content.get("objectives")
    several = [g for g in listed if isinstance(g, dict)] if isinstance(listed, list) else []
    goals = tuple(_goal(one) for one in several or [_mapping(content.get("objective"))])
    return SweepPart(
        name=str(content.get("name", "")),
        key=str(content.get("key", "")),
        params=_mapping(content.get("params")),
        role=str(content.get("role", "trial")),
        goals=goals,
        schedule=_schedule(content.get("schedule")),
        limits=_limits(content.get("constraints")),
    )


def _goal(content: Mapping[str, Any]) -> Goal:
    direction = str(content.get("direction", "minimize"))
    return Goal(str(content.get("metric", "auto")), direction, str(content.get("at", "last")))


def _limits(content: Any) -> tuple[Limit, ...]:
    entries = [_mapping(entry) for entry in content] if isinstance(content, list) else []
    return tuple(
        Limit(str(entry.get("metric")), bool(entry.get("at_most")), float(entry["bound"]))
        for entry in entries
        if isinstance(entry.get("bound"), (int, float))
    )


def _schedule(content: Any) -> tuple[Segment, ...]:
    found = []
    for entry in content if isinstance(content, list) else []:
        kimg = _mapping(entry).get("kimg")
        if isinstance(kimg, (int, float)):
            source = entry.get("from")
            found.append(
                Segment(float(kimg), _mapping(entry.get("params")), str(source) if source else None)
            )
    return tuple(sorted(found, key=lambda segment: segment.kimg))


def _mapping(content: Any) -> dict[str, Any]:
    return content if isinstance(content, dict) else {}
