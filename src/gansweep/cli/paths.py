"""The command line of the verbs that read the records below some paths."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from gansweep.errors import UserError


class _Parser(argparse.ArgumentParser):
    """One that refuses words as the other verbs do."""

    def error(self, message: str) -> NoReturn:
        """Raises: UserError; its own would print the usage and exit."""
        raise UserError(f"{self.prog}: {message}. '{self.prog} --help' lists the options.")


def parser_of_paths(verb: str, description: str, examples: str) -> argparse.ArgumentParser:
    """The parser of `gansweep VERB PATH ...`, whose `paths` a verb adds its own options to.

    description, examples: printed above and below the options as they stand.
    """
    parser = _Parser(
        prog=f"gansweep {verb}",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="a run, a group of runs, a sweep, or any directory above them",
    )
    return parser
