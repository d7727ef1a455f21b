"""The part of a run's record that describes its sweep."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gansweep.records.plain_values import mapping


@dataclass(frozen=True)
class Segment:
    """The settings from `kimg` on, and the run whose weights were taken over then, if any."""

    kimg: float
    params: dict[str, Any]
    source: str | None

    def entry(self) -> dict[str, Any]:
        """As the record keeps it."""
        return {"kimg": self.kimg, "params": self.params, "from": self.source}


@dataclass(frozen=True)
class SweepPart:
    """The place of a run in its sweep.

    role: "trial" or "confirm".   worker: that ran it; "" in records of older versions.
    schedule: how a population changed the settings during training; else empty.
    objectives, constraints: as recorded, with at least one objective;
        `judging.objective` and `judging.constraints` read them.
    """

    name: str
    key: str
    params: dict[str, Any]
    role: str
    objectives: tuple[Mapping[str, Any], ...]
    schedule: tuple[Segment, ...] = ()
    constraints: tuple[Mapping[str, Any], ...] = ()
    worker: str = ""


def sweep_part(content: Any) -> SweepPart | None:
    """The entry "sweep" of result.json; None if there is none."""
    if not isinstance(content, dict) or not content:
        return None
    listed = content.get("objectives")
    several = [g for g in listed if isinstance(g, dict)] if isinstance(listed, list) else []
    return SweepPart(
        name=str(content.get("name", "")),
        key=str(content.get("key", "")),
        params=mapping(content.get("params")),
        role=str(content.get("role", "trial")),
        objectives=tuple(several or [mapping(content.get("objective"))]),
        schedule=_schedule(content.get("schedule")),
        constraints=_constraints(content.get("constraints")),
        worker=str(content.get("worker") or ""),
    )


def _constraints(content: Any) -> tuple[Mapping[str, Any], ...]:
    entries = [mapping(entry) for entry in content] if isinstance(content, list) else []
    return tuple(one for one in entries if isinstance(one.get("bound"), (int, float)))


def _schedule(content: Any) -> tuple[Segment, ...]:
    entries = [mapping(entry) for entry in content] if isinstance(content, list) else []
    found = (
        Segment(float(one["kimg"]), mapping(one.get("params")), str(one.get("from") or "") or None)
        for one in entries
        if isinstance(one.get("kimg"), (int, float))
    )
    return tuple(sorted(found, key=lambda segment: segment.kimg))
