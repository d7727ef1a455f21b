"""The live view of a sweep: a table on a terminal, else one line for each event."""

import math
import sys
import textwrap
import time
from collections.abc import Callable
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gansweep.engine.study import SweepStudy
from gansweep.engine.time_left import seconds_left
from gansweep.engine.watch import Row, Watch
from gansweep.errors import COLUMNS
from gansweep.judging.statuses import ENDED_WELL, FAILED
from gansweep.records.notation import clock

STYLES = {
    "running": "cyan",
    **dict.fromkeys(ENDED_WELL, "green"),
    "pruned": "yellow",
    **dict.fromkeys(FAILED, "red"),
    "failed": "bold red",
}
NUMBER_COLUMNS = 30  # of kimg, score and speed, and between the columns
LEAST_ROWS = 5
LOOK_SECONDS = 5.0  # between two looks at the running workers
INDENT = " " * 9  # below the name of the run, behind the time of day


class LiveTable:
    """The table that a person watches."""

    def __init__(self, watch: Watch, workers: int, console: Console) -> None:
        self.watch, self.workers, self.console = watch, workers, console
        self._live = Live(console=console, auto_refresh=False)
        self._left: float | None = None  # seconds
        self._look_at = -math.inf

    def __enter__(self) -> Callable[[], None]:
        self._live.__enter__()
        return self.update

    def __exit__(self, *error: Any) -> None:
        self._live.__exit__(*error)

    def update(self) -> None:
        self._live.update(self.render(), refresh=True)

    def _goal(self, rows: list[Row]) -> str:
        """The objective; "" while it is "auto" and no run has measured a score yet, and for a
        list."""
        if self.watch.study.queue.listed is not None:
            return ""
        objective = self.watch.study.objective
        score = next((r.score for r in rows if r.score), objective.metric)
        return "" if score == "auto" else f": {objective.direction} {score}"

    def _seconds_left(self) -> float | None:
        # finding the running workers of other hosts reads a file for each of them and its trial
        if time.monotonic() >= self._look_at:
            self._left = seconds_left(self.watch.study, self.workers)
            self._look_at = time.monotonic() + LOOK_SECONDS
        return self._left

    def render(self) -> Table:
        """The runs that fit the terminal; running ones and the best, marked "*", come first."""
        rows = self.watch.rows()
        shown = self.watch.shown(rows)
        best = self.watch.best(shown)
        table = Table(
            title=f"sweep {self.watch.study.settings.name}{self._goal(rows)}",
            caption=_progress(self.watch, rows, self._seconds_left(), best),
            expand=True,
            box=box.SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for heading in ("run", "status"):
            table.add_column(heading, no_wrap=True)
        table.add_column("parameters", overflow="fold", ratio=1)  # wraps: it is what differs
        for heading in ("kimg", "score", "img/s"):
            table.add_column(heading, justify="right", no_wrap=True)
        for row in self._fitting(shown, best):
            star = "* " if best is not None and row.key == best.key else ""
            table.add_row(
                row.key,
                f"[{STYLES.get(row.status, 'dim')}]{_where(row)}",
                row.params,
                f"{row.kimg:.4g}",
                "" if row.value is None else f"{star}{row.value:.4g}",
                "" if row.images_per_second is None else f"{row.images_per_second:.0f}",
            )
        return table

    def _fitting(self, rows: list[Row], best: Row | None) -> list[Row]:
        """As many rows as fit, the most important ones, in their usual order."""

        def weight(row: Row) -> int:
            if row.status == "running":
                return 0
            if best is not None and row.key == best.key:
                return 1
            return 2 if row.confirms else 3

        widest = max((len(row.key) + len(_where(row)) for row in rows), default=0)
        room = max(10, self.console.width - widest - NUMBER_COLUMNS)
        lines = 0
        kept: list[int] = []
        for place in sorted(range(len(rows)), key=lambda i: (weight(rows[i]), -i)):
            lines += max(1, len(textwrap.wrap(rows[place].params, room)))
            if lines > self.console.height - 8 and len(kept) >= LEAST_ROWS:
                break
            kept.append(place)
        return [rows[place] for place in sorted(kept)]


class EventLines:
    """One line per event for logs and pipes; after 80 columns it goes on in an indented line."""

    def __init__(self, watch: Watch, workers: int, out: TextIO | None = None) -> None:
        self.watch, self.workers = watch, workers
        self._out = out or sys.stdout
        self._seen: dict[str, str] = {}

    def __enter__(self) -> Callable[[], None]:
        rows = self.watch.rows()
        self._seen = {row.key: row.status for row in rows if row.status != "running"}
        return self.update

    def __exit__(self, *error: Any) -> None:
        self._out.flush()

    def update(self) -> None:
        """Print a line for each run whose status has changed."""
        rows = self.watch.rows()
        for row in rows:
            before = self._seen.get(row.key)
            if row.status != before and row.status != "waiting":
                self._seen[row.key] = row.status
                line = f"{time.strftime('%H:%M:%S')} {row.key} {self._words(row, rows)}"
                lines = textwrap.wrap(
                    line,
                    COLUMNS,
                    subsequent_indent=INDENT,
                    break_long_words=False,  # a path is copied whole
                    break_on_hyphens=False,
                )
                print("\n".join(lines), file=self._out, flush=True)

    def _words(self, row: Row, rows: list[Row]) -> str:
        if row.status == "running":
            return f"started    {row.worker} {row.params}".rstrip()
        if row.status == "interrupted":
            return f"interrupted at {row.kimg:.4g} kimg, to be continued"
        done, due = self.watch.done_and_due(rows)
        score = "" if row.value is None else f" {row.value:.4g} {row.score}"
        seconds = seconds_left(self.watch.study, self.workers)
        left = "" if seconds is None or done >= due else f", {clock(seconds)} left"
        reason = row.reason if row.status in FAILED else row.breaks
        reason = f" ({reason})" if reason else ""
        return f"{row.status:<10} [{done}/{due}{left}] {clock(row.seconds)}{score}{reason}"


def make_view(study: SweepStudy, workers: int) -> LiveTable | EventLines:
    """A live table on a terminal; lines elsewhere."""
    console = Console()
    watch = Watch(study)
    if console.is_terminal:
        return LiveTable(watch, workers, console)
    return EventLines(watch, workers)


def _progress(watch: Watch, rows: list[Row], left: float | None, best: Row | None) -> str:
    done, due = watch.done_and_due(rows)
    parts = [f"{done}/{due} runs", f"{clock(time.monotonic() - watch.started)} elapsed"]
    if left is not None and done < due:
        parts.append(f"about {clock(left)} left")
    if best is not None and best.value is not None:
        parts.append(f"best {best.value:.4g} ({best.key})")
    if (size := watch.front_size()) is not None:
        parts.append(f"{size} on the Pareto front")
    return " · ".join(parts)


def _where(row: Row) -> str:
    return f"running {row.worker}" if row.status == "running" else row.status
