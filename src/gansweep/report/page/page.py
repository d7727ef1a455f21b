"""One self-contained HTML page that compares runs."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansweep.errors import UserError
from gansweep.judging.labels import varied
from gansweep.judging.leaderboard import (
    PREFERENCE,
    Board,
    Row,
    is_confirmation,
    leader,
    leaderboard,
)
from gansweep.judging.protocols import protocols_of
from gansweep.judging.statuses import judged_runs
from gansweep.judging.verdict import verdict
from gansweep.metrics.protocol import REPEATABLE, interval_holds
from gansweep.records import notation
from gansweep.records.read import Run, Value
from gansweep.records.record import replace_atomically
from gansweep.report.figures.palette import variants
from gansweep.report.page.cautions import Measured, cautions, measured
from gansweep.report.page.diagnosis import diagnosis
from gansweep.report.page.pictures import neighbour_sheets, sample_grids
from gansweep.report.page.sections import sections

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
COLUMNS = 4  # scores in the first table; more scores go into a second table
# keys of a protocol with reference values of the score, and their labels
IDEALS = {"floor": "floor", "real_support": "real images", "real_copies": "copies in the data"}


@dataclass(frozen=True)
class BoardTable:
    """The rows of one stage and their scores.   columns: the score that ranks comes first."""

    caption: str
    trials: bool
    rows: list[Row]
    metric: str | None
    columns: list[str]

    @property
    def shown(self) -> list[str]:
        return self.columns[:COLUMNS]


def write_report(paths: Sequence[str | Path], out: str | Path, metric: str | None = None) -> Path:
    """Write the page that compares the runs at or below `paths`.   Returns: its path.

    out: the file, or a directory for report.html.   metric: the score that ranks; None: chosen.
    Raises: UserError if there is no run, no such metric, or `out` cannot be written.
    """
    return write_page(leaderboard(judged_runs(paths), metric), out)


def write_page(board: Board, out: str | Path) -> Path:
    """As `write_report`, for runs that were read before."""
    page = render(board)
    target = Path(out)
    if target.is_dir():
        target = target / "report.html"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_atomically(target, page.encode())
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {target}: {error.strerror}. Choose another place "
            "with -o FILE."
        ) from error
    return target


def render(board: Board) -> str:
    """The HTML of the page. Text from records is escaped."""
    import gansweep

    drawn = variants(board)
    rows = [*board.rows, *board.open_rows]
    tables = _tables(board)
    style, plotly, script = _assets()
    return (
        _environment()
        .get_template("page.html")
        .render(
            board=board,
            title=_title(board),
            overview=_overview(board),
            verdict=verdict(board),
            tables=tables,
            further=tables[0].columns[COLUMNS:] if tables else [],
            spreads=_spreads(board),
            cautions=cautions(board),
            diagnosis=diagnosis(board, drawn),
            sheets=neighbour_sheets(drawn),
            leaders={score: leader(board, score) for score in board.scores},
            lines={variant.row.key: variant for variant in drawn},
            variants=drawn,
            hidden=len(rows) - len(drawn),
            sections=sections(board, drawn),
            grids=sample_grids(drawn),
            protocols=_protocols(board),
            early_score=board.metric if board.metric == board.trial_metric else "score",
            last_of=lambda run: _last(board, run),
            labels={r.directory: row.label for row in rows for r in row.runs},
            commands={run.directory: rerun_command(run) for run in board.runs},
            style=style,
            plotly=plotly,
            script=script,
            policy=content_policy(plotly, script),
            version=gansweep.__version__,
            written=datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
        )
    )


def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": notation.number,
        "duration": notation.duration,
        "setting": notation.setting,
        "plural": notation.plural,
        "breakable": breakable,
        "data_block": data_block,
        "described": described,
        "spread": spread,
    }
    return environment


def _assets() -> tuple[Markup, Markup, Markup]:
    """The style sheet, Plotly and the page's script, exactly as they are in the page."""
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    style = (TEMPLATES / "page.css").read_text()
    script = (TEMPLATES / "page.js").read_text()
    # a browser changes every line end to "\n" before it computes the hash
    plotly = get_plotlyjs().replace("\r\n", "\n").replace("\r", "\n")
    return Markup(style), Markup(plotly), Markup(script)


