"""Errors that the user can fix, and how messages are printed."""

import difflib
import re
import shutil
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

COLUMNS = 80
# control characters, bytes that are not UTF-8, marks that change the direction of text, and
# what XML forbids
_STEERING = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]"
)
_WHOLE = re.compile(r"`[^`]+`|(?<!\w)'[^']+'")  # commands and other text that a user copies


class UserError(ValueError):
    """A mistake in a command, a configuration or a file. The message is one paragraph with the fix.

    The command line prints only the message and exits with code 2.
    """


class DivergedError(ValueError):
    """Samples or answers that no score can measure, because the training has diverged."""


def described(value: object) -> str:
    """Such as "a tensor of shape (64, 1)", "a float", "None"."""
    if hasattr(value, "shape"):
        return f"a {type(value).__name__.lower()} of shape {tuple(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def visible(text: str) -> str:
    """The text with escapes for characters that control a terminal or cannot be encoded.

    Newlines and tabs stay.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nearest(word: str, words: Iterable[str]) -> str:
    """ " Did you mean 'X'?", where X is the most similar of `words`; "" if none is similar."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def terminal_width() -> int:
    """Columns of the terminal; 80 where the output goes elsewhere, even if COLUMNS is set."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else COLUMNS


def tell(message: str, out: TextIO | None = None) -> None:
    """Print a message: folded to the width of a terminal, in one line in a file.

    out: by default the standard error.
    """
    out = out or sys.stderr
    message = visible(message)
    if out.isatty():
        message = folded(message, shutil.get_terminal_size().columns)
    print(message, file=out, flush=True)


def folded(text: str, columns: int = COLUMNS) -> str:
    """The text in lines of `columns`. Quoted commands, paths and options are never broken.

    Lines that start with a space, such as a traceback's, do not change.
    """
    return "\n".join(
        line if line[:1].isspace() else _fold(line, columns) for line in text.splitlines()
    )


def _fold(line: str, columns: int) -> str:
    whole = _WHOLE.sub(lambda found: found[0].replace(" ", "\0"), line)
    lines = textwrap.wrap(whole, columns, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")
