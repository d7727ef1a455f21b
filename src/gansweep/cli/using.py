"""What the verbs that use a trained run share: -o, --force and the options of runs."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from gansweep.cli.arguments import USE, Parser, paths_and_options
from gansweep.cli.candidates import Directories, Options
from gansweep.config import permissions
from gansweep.errors import UserError
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.request import Use
from gansweep.provenance.marking import Marking
from gansweep.records.find import existing_run

HELP = """\
  checkpoint=best|last   which weights (default: best, by the run's objective)
  accelerator=auto       auto, cpu or cuda
  extra_packages=[NAME]  packages of yours whose classes the runs may use
  --force                overwrite what is there
"""


def parser_of_use(verb: str, text: str, own: Mapping[str, Sequence[str]]) -> Parser:
    """The parser of a verb that uses a run.   own: its options beside those of all."""
    made = Parser(verb, text)
    made.add_words(Options({**own, **USE}, groups={}, paths=Directories()))
    made.add_argument("-o", "--output", nargs="?", const="", metavar="FILE")
    made.add_argument("--force", action="store_true")
    return made


def read_use(
    verb: str,
    parser: Parser,
    words: Sequence[str],
    own: Mapping[str, Sequence[str]],
    example: str,
    *,
    alone: bool = False,
) -> tuple[Use, list[Path], dict[str, str]]:
    """The run to use, the other paths, and the verb's own options.

    example: of the verb's words, for messages.   alone: whether only one path may be named.
    Raises: UserError for a word that is no option, and where no run is named or there is none.
    """
    flags, words = parser.read(words)
    paths, pairs = paths_and_options(verb, words, {**own, **USE})
    given = dict(pairs)
    if not paths:
        raise UserError(f"Name a run, as in 'gansweep {verb} {example}'.")
    if alone and len(paths) > 1:
        raise UserError(
            f"{len(paths)} runs were named: give one, as in 'gansweep {verb} {example}'."
        )
    existing_run(paths[0])
    return _use(verb, paths[0], flags, given), paths[1:], given


def read_with_pictures(
    verb: str,
    parser: Parser,
    words: Sequence[str],
    own: Mapping[str, Sequence[str]],
    example: str,
) -> tuple[Use, tuple[Path, ...], dict[str, str]]:
    """As `read_use`, with pictures and folders of them, which are there."""
    use, pictures, given = read_use(verb, parser, words, own, example)
    if not pictures:
        raise UserError(f"Name a picture or a folder, as in 'gansweep {verb} {example}'.")
    pictures_in(pictures)
    return use, tuple(pictures), given


def _use(verb: str, run: Path, flags: argparse.Namespace, given: Mapping[str, str]) -> Use:
    if flags.output == "":
        raise UserError("-o needs the name of a file or a folder, as in '-o sevens.png'.")
    return Use(
        run,
        given.get("checkpoint", "best"),
        given.get("accelerator", "auto"),
        tuple(permissions.packages_in(given.get(permissions.OPTION, ""))),
        None if flags.output is None else Path(flags.output),
        flags.force,
        Marking.asked(given),
        verb,
    )


def refuse_ending(use: Use, endings: Sequence[str], what: str) -> None:
    """Raises: UserError for an -o that ends otherwise.   what: is written, for the message."""
    if use.output is not None and use.output.suffix.lower() not in endings:
        raise UserError(f"-o {use.output}: {what}. Give a name that ends so.")