def content_policy(*scripts: str) -> str:
    """A content security policy: only these scripts, and nothing from the network."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def breakable(text: str) -> Markup:
    """Text that a browser may break after underscores, for long names of scores."""
    from markupsafe import Markup, escape

    return Markup(str(escape(text)).replace("_", "_<wbr>"))


def described(content: Any) -> str:
    """ "torch 2.6, python 3.11" for a mapping; other values as `notation.setting`."""
    if isinstance(content, dict):
        return ", ".join(f"{key} {notation.setting(value)}" for key, value in content.items())
    return notation.setting(content)


def data_block(content: Any) -> Markup:
    """JSON for a <script type="application/json">, without a "<" that could end the block."""
    from markupsafe import Markup

    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))


def rerun_command(run: Run) -> str:
    """The command that repeats a run; "" if the record has none."""
    return str(run.result.get("command") or "").strip()


def _title(board: Board) -> str:
    sweeps = dict.fromkeys(run.sweep.name for run in board.runs if run.sweep)
    groups = dict.fromkeys(run.directory.parent.name for run in board.runs)
    names = list(sweeps or groups)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _overview(board: Board) -> str:
    """ "14 runs of 6 configurations on digits: 11 finished, 1 diverged, 2 pruned."."""
    data = ", ".join(dict.fromkeys(run.data for run in board.runs))
    counts = Counter(run.status for run in board.runs)
    states = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    rows = notation.plural(len(board.rows) + len(board.open_rows), "configuration")
    seconds = sum(run.number("seconds") or 0.0 for run in board.runs)
    return (
        f"{notation.plural(len(board.runs), 'run')} of {rows} on {data}: {states}. "
        f"{notation.duration(seconds)} of training in all."
    )


def _columns(board: Board) -> list[str]:
    """The scores in the order of the tables: the one that ranks, then every FID, then the first
    column of each kind of score by preference. FID-infinity is shown beside its FID.
    """
    ranks = {word: rank for rank, word in enumerate(PREFERENCE) if word != "fid_infinity"}
    words = {score: p.get("score") for run in board.runs for score, p in run.protocols.items()}
    first = {word: score for score, word in reversed([(s, words.get(s)) for s in board.scores])}

    def place(score: str) -> tuple[bool, bool, bool, int]:
        word = words.get(score)
        again = word != "fid" and first[word] != score
        ranks_trials = score == board.trial_metric
        return score != board.metric, not ranks_trials, again, ranks.get(str(word), len(PREFERENCE))

    return sorted(board.scores, key=place)


def _spreads(board: Board) -> dict[tuple[str, str], list[str]]:
    """(row, score) -> lines below a number of the table.

    They show the interval or spread of a single seed's measurement, FID-infinity below its FID, and
    reference values for perfect samples or real images.
    """
    spreads = {}
    for score in board.scores:
        protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
        of_fid = protocol.get("score") == "fid"
        fids = {one.row.key: one for one in measured(board, score)} if of_fid else {}
        for row in board.rows:
            if score not in row.scores(board.at):
                continue
            value = row.complete[0].last(score) if row.seeds == 1 else None
            words = [spread(value, protocol)] if value and board.at == "last" else []
            words += [row.scores(board.at)[score].interval_text]
            words += [_endless(fids[row.key]) if row.key in fids else ""]
            words += [
                f"{name} {notation.number(protocol.get(key))}"
                for key, name in IDEALS.items()
                if protocol.get(key) is not None
            ]
            spreads[row.key, score] = [line for line in words if line]
    return spreads


def _endless(one: Measured) -> str:
    if one.endless is None:
        return ""
    within = "" if one.endless_error is None else f" ± {one.endless_error:.2g}"
    details = [] if one.endless_error is None else ["95 %"]
    details += [] if one.residual is None else [f"fit ± {one.residual:.2g}"]
    about = f" ({'; '.join(details)})" if details else ""
    return f"FID-infinity {notation.number(one.endless)}{within}{about}"


def spread(value: Value, protocol: Mapping[str, Any]) -> str:
    """The error of a measurement; "" if it was not measured."""
    words = notation.spread_words(value.value, value.std, value.interval)
    holds = interval_holds(protocol) if " to " in words else ""
    return f"{words}, 95 % for {holds}" if holds else words


def _tables(board: Board) -> list[BoardTable]:
    """A table of confirmed configurations and single runs, then one of the sweep's trials."""
    columns = _columns(board)
    chosen = [row for row in board.rows if row.stage != "trial"]
    trials = [row for row in board.rows if row.stage == "trial"]
    tables = []
    for trial, rows in ((False, chosen), (True, trials)):
        if rows:
            metric = board.trial_metric if trial else board.metric
            known = [c for c in columns if any(c in row.scores(board.at) for row in rows)]
            caption = "Trials of the sweep" if trial else "Leaderboard"
            tables.append(BoardTable(caption, trial, rows, metric, known))
    return tables


def _last(board: Board, run: Run) -> float | None:
    """The run's last value of the score that ranks its stage."""
    stage = "trial" if run.sweep and not is_confirmation(run) else "run"
    value = run.last(board.ranks(stage) or "")
    return value.value if value else None


def _protocols(board: Board) -> dict[str, Any]:
    """The common part of all protocols, and a table of the differing keys.

    A score that was measured with several protocols has several lines.
    """
    scores = dict.fromkeys(s for run in board.runs for s in run.scores())
    lines = [
        (score, protocol)
        for score in sorted(scores)
        for protocol, _ in protocols_of(board.runs, score)
    ]
    skipped = ("score", *REPEATABLE)
    protocols = [{k: v for k, v in each.items() if k not in skipped} for _, each in lines]
    differing = varied(protocols)
    common = [key for key in (protocols[0] if protocols else {}) if key not in differing]
    return {
        "common": {key: protocols[0][key] for key in common if protocols[0][key] is not None},
        "keys": differing,
        "lines": lines,
    }
