"""What is the user's to mend, told apart from what is ours."""

import difflib
import re
import sys
import textwrap
from collections.abc import Iterable
from typing import TextIO

COLUMNS = 80
# controls, bytes of a file's name that are not UTF-8, marks that turn the direction of text
_STEERING = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_WHOLE = re.compile(r"`[^`]+`|(?<!\w)'[^']+'")  # commands and what else is to be copied


class UserError(ValueError):
    """A mistake in a command, a configuration or a file, with the mend in its one paragraph.

    The command line prints the message alone and exits with code 2.
    """


def visible(text: str) -> str:
    """The text with every character escaped that would steer a terminal, or has no encoding.

    Newlines and tabs stay.
    """
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def nearest(word: str, words: Iterable[str]) -> str:
    """A question after the word most like `word`, with a space before it; "" where none is near."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""


def tell(message: str, out: TextIO | None = None) -> None:
    """Print a message, folded where a person reads it: a file has it in one line, to be searched.

    out: by default the standard error.
    """
    out = out or sys.stderr
    message = visible(message)
    print(folded(message) if out.isatty() else message, file=out, flush=True)


def folded(text: str) -> str:
    """The text in lines of 80 columns, as far as no quoted command, path or option is broken.

    Lines that begin with a space, as those of a traceback, stay as they are.
    """
    return "\n".join(line if line[:1].isspace() else _fold(line) for line in text.splitlines())


def _fold(line: str) -> str:
    whole = _WHOLE.sub(lambda found: found[0].replace(" ", "\0"), line)
    lines = textwrap.wrap(whole, COLUMNS, break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines).replace("\0", " ")
