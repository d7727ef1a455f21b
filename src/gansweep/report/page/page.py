"""One self-contained HTML page that compares runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gansweep.errors import UserError
from gansweep.judging.statuses import judged_runs
from gansweep.records.read import Run
from gansweep.records.record import replace_atomically
from gansweep.report.page.document import document
from gansweep.report.page.payload import payload_of
from gansweep.report.page.pictures import Beside, beside_of, folder_of


def write_report(paths: Sequence[str | Path], out: str | Path, metric: str | None = None) -> Path:
    """Write the page that compares the runs at or below `paths`.   Returns: its path.

    out: the file, or a directory for report.html.   metric: the score that ranks; None: chosen.
    Raises: UserError if there is no run, no such metric, or `out` cannot be written.
    """
    return write_page(judged_runs(paths), out, metric)


def write_page(runs: Sequence[Run], out: str | Path, metric: str | None = None) -> Path:
    """As `write_report`, for runs that were read before."""
    target = Path(out)
    if target.is_dir():
        target = target / "report.html"
    beside = beside_of(runs, target)
    try:
        page = document(payload_of(runs, metric, store=beside))
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(target, page.encode(errors="replace"))
        (beside or Beside(folder_of(target))).remove_others()
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {target}: {error.strerror}. Choose another place "
            "with -o FILE."
        ) from error
    return target
