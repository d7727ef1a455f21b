"""A process that makes the live page's data: it reads runs that have changed, and writes a build.

    python -m gansweep.report.live.build FOLDER METRIC PATH ...

For each build the server writes a line {"build": number, "seq": newest event} to its standard
input. It answers with a line {"build", "runs": {id: directory}, "problems": [sentences],
"seconds"}. A build is a folder FOLDER/NUMBER with page.html.gz, payload.json.gz and the blocks as
NAME.gz. As a process of its own it leaves the server small, and able to answer while a thousand
runs are read.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gansweep.errors import UserError, visible
from gansweep.judging.statuses import judge
from gansweep.records.read import Run, add_columns, read_run
from gansweep.records.record import RunRecord
from gansweep.report.live.watch import changed, listed
from gansweep.report.page.document import data_text, document, libraries
from gansweep.report.page.payload import Payload, payload_of
from gansweep.report.page.pictures import Sheet, read_sheet

KEPT_BUILDS = 3  # a page may still ask for the blocks of the one before
MANY = 100  # runs; a table of fewer waits for the rest of the page
LEVEL = 1  # of compression: the page is on this machine
LIBRARIES = "libraries"  # the folder of the scripts that are the same for every build


class Served:
    """Sheets that the server sends from the directories of their runs, read again when changed."""

    folder = "sheets"

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Any, Sheet | None]] = {}

    def read(self, path: Path) -> Sheet | None:
        stamp = changed(path)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            sheet = read_sheet(path)
            known = (stamp, Sheet(b"", sheet.layout) if sheet else None)
            self._known[path] = known
        return known[1]

    def keep(self, run: str, kind: str, path: Path, content: bytes) -> str:
        return f"{run}/{kind}/{path.name}"


class Reader:
    """Reads runs; those that have not changed are not read again."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[Any, Run]] = {}

    def runs(self, records: Sequence[RunRecord], curves: bool = True) -> list[Run]:
        """The runs of these records, each with the status that it is judged by.

        curves: whether the histories of runs that have ended are read, and the runs then known.
        """
        if curves:
            found = {record.directory: self._run(record) for record in records}
            self._known = {directory: self._known[directory] for directory in found}
        else:
            found = {record.directory: read_run(record, curves=False) for record in records}
        runs = [
            dataclasses.replace(run, protocols=dict(run.protocols), evaluated={})
            for run in found.values()
        ]
        add_columns(runs)
        judge(runs)
        return runs

    def _run(self, record: RunRecord) -> Run:
        stamp = [changed(path) for path in _parts(record)]
        known = self._known.get(record.directory)
        if known is None or known[0] != stamp:
            known = (stamp, read_run(record))
            self._known[record.directory] = known
        return known[1]


def _parts(record: RunRecord) -> tuple[Path, ...]:
    return (
        *(record.config_path, record.history_path, record.result_path),
        *(record.evaluations_path, record.remarks_path, record.samples, record.sheets),
    )


def main(words: Sequence[str]) -> int:
    """Answer each order on stdin by one line of JSON on stdout, until stdin ends.

    words: the folder for what is built, the score that ranks ("" for none), the runs' paths.
    """
    folder, metric, *paths = words
    reader, store = Reader(), Served()
    _write(Path(folder, LIBRARIES), libraries())
    for line in sys.stdin:
        wanted = json.loads(line)
        started = time.monotonic()
        answer: dict[str, Any] = {"build": wanted["build"]}
        try:
            answer |= make_build(
                Path(folder), wanted, list(map(Path, paths)), metric, reader, store
            )
        except UserError as error:
            answer["problems"] = [str(error)]
        except Exception as error:  # of a record that no test has thought of
            answer["problems"] = [f"The page cannot be made: {type(error).__name__}: {error}."]
        answer["seconds"] = time.monotonic() - started
        print(json.dumps(answer), flush=True)
    shutil.rmtree(folder, ignore_errors=True)  # the server has ended, and may have been killed
    return 0


def make_build(
    folder: Path,
    wanted: dict[str, Any],
    paths: Sequence[Path],
    metric: str,
    reader: Reader,
    store: Served,
) -> dict[str, Any]:
    """Make a build.

    wanted: its number, the newest event before it, whether it is empty, and whether it is the
        first that shows runs: of many it then has the table alone, and the answer is "partial".
    """
    records, problems = ([], []) if wanted.get("empty") else listed(paths)
    partial = bool(wanted.get("first")) and len(records) >= MANY
    runs = reader.runs(records, curves=not partial)
    if partial:
        problems.append(f"Curves, samples and findings of {len(runs)} runs are being read.")
    try:
        payload = payload_of(runs, metric or None, live=True, store=store, table_only=partial)
    except UserError as error:  # no run has the metric yet
        problems.append(str(error))
        payload = payload_of(runs, None, live=True, store=store, table_only=partial)
    said = list(map(visible, problems))
    payload.content |= {"build": wanted["build"], "seq": wanted["seq"], "problems": said}
    payload.content["title"] = payload.content["title"] or _title(paths)
    _write(folder / str(wanted["build"]), _files(payload))
    shutil.rmtree(folder / str(wanted["build"] - KEPT_BUILDS), ignore_errors=True)
    ids = {
        run["id"]: run["directory"] for board in payload.content["boards"] for run in board["runs"]
    }
    return {"runs": ids, "problems": said, "partial": partial}


def _title(paths: Sequence[Path]) -> str:
    return ", ".join(visible(str(path)) for path in paths)


def _files(payload: Payload) -> dict[str, bytes]:
    return {
        "page.html": document(payload).encode(errors="replace"),
        "payload.json": data_text(payload.content).encode(errors="replace"),
        **payload.blocks,
    }


def _write(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.gz").write_bytes(gzip.compress(content, LEVEL, mtime=0))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
