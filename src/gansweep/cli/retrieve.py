"""`gansweep retrieve`: find the pictures that are most like one."""

from collections.abc import Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.pictures.translating import Retrieval
from gansweep.inference.request import whole
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep retrieve RUN PICTURE [FOLDER...] [KEY=VALUE] [-o FILE]

Find the pictures whose codes are nearest to that of one: among those of the
folders, or among the run's training images.

  gansweep retrieve runs/digits/autoencoder-001 mine.png
  gansweep retrieve runs/digits/vae-001 mine.png photos/ n=5 -o alike.png

  n=7                    how many
  -o FILE.png            the picture and those found (default: named after the
                         run, here)
{using.HELP}"""
KNOWN: dict[str, Sequence[str]] = {"n": ()}
EXAMPLE = "runs/digits/autoencoder-001 mine.png"


def parser() -> Parser:
    return using.parser_of_use("retrieve", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    pictures_in([request.picture, *request.among])
    with quick_imports():
        from gansweep.inference.pictures.retrieve import main as retrieve

    return retrieve(request)


def read(words: Sequence[str]) -> Retrieval:
    """Raises: UserError for words that are no options, and where no picture is named."""
    use, pictures, given = using.read_use("retrieve", parser(), words, KNOWN, EXAMPLE)
    if not pictures or pictures[0].is_dir():
        raise UserError(f"Name one picture, as in 'gansweep retrieve {EXAMPLE}'.")
    using.refuse_ending(use, (".png",), "the sheet is a .png")
    n = whole("n", given.get("n", "7"), 1, 1000)
    return Retrieval(use, pictures[0], tuple(pictures[1:]), n)
