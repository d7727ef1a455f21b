"""Read finished and unfinished runs from their records into plain values."""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from operator import lt
from pathlib import Path
from typing import Any, TypeGuard

from gansweep.config.old_names import with_new_targets
from gansweep.errors import visible
from gansweep.metrics.protocol import REPEATABLE, scores_called
from gansweep.records.find import find_records
from gansweep.records.notation import plural, setting
from gansweep.records.plain_values import DamagedError, mapping
from gansweep.records.record import ENDED_WELL, RunRecord
from gansweep.records.remarks import remarks_in
from gansweep.records.sweep_part import SweepPart, sweep_part

NO_RESULT = "no result"
DAMAGED = "damaged"
ABSENT = (
    "There is no result.json: the run is in its first steps, or its process ended before it could "
    "write one."
)

LARGEST_SCORE = 1e150  # no spread can be computed of larger ones: their squares are not finite


@dataclass(frozen=True)
class Value:
    """A score and the images seen when it was measured (kimg is nan if the record has none).

    std: the value's spread over its splits, subsets or draws.   interval: 95 % confidence bounds;
    `protocol.interval_holds` says of what. Both are None if they were not measured.
    """

    value: float
    kimg: float
    std: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Evaluation:
    """One scoring of a run's checkpoint after its training, by `gansweep evaluate`.

    scores: name -> the record's entry, whose "value" is a number or a list of numbers.
    """

    checkpoint: str
    kimg: float
    scores: dict[str, dict[str, Any]]
    protocols: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Curve:
    """One column of the history. A missing measurement is None, also inside lists."""

    kimg: list[float]
    values: list[Any]


@dataclass
class Run:
    """One run as its record describes it, without its networks.

    status: one of the record's statuses; or "no result" if result.json is missing; "damaged" if
        result.json or config.yaml cannot be read (the reason names the file).
        `judging.statuses.judged_runs` adds "never learned", which depends on the scores.
    evaluations: the scores of `gansweep evaluate`, oldest first.   evaluated: the columns that the
        report shows for them, and for a cost that ranks, in the form of the result's "last".
    tags, note: what people say of it.   notes: problems of the record, one sentence each.
    """

    directory: Path
    config: dict[str, Any]
    result: dict[str, Any]
    curves: dict[str, Curve]
    protocols: dict[str, dict[str, Any]]
    status: str
    reason: str
    sweep: SweepPart | None
    grids: list[tuple[float, Path]]
    sheets: list[tuple[float, Path]] = field(default_factory=list)
    evaluations: list[Evaluation] = field(default_factory=list)
    evaluated: dict[str, dict[str, Any]] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    note: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return visible(f"{self.directory.parent.name}/{self.directory.name}")

    @property
    def complete(self) -> bool:
        return self.status in ENDED_WELL

    @property
    def model(self) -> str:
        return self._choice("model")

    @property
    def data(self) -> str:
        return self._choice("data")

    def _choice(self, group: str) -> str:
        """The chosen file of a group of conf/."""
        chosen = self.result.get(group) or mapping(self.config.get("choices")).get(group)
        return str(chosen or "unknown")

    @property
    def seed(self) -> Any:
        return self.result.get("seed", self.config.get("seed"))

    @property
    def kimg(self) -> float:
        stated = self.result.get("kimg")
        if stated is not None and self.result.get("status") != "running":
            return float(stated)
        # while it trains, the result says where it began or was continued
        return max([stated or 0.0, *(curve.kimg[-1] for curve in self.curves.values())])

    def number(self, key: str) -> float | None:
        """A number of result.json such as "seconds" or "images_per_second"."""
        value = self.result.get(key)
        return float(value) if isinstance(value, (int, float)) else None

    def direction(self, score: str) -> str | None:
        return self.protocols.get(score, {}).get("direction")

    @property
    def stopped_by(self) -> str | None:
        """The name of the rule that stopped the run before the end of its budget."""
        rule = self.result.get("stopped_by")
        return str(rule) if rule else None

    def last(self, score: str) -> Value | None:
        """The newest value: from an evaluation, else from result.json, else from the history.

        None if the last value was not finite, or above LARGEST_SCORE: an earlier one would show
        the run too good.
        """
        ended = mapping(self.result.get("last"))
        recorded = _value(self.evaluated, score) or _value(ended, score)
        if recorded is not None or score in ended:
            return recorded
        points = self._points(score)
        return points[-1] if points else None

    def lost(self, score: str) -> bool:
        """Whether the last value of a scalar score was not finite, or too large (see `last`)."""
        return score in mapping(self.result.get("last")) and self.last(score) is None

    def best(self, score: str) -> Value | None:
        """The best value: from result.json, else from the history by the score's direction.

        For a score of an evaluation after training: its only value.
        """
        recorded = _value(self.evaluated, score) or _value(self.result.get("best"), score)
        if recorded is not None or self.direction(score) is None:
            return recorded
        choose = min if self.direction(score) == "minimize" else max
        return choose(self._points(score), key=lambda point: point.value, default=None)

    def value(self, score: str, at: str) -> float | None:
        """The score as the leaderboard uses it.   at: "last" or "best"."""
        found = self.best(score) if at == "best" else self.last(score)
        return found.value if found else None

    @property
    def params(self) -> dict[str, Any]:
        """The parameters that its sweep set; empty outside a sweep."""
        return self.sweep.params if self.sweep else {}

    def scores(self) -> list[str]:
        """The scalar scores of which this run has a value."""
        recorded = [*mapping(self.result.get("last")), *mapping(self.result.get("best"))]
        named = dict.fromkeys([*self.protocols, *recorded, *self.evaluated])
        return [score for score in named if self.last(score) is not None]

    def called(self, word: str) -> list[str]:
        """The columns whose protocol names the score `word`, such as "fid" or "mode_counts"."""
        return scores_called(self.protocols, word)

    def numbers(self, score: str) -> list[float | None]:
        """The newest list of numbers of a score; [] if there is none.

        A number is None if it could not be measured.
        """
        if score in self.evaluated:
            values = [self.evaluated[score].get("value")]
        else:
            values = self.curves[score].values if score in self.curves else []
        listed = next((value for value in reversed(values) if isinstance(value, list)), [])
        return [float(n) if isinstance(n, (int, float)) else None for n in listed]

    def _points(self, score: str) -> list[Value]:
        curve = self.curves.get(score, Curve([], []))
        pairs = zip(curve.kimg, curve.values, strict=True)
        return [Value(float(v), k) for k, v in pairs if _computable(v)]


