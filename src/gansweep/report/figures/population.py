"""Figures of the schedules that a population found: each setting over images seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.labels import varied
from gansweep.judging.leaderboard import Board
from gansweep.judging.trials import Sweep, Trial, sweeps_of
from gansweep.records.notation import listing, number, setting
from gansweep.records.sweep_part import Segment
from gansweep.report.figures.figures import Figure, axes, log_ticks, plain
from gansweep.report.figures.palette import COLOURS, NEUTRAL

WIDE_RATIO = 5  # an axis that spans a larger ratio is logarithmic


@dataclass(frozen=True)
class Phase:
    """The settings with which a member trained its weights from `start` to `end` kimg."""

    member: str
    start: float
    end: float
    params: dict[str, Any]


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
    return [Phase(name, s.kimg, end, s.params) for s, end in zip(segments, ends, strict=False)]


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


def schedules(board: Board) -> tuple[list[Figure], list[str]]:
    """A figure for each setting that a population changed, and notes on its best weights."""
    populations = [sweep for sweep in sweeps_of(board.runs) if sweep.scheduled]
    figures, notes = [], []
    for sweep in populations:
        best = best_member(sweep.scheduled, board.trial_metric or "", board.direction, board.at)
        if best is None:
            continue
        name = f"{sweep.name}: " if len(populations) > 1 else ""
        path = lineage(best, {trial.name: trial for trial in sweep.scheduled})
        figures += _figures(board, sweep, best, path, name)
        notes.append(f"{name}{origin(best, path, sweep.scheduled)}")
    return figures, notes


def _figures(board: Board, sweep: Sweep, best: Trial, path: list[Phase], name: str) -> list[Figure]:
    everything = {trial.name: own_phases(trial) for trial in sweep.scheduled}
    changed = varied([one.params for phases in everything.values() for one in phases])
    found = []
    for key in changed:
        data = [_steps(one, key, pale=True) for one in everything.values()]
        data.append(_steps(path, key, pale=False))
        marks = _takeovers(path, key)
        data += [marks] if marks["x"] else []
        values = [one.params.get(key) for phases in everything.values() for one in phases]
        short = board.names.get(key, key)
        layout = axes("")
        layout["yaxis"] = _axis(values)
        layout["hovermode"] = "closest"
        ways = ", ".join(f"{setting(s.params.get(key))} from {number(s.start)} kimg" for s in path)
        alt = f"{short} of the best member, {best.name}, over images seen: {ways}."
        found.append(Figure(f"{name}{short}", alt, data, layout))
    return found


def _axis(values: Sequence[Any]) -> dict[str, Any]:
    present = [value for value in values if value is not None]
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in present):
        return {"type": "category", "title": {"text": ""}}
    low, high = min(present), max(present)
    if low > 0 and high / low > WIDE_RATIO:
        return {"type": "log", "title": {"text": "log scale"}, **log_ticks(present)}
    return {"type": "linear", "title": {"text": ""}}


def _steps(phases: Sequence[Phase], key: str, *, pale: bool) -> dict[str, Any]:
    """A step line: each value from its start to its end."""
    x: list[float] = []
    y: list[Any] = []
    text: list[str] = []
    for one in phases:
        value = _shown(one.params.get(key))
        x += [one.start, one.end]
        y += [value, value]
        text += [f"{plain(one.member)}: {plain(setting(one.params.get(key)))}"] * 2
    paint: dict[str, Any] = {"color": NEUTRAL, "width": 1} if pale else {"color": COLOURS[0]}
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x,
        "y": y,
        "text": text,
        "hovertemplate": "%{text} at %{x:.4g} kimg<extra></extra>",
        "line": {"width": 3, **paint},
        "opacity": 0.45 if pale else 1.0,
        "showlegend": False,
    }


def _takeovers(path: Sequence[Phase], key: str) -> dict[str, Any]:
    """A ring at each takeover of the weights of the best member."""
    passed = [
        (after, before.member)
        for before, after in zip(path, path[1:], strict=False)
        if before.member != after.member
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "x": [after.start for after, _ in passed],
        "y": [_shown(after.params.get(key)) for after, _ in passed],
        "text": [f"{plain(after.member)} took over {plain(before)}" for after, before in passed],
        "hovertemplate": "%{text} at %{x:.4g} kimg<extra></extra>",
        "marker": {
            "symbol": "circle-open",
            "size": 11,
            "color": COLOURS[1],
            "line": {"width": 2.5},
        },
        "showlegend": False,
    }


def _shown(value: Any) -> Any:
    """A number, or another value as the name of a category."""
    plain_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if plain_number else setting(value)
