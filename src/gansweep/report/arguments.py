"""The command line of the verbs that read the records below some paths."""

from __future__ import annotations

import argparse
from pathlib import Path


def parser_of_paths(verb: str, description: str, examples: str) -> argparse.ArgumentParser:
    """The parser of `gansweep VERB PATH ...`, whose `paths` a verb adds its own options to.

    description, examples: printed above and below the options as they stand.
    """
    parser = argparse.ArgumentParser(
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
