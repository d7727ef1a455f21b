"""Runs as the plain data from which the page's scripts draw everything."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from gansweep.errors import UserError
from gansweep.judging.against import unfair
from gansweep.judging.kinds import Kind, kinds_of
from gansweep.judging.leaderboard import Board, Row, leaderboard
from gansweep.judging.protocols import Refusal
from gansweep.judging.statistics import Summary
from gansweep.records.notation import short_names
from gansweep.records.read import Run, Value
from gansweep.report.page.configurations import configurations, environments
from gansweep.report.page.curve_blocks import curve_block
from gansweep.report.page.diagnosis_part import diagnosis_part
from gansweep.report.page.game_part import game_part
from gansweep.report.page.pictures import InPage, Store, samples_part
from gansweep.report.page.protocols_part import protocols_part
from gansweep.report.page.search_part import search_part
from gansweep.report.page.summary import summary

SCHEMA = 1
# keys of a protocol with reference values of the score, and their labels
IDEALS = {"floor": "floor", "real_support": "real images", "real_copies": "copies in the data"}
COSTS = {"kimg": "kimg", "images_per_second": "images/s", "peak_memory_mib": "peak MiB"}


@dataclass
class Payload:
    """content: the JSON.   blocks: name -> bytes that the page decodes when it needs them."""

    content: dict[str, Any]
    blocks: dict[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Shown:
    """A board with the ids of its rows and runs.   rows: id -> row.   runs: id -> run.

    note: a sentence on what the board could not follow; "" for nothing.
    """

    id: str
    kind: Kind
    board: Board
    rows: dict[str, Row]
    runs: dict[str, Run]
    note: str = ""

    @property
    def row_of(self) -> dict[str, str]:
        """Run id -> the id of its row."""
        ids = {run.directory: key for key, run in self.runs.items()}
        return {ids[run.directory]: key for key, row in self.rows.items() for run in row.runs}


def payload_of(
    runs: Sequence[Run],
    metric: str | None = None,
    live: bool = False,
    store: Store | None = None,
    table_only: bool = False,
) -> Payload:
    """What the page shows of these runs.   metric: the score that ranks; None: chosen.

    live: whether a server adds to it while the page is open.
    store: keeps the sheets of samples; None: in the page.
    table_only: without the sections that need histories and sheets, of runs read without these.
    Raises: UserError if no run has the metric.
    """
    import gansweep

    shown = boards_of(runs, metric)
    payload = Payload(
        {
            "schema": SCHEMA,
            "title": _title(shown),
            "written": datetime.now().astimezone().strftime("%d %B %Y, %H:%M %Z"),
            "version": gansweep.__version__,
            "live": live,
            "boards": [],
        }
    )
    store = store or InPage(payload.blocks)
    for one in shown:
        board = _board(one, payload.blocks)
        if not table_only:
            board["sections"] |= _sections(one, store)
        payload.content["boards"].append(board)
    return payload


def boards_of(runs: Sequence[Run], metric: str | None = None) -> list[Shown]:
    """A board for each kind of run.   Raises: UserError if no kind has the metric."""
    found: list[Shown] = []
    errors: list[UserError] = []
    ids = _run_ids(runs)
    for kind in kinds_of(runs):
        note = ""
        try:
            board = leaderboard(kind.runs, metric)
        except UserError as error:
            errors.append(error)
            board = leaderboard(kind.runs)
            note = f"{metric} does not rank this board, as its runs do not measure it in one way."
        rows = {_id("r", row.key): row for row in [*board.rows, *board.open_rows]}
        own = {ids[run.directory]: run for run in kind.runs}
        found.append(Shown(_id("b", kind.key), kind, board, rows, own, note))
    if errors and len(errors) == len(found):
        raise errors[0]
    return found


def _run_ids(runs: Sequence[Run]) -> dict[Any, str]:
    """Directory -> id, by group and name, so that a copy of the runs has the same ids."""
    ids = {run.directory: _id("x", run.name) for run in runs}
    taken = list(ids.values())
    return {
        path: key if taken.count(key) == 1 else _id("x", str(path)) for path, key in ids.items()
    }


def _id(letter: str, text: str) -> str:
    return letter + hashlib.sha256(text.encode(errors="replace")).hexdigest()[:8]


def _title(shown: Sequence[Shown]) -> str:
    names = list(dict.fromkeys(name for one in shown for name in one.kind.names))
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _board(one: Shown, blocks: dict[str, bytes]) -> dict[str, Any]:
    board = one.board
    curves = curve_block(one.runs)
    blocks[f"curves-{one.id}"] = curves.content
    row_of, ids = one.row_of, {run.directory: key for key, run in one.runs.items()}
    return {
        "id": one.id,
        "kind": one.kind.kind,
        "sweep": one.kind.sweep,
        "data": one.kind.data,
        "title": one.kind.title,
        "summary": {**summary(board), "note": one.note},
        "metric": board.metric,
        "trial_metric": board.trial_metric,
        "direction": board.direction_of(board.trial_metric),
        "at": board.at,
        "mixed": {refusal.score: _protocol_of(refusal, ids) for refusal in board.refused},
        "columns": columns_of(board),
        "rows": [_row(key, row, ids) for key, row in one.rows.items()],
        "runs": [_run(key, run, row_of[key], board) for key, run in one.runs.items()],
        "curves": {"block": f"curves-{one.id}", **curves.entry},
        "configurations": configurations(one.runs),
        "environments": environments(one.runs),
        "sections": {"protocols": protocols_part(board)},
    }


def _protocol_of(refusal: Refusal, ids: Mapping[Any, str]) -> dict[str, int]:
    """Run id -> the number of the protocol under which it measured the score."""
    return {
        ids[run.directory]: number
        for number, (_, runs) in enumerate(refusal.groups)
        for run in runs
    }


def _sections(one: Shown, store: Store) -> dict[str, Any]:
    """What is made of histories and sheets."""
    return {
        "diagnosis": diagnosis_part(one.rows, one.runs),
        "search": search_part(one.board, one.rows, one.runs),
        "game": game_part(one.board, one.rows, one.runs),
        "samples": samples_part(one.runs, store),
    }


def columns_of(board: Board) -> list[dict[str, Any]]:
    """The columns that a table can show: settings in which rows differ, scores, costs.

    A column with the key "at" has the score that ranks at the moment that does not count.
    """
    rows = [*board.rows, *board.open_rows]
    keys = dict.fromkeys(key for row in rows for key in row.settings if key != "model")
    names = short_names(keys)
    found: list[dict[str, Any]] = [
        {"id": f"setting/{key}", "key": key, "label": names[key], "kind": "setting"} for key in keys
    ]
    found += [_score_column(board, score) for score in board.scores]
    if board.metric:
        aside = "best" if board.at == "last" else "last"
        found.append(
            {**_score_column(board, board.metric), "id": f"moment/{board.metric}", "at": aside}
        )
    found += [
        {"id": key, "key": key, "label": word, "kind": "count"} for key, word in COSTS.items()
    ]
    return [*found, {"id": "seconds", "key": "seconds", "label": "time", "kind": "seconds"}]


def _score_column(board: Board, score: str) -> dict[str, Any]:
    """ideals: (word, value) of what perfect samples and real images would score."""
    protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
    ideals = [
        (word, protocol[key]) for key, word in IDEALS.items() if protocol.get(key) is not None
    ]
    return {
        "id": f"score/{score}",
        "key": score,
        "label": score,
        "kind": "score",
        "direction": protocol.get("direction"),
        "word": protocol.get("score"),
        "ideals": ideals,
    }


def _row(key: str, row: Row, ids: Mapping[Any, str]) -> dict[str, Any]:
    """ids: directory -> the id of its run."""
    return {
        "id": key,
        "name": row.name,
        "label": row.label,
        "model": row.model,
        "stage": row.stage,
        "settings": {key: value for key, value in row.settings.items() if key != "model"},
        "runs": [ids[run.directory] for run in row.runs],
        "counted": [ids[run.directory] for run in row.complete],
        "rank": row.rank,
        "seeds": row.seeds,
        "lost": row.lost,
        "flaw": row.flaw,
        "excluded": row.excluded,
        "unfair": unfair(row),
        "statuses": row.statuses,
        "last": _scores(row, "last"),
        "best": _scores(row, "best"),
        **{key: row.mean_of(key) for key in (*COSTS, "seconds")},
    }


def _scores(row: Row, at: str) -> dict[str, Any]:
    return {
        score: _summary(found, row.by_seed(score, at)) for score, found in row.scores(at).items()
    }


def _summary(found: Summary, values: Mapping[Any, float]) -> dict[str, Any]:
    low, high = found.interval or (None, None)
    return {
        "mean": _finite(found.mean),
        "std": found.std,
        "low": low,
        "high": high,
        "n": found.n,
        "values": {str(seed): value for seed, value in values.items()},
    }


def _run(key: str, run: Run, row: str, board: Board) -> dict[str, Any]:
    result = run.result
    return {
        "id": key,
        "row": row,
        "name": run.name,
        "seed": run.seed,
        "status": run.status,
        "reason": run.reason,
        "stopped_by": run.stopped_by,
        "notes": [note for note in run.notes if note != run.reason],
        "role": run.sweep.role if run.sweep else "run",
        "directory": str(run.directory),
        "batch_size": _batch_size(run),
        **{key: _finite(run.number(key)) for key in (*COSTS, "seconds")},
        "kimg": _finite(run.kimg),
        "started": str(result.get("started") or ""),
        "ended": str(result.get("ended") or ""),
        "tags": list(run.tags),
        "note": run.note or "",
        "last": {score: _value(run.last(score)) for score in _compared(run, board)},
        "best": {score: _value(run.best(score)) for score in _compared(run, board)},
        "lists": {name: run.numbers(name) for name in run.protocols if run.numbers(name)},
        "command": str(result.get("command") or "").strip(),
        "no_command": str(result.get("no_command") or ""),
    }


def _compared(run: Run, board: Board) -> list[str]:
    return [score for score in run.scores() if score in board.scores]


def _value(value: Value | None) -> dict[str, Any] | None:
    if value is None:
        return None
    found: dict[str, Any] = {"value": _finite(value.value), "kimg": _finite(value.kimg)}
    if value.std is not None:
        found["std"] = _finite(value.std)
    if value.interval is not None:
        found["low"], found["high"] = map(_finite, value.interval)
    return found


def _batch_size(run: Run) -> int | None:
    size = run.config.get("batch_size")
    return size if isinstance(size, int) and size > 0 else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