def load(paths: Iterable[str | Path]) -> list[Run]:
    """The runs at or below each path (a run, a group of runs or a sweep's directory), as recorded.

    Raises: UserError if a path does not exist or holds no run.
    """
    runs = [read_run(record) for record in find_records(map(Path, paths))]
    add_columns(runs)
    return runs


def add_columns(runs: Sequence[Run]) -> None:
    """Add the scores of each run's evaluations to the columns of the run (`run.evaluated`).

    A column has the name of its score. If that was measured on the same data with several
    protocols or checkpoints, the name also has the differing keys, as in "fid_digitsnet1_1k_train
    (checkpoint best.pt)". Of several equal evaluations of a run the newest is used.
    """
    alike: dict[tuple[str, Any], list[dict[str, Any]]] = {}
    for run in runs:
        found = [(name, _protocol(one, name)) for one in run.evaluations for name in one.scores]
        for name, protocol in [*run.protocols.items(), *found]:
            alike.setdefault((name, protocol.get("data")), []).append(protocol)
    for run in runs:
        for one in run.evaluations:
            for name, entry in one.scores.items():
                protocol = _protocol(one, name)
                column = _column(name, protocol, alike[name, protocol.get("data")])
                run.evaluated[column] = {**entry, "kimg": one.kimg}
                run.protocols[column] = protocol


def _protocol(evaluation: Evaluation, name: str) -> dict[str, Any]:
    """The protocol with the checkpoint: scores of different checkpoints are not comparable."""
    return {**evaluation.protocols.get(name, {}), "checkpoint": evaluation.checkpoint}


def _column(name: str, protocol: dict[str, Any], alike: list[dict[str, Any]]) -> str:
    keys = dict.fromkeys(key for each in alike for key in each if key not in REPEATABLE)
    differing = [key for key in keys if any(each.get(key) != protocol.get(key) for each in alike)]
    words = [f"{key} {setting(protocol.get(key))}" for key in differing]
    return f"{name} ({', '.join(words)})" if words else name


