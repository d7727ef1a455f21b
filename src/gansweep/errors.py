"""What is the user's to mend, told apart from what is ours."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """A mistake in a command, a configuration or a file, with the mend in its one paragraph.

    The command line prints the message alone and exits with code 2.
    """


def nearest(word: str, words: Iterable[str]) -> str:
    """A question after the word most like `word`, with a space before it; "" where none is near."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f" Did you mean '{found[0]}'?" if found else ""
