"""results/TABLE.json: the runs of a table's cells, as plain values, without weights.

It grows: whoever has a machine adds seeds. A run is known by its content address; of two with one
address the file keeps that which was lost, else that with more scorings. Runs of cells that have
changed since stay in the file and count no more.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from gansweep.config.options import check_record
from gansweep.data.download import locked
from gansweep.errors import UserError
from gansweep.records.plain_values import DamagedError, mapping, parsed_mapping
from gansweep.records.record import RunRecord, content_of, replace_atomically
from gansweep.reproduce.plan import FAILED, LOST, PlannedRun
from gansweep.reproduce.scoring import CHECKPOINTS, values_of
from gansweep.reproduce.table import Budget, Table

SCHEMA = 1
STORED = "gansweep.reproduce.results.StoredRun"


class StoredRun(TypedDict):
    """One run in the file.   last, best: a score's word -> its value under each seed of the noise.

    protocols: word -> protocol.   words: its options, without the seed.   config: the key of its
    whole configuration in the file's `configs`.   directory: of its record, below that of all runs.
    """

    budget: str
    row: str
    setting: str
    seed: int
    address: str
    words: list[str]
    config: str
    status: str
    reason: str
    kimg: float | None
    seconds: float | None
    ended: str | None
    last: dict[str, list[float]]
    best: dict[str, list[float]]
    protocols: dict[str, Any]
    versions: dict[str, Any]
    git_commit: str | None
    hardware: dict[str, Any]
    command: str
    directory: str


def path_of(table: Table, results_dir: str | Path) -> Path:
    return Path(results_dir) / f"{table.name}.json"


Configs = dict[str, dict[str, Any]]  # key -> what decides a run, as records/address.py has it


def config_key(settings: Mapping[str, Any]) -> str:
    text = json.dumps(settings, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def load_configs(path: Path) -> Configs:
    """The configurations in the file; none if it does not exist. Raises: as `load_results`."""
    if not load_results(path):
        return {}
    return mapping(parsed_mapping(content_of(path)).get("configs"))


def load_results(path: Path) -> list[StoredRun]:
    """The runs in the file; none if it does not exist.

    Raises: UserError for a damaged file, and for one of another version or table.
    """
    try:
        content = parsed_mapping(content_of(path))
        if content.get("schema") != SCHEMA:
            raise UserError(
                f"{path} has schema {content.get('schema')}, and this version of gansweep reads "
                f"{SCHEMA}. Use the version that wrote it, or move it away: the runs that are on "
                "this machine's shelf are written again."
            )
        if content.get("table") != path.stem:
            raise UserError(
                f"{path} holds results of the table '{content.get('table')}'. Give it back its "
                "name, or choose another place with results_dir=."
            )
        runs = content.get("runs")
        if not isinstance(runs, list) or not all(isinstance(run, dict) for run in runs):
            raise DamagedError("runs is no list of runs")
        for number, run in enumerate(runs):
            _check(f"runs[{number}]", run)
        return runs
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except DamagedError as error:
        raise UserError(
            f"{path} is damaged: {error}. Restore it, as with `git checkout {path}`, or move it "
            "away: the runs that are on this machine's shelf are written again."
        ) from error


def _check(where: str, run: Mapping[str, Any]) -> None:
    """Raises: DamagedError for a run that lacks something."""
    lacking = [key for key in StoredRun.__annotations__ if key not in run]
    if lacking:
        raise DamagedError(f"{where} lacks {lacking[0]}")
    try:
        check_record(f"{where}.", run, STORED)
    except UserError as error:
        raise DamagedError(str(error)) from error


def stored(run: PlannedRun, record: RunRecord, table: Table, budget: Budget) -> StoredRun:
    """What the file keeps of a run's record."""
    result = record.result() or {}
    scores: dict[str, dict[str, list[float]]] = {}
    protocols: dict[str, Any] = {}
    for which in CHECKPOINTS:
        scores[which], found = _scores(record, which, table)
        protocols |= found
    cell = run.planned.cell
    return {
        "budget": budget.name,
        "row": cell.row,
        "setting": cell.setting,
        "seed": run.seed,
        "address": run.address,
        "words": list(run.planned.words),
        "config": config_key(run.planned.settings),
        "status": str(result.get("status")),
        "reason": str(result.get("reason") or ""),
        "kimg": result.get("kimg"),
        "seconds": result.get("seconds"),
        "ended": result.get("ended"),
        "last": scores["last"],
        "best": scores["best"],
        "protocols": protocols,
        "versions": mapping(result.get("versions")),
        "git_commit": result.get("git_commit"),
        "hardware": mapping(result.get("hardware")),
        "command": str(result.get("command") or ""),
        "directory": f"{record.directory.parent.name}/{record.directory.name}",
    }


def _scores(
    record: RunRecord, which: str, table: Table
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """(word -> values under the seeds of the noise, word -> protocol) of a checkpoint."""
    wanted = {score.word for score in table.scores.values()}
    result = record.result() or {}
    if table.evaluation_seeds:
        measured, stated = values_of(record, which, table.evaluation)
        lists = {
            name: [values[seed] for seed in sorted(values)] for name, values in measured.items()
        }
    elif which == "best":  # the run's own best is of each score at another moment
        return {}, {}
    else:
        stated = mapping(result.get("protocols"))
        entries = {name: mapping(e).get("value") for name, e in mapping(result.get(which)).items()}
        lists = {n: [float(v)] for n, v in entries.items() if isinstance(v, (int, float))}
    found, protocols = {}, {}
    for name, values in lists.items():
        protocol = mapping(stated.get(name))
        word = str(protocol.get("score"))
        if word in wanted:
            found[word] = values
            protocols[word] = {k: v for k, v in protocol.items() if k != "noise_seed"}
    return found, protocols


def merged(old: Iterable[StoredRun], new: Iterable[StoredRun]) -> list[StoredRun]:
    """The runs of both, each address once: that of the higher rank, the new one if equal."""
    found: dict[tuple[str, str], StoredRun] = {}
    for run in (*old, *new):
        key = run["budget"], run["address"]
        known = found.get(key)
        if known is None or rank(run) >= rank(known):
            found[key] = run
    return sorted(found.values(), key=lambda r: (r["budget"], r["row"], r["setting"], r["seed"]))


def rank(run: StoredRun) -> tuple[bool, bool, int]:
    """Of two runs of one seed the higher counts: a seed that was lost once is not undone by a
    second training, one that failed is, and more values, of both checkpoints, say more."""
    values = sum(len(v) for which in (run["last"], run["best"]) for v in which.values())
    return run["status"] in LOST, run["status"] != FAILED, values


def save_results(
    path: Path, table: Table, runs: Iterable[StoredRun], configs: Mapping[str, Any]
) -> bool:
    """Add the runs to the file; whether it changed.

    Of several commands that end at once each adds its own, where the file system has locks.
    Raises: UserError if it cannot be read or written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.stem}.lock")):
            known = {**load_configs(path), **configs}
            return _write(path, table, merged(load_results(path), runs), known)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}). Choose another place with results_dir=."
        ) from error


def _write(path: Path, table: Table, runs: list[StoredRun], configs: Mapping[str, Any]) -> bool:
    used = {key: configs[key] for key in sorted({run["config"] for run in runs}) if key in configs}
    head = {"schema": SCHEMA, "table": table.name, "citation": table.citation}
    content = {**head, "runs": runs, "configs": used}
    text = (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode()
    if path.is_file() and content_of(path) == text:
        return False
    replace_atomically(path, text)
    return True


def relative(path: Path) -> str:
    return os.path.relpath(path)
