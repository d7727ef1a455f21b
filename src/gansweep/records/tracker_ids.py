"""The id of a run in a tracker, in RUN/tracker.json, which is kept when the run continues.

The file also has the directory in which the run trained. A copy that trains while its original is
there draws an id of its own: both would write into one run of the tracker.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Mapping
from typing import Any

from gansweep.records.plain_values import mapping
from gansweep.records.record import RunRecord


def tracker_id(
    record: RunRecord, tracker: str, earlier: str | None = None, *, trains: bool = False
) -> str:
    """The run's id in a tracker, drawn where there is none.

    earlier: an id that the run has there and that is not stored yet.   trains: whether the run is
    about to train.   Raises: as `RunRecord.write`.
    """
    known = _known(record)
    if trains and _is_copy(record, known, tracker):
        known, earlier = {}, None
    found = known.get(tracker)
    if not isinstance(found, str) or not found.isalnum():
        found = earlier or secrets.token_hex(8)
    place = {"directory": str(record.directory.resolve())} if trains else {}
    content = {**known, tracker: found, **place}
    if content != known:
        record.write(record.tracker_path, (json.dumps(content) + "\n").encode())
    return found


def _known(record: RunRecord) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, ValueError):
        return mapping(json.loads(record.tracker_path.read_bytes()))
    return {}


def _is_copy(record: RunRecord, known: Mapping[str, Any], tracker: str) -> bool:
    """Whether the ids are those of another directory, which still has them."""
    place = known.get("directory")
    with contextlib.suppress(OSError, ValueError):  # the original is gone, or not ours to read
        if isinstance(place, str) and not record.directory.samefile(place):
            return _known(RunRecord(place)).get(tracker) == known.get(tracker)
    return False