def read_run(record: RunRecord, *, brief: bool = False, curves: bool = True) -> Run:
    """One run. Missing or damaged files become notes of the run, not errors.

    brief: without evaluations and pictures; of a run whose result.json says how it ended, also
        without settings and curves.   curves: without them such a run is read several times faster.
    """
    notes: list[str] = []
    found, fault = record.read_result()
    damaged = [f"result.json: {fault}"] if fault else []
    result = found or {}
    has_ended = result.get("status", "running") != "running"
    config, fault = ({}, "") if has_ended and brief else _config(record)
    damaged = [f"config.yaml: {fault}", *damaged] if fault else damaged
    has_all = has_ended and (brief or not curves)
    found_curves, protocols = ({}, {}) if has_all else _history(record, notes)
    recorded = mapping(result.get("protocols"))
    protocols |= {score: dict(value) for score, value in recorded.items() if value}
    sweep = sweep_part(result.get("sweep"))
    status, reason = str(result.get("status") or NO_RESULT), str(result.get("reason") or "")
    if status == "running":
        reason = "It is still training, or its process was killed."
    if status == NO_RESULT:
        reason = ABSENT
    if damaged:
        status, reason = DAMAGED, f"damaged: {'; '.join(damaged)}."
    remarks = remarks_in(_readable(record.remarks, "remarks.jsonl", notes))
    notes = [*([reason] if status in (DAMAGED, NO_RESULT) else []), *notes]
    return Run(
        directory=record.directory,
        config=config,
        result=result,
        curves=found_curves,
        protocols=protocols,
        status=status,
        reason=reason,
        sweep=sweep,
        grids=[] if brief else record.sample_grids(),
        sheets=[] if brief else record.sheet_files(),
        evaluations=[] if brief else _evaluations(record, notes),
        tags=list(remarks.tags),
        note=remarks.note,
        notes=notes,
    )


def add_settings(run: Run) -> None:
    """Read the settings of a run that was read briefly; they stay empty where they are damaged."""
    if not run.config:
        run.config = _config(RunRecord(run.directory))[0]


def _config(record: RunRecord) -> tuple[dict[str, Any], str]:
    """The settings, and the reason if they cannot be read, else ""."""
    from gansweep.records.stored_yaml import yaml_mapping  # imports yaml, which --help must not

    try:
        return with_new_targets(yaml_mapping(record.config_path)), ""
    except OSError as error:
        return {}, str(error.strerror)
    except DamagedError as error:
        return {}, str(error)


def _history(
    record: RunRecord, notes: list[str]
) -> tuple[dict[str, Curve], dict[str, dict[str, Any]]]:
    """Returns: the columns of the history by name, and the protocols in it by score."""
    rows = _readable(record.history, "history.jsonl", notes)
    notes += [str(row["note"]) for row in rows if row.get("note")]
    columns: dict[str, Curve] = {}
    protocols: dict[str, dict[str, Any]] = {}
    # most rows have the same columns as the one before: whole columns are taken at once
    for keys, alike in itertools.groupby((row for row in rows if "kimg" in row), key=tuple):
        found = dict(zip(keys, zip(*(row.values() for row in alike), strict=True), strict=True))
        clocks = [float(clock) for clock in found.pop("kimg")]
        for protocol in found.pop("protocol", ()):
            protocols |= mapping(protocol)
        for name, values in found.items():
            kept = list(zip(clocks, values, strict=True))
            if {dict, str} & set(map(type, values)):
                kept = [(clock, value) for clock, value in kept if type(value) not in (dict, str)]
            if kept:
                column = columns.setdefault(name, Curve([], []))
                column.kimg.extend(clock for clock, _ in kept)
                column.values.extend(value for _, value in kept)
    return {name: _in_order(column) for name, column in columns.items()}, protocols


def _in_order(column: Curve) -> Curve:
    """By ascending kimg. A run that continued from a checkpoint may have two rows with the same
    kimg: the later counts."""
    if all(map(lt, column.kimg, column.kimg[1:])):
        return column
    latest = dict(zip(column.kimg, column.values, strict=True))
    return Curve(sorted(latest), [latest[clock] for clock in sorted(latest)])


def _readable(
    read: Callable[[], list[dict[str, Any]]], file: str, notes: list[str]
) -> list[dict[str, Any]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rows = read()
    if caught:
        lines = plural(len(caught), "damaged line")
        why = str(caught[0].message).rpartition(": ")[2]
        notes.append(f"{file}: skipped {lines} ({why}). A killed process can leave such lines.")
    return rows


def _evaluations(record: RunRecord, notes: list[str]) -> list[Evaluation]:
    return [
        Evaluation(
            checkpoint=str(row.get("checkpoint") or "unknown"),
            kimg=float(row.get("kimg", math.nan)),
            scores=mapping(row.get("scores")),
            protocols=mapping(row.get("protocols")),
        )
        for row in _readable(record.evaluations, "evaluations.jsonl", notes)
    ]


def _computable(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and abs(value) <= LARGEST_SCORE


def _value(scores: Any, score: str) -> Value | None:
    entry = mapping(mapping(scores).get(score))
    value = entry.get("value")
    if not _computable(value):
        return None
    clock, std, bounds = entry.get("kimg"), entry.get("std"), entry.get("interval")
    return Value(
        float(value),
        math.nan if clock is None else float(clock),
        None if std is None else float(std),
        None if bounds is None else (float(bounds[0]), float(bounds[1])),
    )
