"""The schedules of settings that populations found, and the origin of their best weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gansweep.judging.labels import varied
from gansweep.judging.leaderboard import Board
from gansweep.judging.trials import Sweep, Trial
from gansweep.records.notation import listing, number
from gansweep.records.sweep_part import Segment


@dataclass(frozen=True)
class Phase:
    """The settings with which a member trained its weights from `start` to `end` kimg.

    source: the member whose weights it took over at the start, if any.
    """

    member: str
    start: float
    end: float
    params: dict[str, Any]
    source: str | None = None


def populations(
    board: Board, sweeps: Sequence[Sweep], ids: Mapping[Any, str], row_of: Mapping[Any, str]
) -> list[dict[str, Any]]:
    """Each population with its members' phases, and the way of the best member's weights."""
    found = []
    direction = board.direction_of(board.trial_metric)
    for sweep in sweeps:
        members = sweep.scheduled
        best = best_member(members, board.trial_metric or "", direction, board.at)
        if best is None:
            continue
        path = lineage(best, {trial.name: trial for trial in members})
        phases = {trial.name: own_phases(trial) for trial in members}
        changed = varied([one.params for listed in phases.values() for one in listed])
        found.append(
            {
                "sweep": sweep.name,
                "best": best.name,
                "parameters": [{"id": k, "label": board.names.get(k, k)} for k in changed],
                "members": [
                    {
                        "name": trial.name,
                        "run": ids[trial.first.directory],
                        "row": row_of[trial.first.directory],
                        "value": trial.value(board.trial_metric or "", board.at),
                        "phases": [asdict(phase) for phase in phases[trial.name]],
                    }
                    for trial in members
                ],
                "lineage": [asdict(phase) for phase in path],
                "note": origin(best, path, members),
            }
        )
    return found


def schedule_of(trial: Trial) -> tuple[Segment, ...]:
    part = trial.first.sweep
    return part.schedule if part else ()


def own_phases(trial: Trial) -> list[Phase]:
    """The schedule of a member, including the weights that it took over."""
    return _phases(trial.name, schedule_of(trial), trial.first.kimg)


def lineage(trial: Trial, members: Mapping[str, Trial]) -> list[Phase]:
    """All phases of a member's weights, also those before it took them over.   members: by name."""
    return _lineage(trial.name, members, trial.first.kimg)


def _lineage(name: str, members: Mapping[str, Trial], until: float) -> list[Phase]:
    if name not in members:
        return []
    segments = [segment for segment in schedule_of(members[name]) if segment.kimg < until]
    taken = [place for place, segment in enumerate(segments) if segment.source]
    if not taken:
        return _phases(name, segments, until)
    since = segments[taken[-1] :]
    # each takeover is earlier than the one before, so the recursion ends
    before = _lineage(str(since[0].source), members, since[0].kimg)
    return [*before, *_phases(name, since, until)]


def _phases(name: str, segments: Sequence[Segment], until: float) -> list[Phase]:
    ends = [*(segment.kimg for segment in segments[1:]), until]
    pairs = zip(segments, ends, strict=False)
    return [Phase(name, s.kimg, end, s.params, s.source) for s, end in pairs]


def best_member(
    members: Sequence[Trial], metric: str, direction: str | None, at: str
) -> Trial | None:
    """The member with the best final score; None if no member has a score."""
    sign = -1.0 if direction == "maximize" else 1.0
    scored = [(t.value(metric, at), t) for t in members if t.complete]
    known = [(sign * value, trial) for value, trial in scored if value is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def takeovers(members: Sequence[Trial]) -> list[str]:
    """Sentences such as "t0003 took over t0001 at 20 kimg", earliest first."""
    found = [
        (segment.kimg, f"{trial.name} took over {segment.source} at {number(segment.kimg)} kimg")
        for trial in members
        for segment in schedule_of(trial)
        if segment.source
    ]
    return [text for _, text in sorted(found)]


def origin(best: Trial, phases: Sequence[Phase], members: Sequence[Trial]) -> str:
    """A text on where the weights of the best member come from, and on every takeover."""
    pairs = zip(phases, phases[1:], strict=False)
    passed = [
        (before.member, after.start) for before, after in pairs if after.member != before.member
    ]
    chain = [f"those of {member} until {number(end)} kimg" for member, end in passed]
    parts = [*chain, "its own from then on" if chain else "its own throughout"]
    first = f"The weights of the best member, {best.name}, were {', '.join(parts)}."
    events = takeovers(members)
    return f"{first} In all: {listing(events, 'and')}." if events else first
