"""Runs as tables for pandas: `gansweep.runs("runs").to_frame()`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from gansweep.errors import UserError
from gansweep.judging.labels import settings_of
from gansweep.judging.objective import objective_so_far
from gansweep.judging.statuses import judged_runs
from gansweep.judging.where import chosen
from gansweep.records.plain_values import mapping
from gansweep.records.read import Run

if TYPE_CHECKING:
    import pandas as pd

COSTS = ("seconds", "images_per_second", "peak_memory_mib")


class Runs(Sequence[Run]):
    """The runs at or below some paths, as their records describe them."""

    def __init__(self, found: Sequence[Run]) -> None:
        self._found = list(found)

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: int | slice) -> Run | Runs:
        return Runs(self._found[place]) if isinstance(place, slice) else self._found[place]

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._found)

    def where(self, text: str) -> Runs:
        """The runs for which a filter holds, as "lr > 1e-4 and model = dcgan" (see judging.where).

        Raises: UserError for a filter that cannot be read, or a name that no run has.
        """
        return Runs(chosen(self._found, text))

    def to_frame(self) -> pd.DataFrame:
        """A pandas DataFrame with a row for each run.

        Columns: run (its directory), group, name, model, data, seed, status, reason, kimg, seconds,
        images_per_second, peak_memory_mib, sweep, trial, role, objective (the value by which it is
        judged), tags, note, started, ended; last.SCORE and best.SCORE; config.KEY for each setting,
        a parameter of a sweep with the value that the sweep set.
        Raises: UserError where pandas is not installed.
        """
        return _pandas().DataFrame([_row(run) for run in self._found])

    def curves(self) -> pd.DataFrame:
        """A long pandas DataFrame: run (its directory), kimg, column, value. Only numbers.

        Raises: UserError where pandas is not installed.
        """
        found: dict[str, list[Any]] = {"run": [], "kimg": [], "column": [], "value": []}
        for run in self._found:
            for column, curve in run.curves.items():
                for kimg, value in zip(curve.kimg, curve.values, strict=True):
                    if isinstance(value, (int, float)) and not isinstance(value, bool):
                        row = (str(run.directory), kimg, column, float(value))
                        for key, cell in zip(found, row, strict=True):
                            found[key].append(cell)
        return _pandas().DataFrame(found)


def runs(*paths: str | Path) -> Runs:
    """The runs at or below each path (a run, a group or a sweep); of "runs" without a path.

    Raises: UserError if a path does not exist or holds no run.
    """
    return Runs(judged_runs(paths or ("runs",)))


def _row(run: Run) -> dict[str, Any]:
    part = run.sweep
    scores = run.scores()
    return {
        "run": str(run.directory),
        "group": run.directory.parent.name,
        "name": run.directory.name,
        "model": run.model,
        "data": run.data,
        "seed": run.seed,
        "status": run.status,
        "reason": run.reason,
        "kimg": run.kimg,
        **{key: run.number(key) for key in COSTS},
        "sweep": part.name if part else None,
        "trial": part.key if part else None,
        "role": part.role if part else None,
        "objective": judged[1] if (judged := objective_so_far(run)) else None,
        "tags": tuple(run.tags),
        "note": run.note,
        **{key: mapping(run.result).get(key) for key in ("started", "ended")},
        **{f"last.{score}": run.value(score, "last") for score in scores},
        **{f"best.{score}": run.value(score, "best") for score in scores},
        **{f"config.{key}": value for key, value in {**settings_of(run), **run.params}.items()},
    }


def _pandas() -> Any:
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise UserError(
            "A data frame needs another package: pip install 'gansweep[pandas]'."
        ) from error
    return pandas
