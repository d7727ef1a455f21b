"""What the budget of a sweep went to: how its trials ended, and what each kind of end cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gansweep.judging.statuses import BREAKS_CONSTRAINT, ENDED_WELL, FAILED_TRAINING, FAILURES
from gansweep.judging.table import Table
from gansweep.judging.trials import Sweep, Trial
from gansweep.records.notation import duration, number, plural

KINDS = {kind: f"failed: {words.removeprefix('by ')}" for kind, words in FAILURES.items()}
ORDER = (
    *(*ENDED_WELL, BREAKS_CONSTRAINT, "pruned"),
    *(*FAILED_TRAINING, *KINDS.values(), "failed"),
)
CONFIRMED = "confirmation runs"


@dataclass(frozen=True)
class Spent:
    """What ended alike: how many, how many images they saw, and how long that took.

    share: of the images of the whole sweep; None where it saw none.   seconds: None where a
    record has none.
    """

    end: str
    count: int
    kimg: float
    share: float | None
    seconds: float | None


def ending(trial: Trial) -> str:
    """How a trial ended, in words: its status, and of a failure which kind."""
    if trial.status != "failed":
        return trial.status
    kind = str(trial.decisive.result.get("failure"))
    return KINDS.get(kind, "failed")


def outcomes(sweep: Sweep) -> list[Spent]:
    """A line for each kind of end, the good ones first, then the confirmation runs."""
    groups: dict[str, list[Trial]] = {}
    for trial in sweep.trials:
        groups.setdefault(ending(trial), []).append(trial)
    ends = [end for end in ORDER if end in groups]
    ordered = {end: groups[end] for end in [*ends, *(end for end in groups if end not in ORDER)]}
    if sweep.confirmations:
        ordered[CONFIRMED] = [Trial([run]) for run in sweep.confirmations]
    total = math.fsum(trial.kimg for members in ordered.values() for trial in members)
    return [_spent(end, members, total) for end, members in ordered.items()]


def _spent(end: str, members: Sequence[Trial], total: float) -> Spent:
    kimg = math.fsum(trial.kimg for trial in members)
    times = [seconds for trial in members if (seconds := trial.seconds) is not None]
    whole = math.fsum(times) if len(times) == len(members) else None
    return Spent(end, len(members), kimg, kimg / total if total else None, whole)


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def outcome_table(sweep: Sweep, titled: bool) -> Table:
    """titled: whether the table names its sweep, where the page has several."""
    rows = [
        [
            spent.end,
            str(spent.count),
            number(spent.kimg),
            _percent(spent.share),
            duration(spent.seconds),
        ]
        for spent in outcomes(sweep)
    ]
    caption = f"{sweep.name}: {plural(len(sweep.trials), 'trial')} by their end"
    heads = ["ended", "how many", "kimg", "of the budget", "training time"]
    return Table(caption, heads, rows, titled=titled)
