"""Configurations against a first one: the settings that differ, and each score with its test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gansweep.judging.labels import settings_of, varied
from gansweep.judging.leaderboard import Board, Row
from gansweep.judging.statistics import Comparison, Summary, compare, holm
from gansweep.records.plain_values import mapping
from gansweep.records.read import Run

HOW_MADE = ("._partial_", "._convert_", "._recursive_")  # ends of keys that Hydra reads


@dataclass(frozen=True)
class Standing:
    """One configuration in one score.

    summary: None where no finished run has the score.
    against: the first configuration, corrected over all that are tested; None for the first, and
        where one of the two has no value.   untested: why there is no p, as of `obstacle`.
    """

    summary: Summary | None
    against: Comparison | None
    untested: str = ""


def unfair(row: Row) -> str:
    """Why the values of a row are not a fair sample of it: "lost 1 seed"; "" if they are."""
    return row.flaw or ("is a trial without all its seeds" if row.excluded else "")


def obstacle(first: Row, row: Row) -> str:
    """Why a row is not tested against the first one; "" if it is."""
    if flaw := unfair(row):
        return f"it {flaw}"
    if flaw := unfair(first):
        return f"the first {flaw}"
    if "trial" in (first.stage, row.stage) and first.stage != row.stage:
        return "a trial's value is the best of many"
    return ""


def standings(board: Board, rows: Sequence[Row], score: str) -> list[Standing]:
    """Each row in a score that the board compares, against the first of the rows."""
    seeds = [row.by_seed(score, board.at) for row in rows]
    having = [place for place in range(1, len(rows)) if seeds[0] and seeds[place]]
    against = {place: compare(seeds[0], seeds[place]) for place in having}
    untested = {place: why for place in having if (why := obstacle(rows[0], rows[place]))}
    for place in untested:
        against[place] = replace(against[place], p=None, interval=None)
    tested = [place for place in having if place not in untested]
    corrected = holm([against[place] for place in tested])
    against |= dict(zip(tested, corrected, strict=True))
    return [
        Standing(row.scores(board.at).get(score), against.get(place), untested.get(place, ""))
        for place, row in enumerate(rows)
    ]


def differing_settings(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """Setting -> its value in each row, for settings that differ; None where a row has none.

    Without what says how a class is made, and without the model's batch size where it is the run's.
    """
    found = [_settings(row.runs[0]) for row in rows]
    differing = {
        key: [one.get(key) for one in found] for key in varied(found) if not key.endswith(HOW_MADE)
    }
    if differing.get("batch_size") == differing.get("model.batch_size"):
        differing.pop("model.batch_size", None)
    return differing


def _settings(run: Run) -> dict[str, Any]:
    return {"model": run.model, "data": run.data, **settings_of(run), **run.params}


def differing_origins(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The same of versions, the commit and the machine, by the first run of each row."""
    found = [_origin(row.runs[0].result) for row in rows]
    return {key: [one.get(key) for one in found] for key in varied(found)}


def _origin(result: Mapping[str, Any]) -> dict[str, Any]:
    versions = {f"versions.{k}": v for k, v in mapping(result.get("versions")).items()}
    machine = {f"hardware.{k}": v for k, v in mapping(result.get("hardware")).items()}
    return {**versions, "git_commit": result.get("git_commit"), **machine}
