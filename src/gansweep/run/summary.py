"""What a run prints at its end: its last and its best scores, with their clocks."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gansweep.config.permissions import is_package_option
from gansweep.judging.statuses import judged_status
from gansweep.records.notation import aligned, number
from gansweep.records.record import RunRecord

Scores = Mapping[str, float]
STOPPED = ("interrupted", "paused")


def summary(result: Mapping[str, Any], directory: Path) -> str:
    """How a run ended, its scores at the end and at its best evaluation, and what to run next.

    result: the content of its result.json.
    directory: of its record. Its history has all scores of the best evaluation; the best value of
        each score separately would not belong to one network.
    """
    ended = f"{result['status']} after {result['kimg']:g} kimg: {result['reason']}"
    status, reason = judged_status(result)
    place = shlex.quote(str(directory))
    judged = [] if status == result["status"] else [f"{status}: {reason}"]
    looks = [f"gansweep report {place}", f"gansweep doctor {place}"]
    more = _continuing(result, directory)
    # what was stopped is continued first of all; what has spent its budget needs a larger one
    is_stopped, budget = result["status"] in STOPPED, result.get("budget_kimg") or result["kimg"]
    if result["kimg"] >= budget and not is_stopped:
        more += f" budget_kimg={2 * budget:g}"
    steps = [more, *looks] if is_stopped else [*looks, more]
    next_steps = [f"{'next:' if n == 0 else '':<5} {step}" for n, step in enumerate(steps)]
    wrote = [f"wrote {directory}"]
    return "\n".join([ended, *judged, *_table(result, RunRecord(directory)), *wrote, *next_steps])


def finished_before(result: Mapping[str, Any], directory: Path) -> str:
    """What is printed where a run that has spent its budget is to be continued."""
    return (
        f"Nothing is left to train: {directory} has seen all {result['kimg']:g} kimg of its "
        f"budget.\nnext: {_continuing(result, directory)} budget_kimg={2 * result['kimg']:g}"
    )


def _continuing(result: Mapping[str, Any], directory: Path) -> str:
    """The command that continues a run, which must allow the packages of its classes again."""
    packages = [word for word in result.get("overrides") or () if is_package_option(word)]
    return shlex.join(["gansweep", "train", f"resume={directory}", *packages])


def _table(result: Mapping[str, Any], record: RunRecord) -> list[str]:
    """A line for each score that has a direction, the objective first; empty without scores."""
    protocols, objective = result["protocols"], result.get("objective")
    entries = {
        name: entry
        for name, entry in result["last"].items()
        if protocols.get(name, {}).get("direction") and not isinstance(entry["value"], list)
    }
    names = sorted(entries, key=lambda name: name != objective)
    if not names:
        return []
    moments = {"last": max(entries[name]["kimg"] for name in names)}
    best = result["best"].get(objective)
    if best is not None:
        moments = {"best": best["kimg"], **moments}
    if len(set(moments.values())) < len(moments):
        moments = {"best and last": moments["last"]}
    columns = [_scores_at(kimg, entries, record) for kimg in moments.values()]
    heads = [f"{word}, {kimg:.4g} kimg" for word, kimg in moments.items()]
    first = "score" if best is None else "score (best by the first)"
    cells = [[first, *heads], *([name, *(number(c.get(name)) for c in columns)] for name in names)]
    return [f"  {line}" for line in aligned(cells, right=range(1, 3))]


def _scores_at(kimg: float, entries: Mapping[str, Any], record: RunRecord) -> Scores:
    """The scores that were measured at `kimg`."""
    found = {name: one["value"] for name, one in entries.items() if one["kimg"] == kimg}
    for row in record.history() if len(found) < len(entries) else ():
        if row.get("kimg") == kimg:
            found |= {name: row[name] for name in entries if name in row}
    return {name: value for name, value in found.items() if value is not None}
