"""Figures of the schedules that a population found: each setting over images seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gansweep.judging.labels import varied
from gansweep.judging.leaderboard import Board
from gansweep.judging.trials import Sweep, Trial, sweeps_of
from gansweep.records.notation import number, setting
from gansweep.report.figures.figures import Figure, axes, log_ticks, plain
from gansweep.report.figures.palette import COLOURS, NEUTRAL
from gansweep.report.page.population import Stretch, best_member, lineage, own_stretches, told

WIDE_RATIO = 5  # a number that spans more is read better by its ratios


def schedules(board: Board) -> tuple[list[Figure], list[str]]:
    """A figure for each setting that a population changed, and where the best weights come from."""
    populations = [sweep for sweep in sweeps_of(board.runs) if sweep.scheduled]
    figures, notes = [], []
    for sweep in populations:
        best = best_member(sweep.scheduled, board.trial_metric or "", board.direction, board.at)
        if best is None:
            continue
        name = f"{sweep.name}: " if len(populations) > 1 else ""
        path = lineage(best, {trial.name: trial for trial in sweep.scheduled})
        figures += _figures(board, sweep, best, path, name)
        notes.append(f"{name}{told(best, path, sweep.scheduled)}")
    return figures, notes


def _figures(
    board: Board, sweep: Sweep, best: Trial, path: list[Stretch], name: str
) -> list[Figure]:
    everything = {trial.name: own_stretches(trial) for trial in sweep.scheduled}
    changed = varied([one.params for stretches in everything.values() for one in stretches])
    found = []
    for key in changed:
        data = [_steps(one, key, pale=True) for one in everything.values()]
        data.append(_steps(path, key, pale=False))
        marks = _takeovers(path, key)
        data += [marks] if marks["x"] else []
        values = [one.params.get(key) for stretches in everything.values() for one in stretches]
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


def _steps(stretches: Sequence[Stretch], key: str, *, pale: bool) -> dict[str, Any]:
    """A line that holds each value from its start to its end."""
    x: list[float] = []
    y: list[Any] = []
    text: list[str] = []
    for one in stretches:
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


def _takeovers(path: Sequence[Stretch], key: str) -> dict[str, Any]:
    """A ring wherever the weights of the best member went from one member to another."""
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
    """A number as it is; anything else as the name of a level."""
    plain_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if plain_number else setting(value)
