"""What people say of a run: its tags and its note, in RUN/remarks.jsonl.

Each remark is a line that is added, under the writer's lock and without a number of its own: the
process that trains the run goes on. The lines in their order give the tags and the note.
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from gansweep.errors import UserError, visible
from gansweep.records.record import FULL, RunRecord

LONGEST_TAG, LONGEST_NOTE = 60, 2000  # characters


@dataclass(frozen=True)
class Remarks:
    """tags: in the order in which they were given.   note: "" for none.

    unmarked: what left the run without the mark of a machine, by mark=none, oldest first.
    """

    tags: tuple[str, ...] = ()
    note: str = ""
    unmarked: tuple[str, ...] = ()


def remarks_in(rows: Sequence[Mapping[str, Any]]) -> Remarks:
    """The tags and the note after these lines; what is no text is skipped."""
    tags: dict[str, None] = {}
    note = ""
    unmarked = []
    for row in rows:
        if isinstance(left := row.get("unmarked"), str):
            unmarked.append(left)
        if isinstance(tag := row.get("tag"), str):
            tags[tag] = None
        if isinstance(gone := row.get("untag"), str):
            tags.pop(gone, None)
        if isinstance(text := row.get("note"), str):
            note = text
    return Remarks(tuple(tags), note, tuple(unmarked))


def remarks_of(record: RunRecord) -> Remarks:
    """The tags and the note of a run; damaged lines are skipped without a word."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return remarks_in(record.remarks())


def tag(record: RunRecord, word: str, *, remove: bool = False) -> bool:
    """Give the run a tag, or take it away; False if nothing changes.   Raises: OSError."""
    if (word in remarks_of(record).tags) is not remove:
        return False
    _add(record, {"untag" if remove else "tag": word})
    return True


def write_note(record: RunRecord, text: str) -> None:
    """Replace the note of the run; "" removes it.   Raises: OSError."""
    _add(record, {"note": text})


def say_unmarked(record: RunRecord, text: str) -> None:
    """Keep that files without a mark left the run.   Raises: OSError."""
    _add(record, {"unmarked": text})


@contextlib.contextmanager
def writable(record: RunRecord) -> Iterator[None]:
    """Raises: UserError for a remark that cannot be written."""
    try:
        yield
    except OSError as error:
        fix = "free some space" if error.errno in FULL else "the run's owner can do it"
        raise UserError(
            f"{record.directory} takes no remark ({error.strerror}): {fix}. What was there is "
            "unchanged."
        ) from error


def checked_tag(word: str) -> str:
    """Raises: UserError for a word that is no tag."""
    if word != visible(word) or any(c.isspace() or c in ",/\"'()" for c in word):
        raise UserError(
            f"'{word}' is no tag: a tag is one word without blanks, commas, slashes, quotes and "
            "brackets, such as baseline."
        )
    if len(word) > LONGEST_TAG:
        raise UserError(f"A tag has at most {LONGEST_TAG} characters: '{word[:20]}...' is longer.")
    return word


def checked_note(text: str) -> str:
    """Raises: UserError for a note that is too long."""
    if len(text) > LONGEST_NOTE:
        raise UserError(
            f"The note has {len(text)} characters, and the record takes {LONGEST_NOTE}: shorten it."
        )
    return visible(text).strip()


def _add(record: RunRecord, said: Mapping[str, str]) -> None:
    when = datetime.now(timezone.utc).isoformat(timespec="seconds")
    record.append_remark({"when": when, **said})
