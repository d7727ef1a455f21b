"""What a population-based search did: which settings its members had when, and whose weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.trials import Trial
from gansweep.records.notation import listing, number
from gansweep.records.sweep_part import Segment


@dataclass(frozen=True)
class Stretch:
    """The settings under which weights were trained from `start` to `end`, in kimg, and by whom."""

    member: str
    start: float
    end: float
    params: dict[str, Any]


def schedule_of(trial: Trial) -> tuple[Segment, ...]:
    part = trial.first.sweep
    return part.schedule if part else ()


def own_stretches(trial: Trial) -> list[Stretch]:
    """The schedule of a member, whoever's weights it had."""
    return _stretches(trial.name, schedule_of(trial), trial.first.kimg)


def lineage(trial: Trial, members: Mapping[str, Trial]) -> list[Stretch]:
    """The settings that a member's weights have seen: before each takeover, those of the member
    that they were taken over from.   members: by name.
    """
    return _lineage(trial.name, members, trial.first.kimg)


def _lineage(name: str, members: Mapping[str, Trial], until: float) -> list[Stretch]:
    if name not in members:
        return []
    segments = [segment for segment in schedule_of(members[name]) if segment.kimg < until]
    taken = [place for place, segment in enumerate(segments) if segment.source]
    if not taken:
        return _stretches(name, segments, until)
    since = segments[taken[-1] :]
    # strictly earlier each time, so this ends
    before = _lineage(str(since[0].source), members, since[0].kimg)
    return [*before, *_stretches(name, since, until)]


def _stretches(name: str, segments: Sequence[Segment], until: float) -> list[Stretch]:
    ends = [*(segment.kimg for segment in segments[1:]), until]
    return [Stretch(name, s.kimg, end, s.params) for s, end in zip(segments, ends, strict=False)]


def best_member(
    members: Sequence[Trial], metric: str, direction: str | None, at: str
) -> Trial | None:
    """The member that ended best; None where none came to a score."""
    sign = -1.0 if direction == "maximize" else 1.0
    scored = [(t.value(metric, at), t) for t in members if t.complete]
    known = [(sign * value, trial) for value, trial in scored if value is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def takeovers(members: Sequence[Trial]) -> list[str]:
    """ "t0003 took over t0001 at 20 kimg", the earliest first."""
    found = [
        (segment.kimg, f"{trial.name} took over {segment.source} at {number(segment.kimg)} kimg")
        for trial in members
        for segment in schedule_of(trial)
        if segment.source
    ]
    return [text for _, text in sorted(found)]


def told(best: Trial, stretches: Sequence[Stretch], members: Sequence[Trial]) -> str:
    """Where the weights of the best member come from, and every takeover."""
    pairs = zip(stretches, stretches[1:], strict=False)
    passed = [
        (before.member, after.start) for before, after in pairs if after.member != before.member
    ]
    chain = [f"those of {member} until {number(end)} kimg" for member, end in passed]
    parts = [*chain, "its own from then on" if chain else "its own throughout"]
    first = f"The weights of the best member, {best.name}, were {', '.join(parts)}."
    events = takeovers(members)
    return f"{first} In all: {listing(events, 'and')}." if events else first
