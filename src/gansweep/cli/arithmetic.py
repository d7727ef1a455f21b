"""`gansweep arithmetic`: add and subtract what samples show."""

from collections.abc import Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.editing.edits import Arithmetic
from gansweep.inference.editing.expressions import read_expression
from gansweep.inference.request import positive, whole
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep arithmetic RUN "A - B + C" [KEY=VALUE] [-o FILE]

Add and subtract concepts in the space of codes, as in "a man with glasses - a
man + a woman". A concept is the mean code of some samples that show it. The
picture has a row of these samples for each concept, with their mean at the end,
and below them the result and its neighbours.

  gansweep arithmetic runs/digits/dcgan-001 "7 - 1 + 3"
  gansweep arithmetic runs/mnist/dcgan-001 "bold 7 - 7 + 3" tries=200
  gansweep arithmetic runs/digits_tinted/dcgan-001 "7 tinted - 7 + 3"
  gansweep arithmetic runs/digits/dcgan-001 "[3, 8, 15] - [1] + [2]"

A concept is a class by name or number, as the data's classifier sees it; bold
or thin, the fifth with most or least ink, with a class or alone; tinted or
plain, with or without colour; or samples of seed= by their numbers in brackets.

  each=3                 samples whose mean stands for a concept
  jitter=0.25            how far the neighbours are in each number
  tries=0                also count how many results of new draws show the class
                         and the attribute that are left, against plain samples
  pool=2000              samples among which concepts are looked for
  seed=0                 of the samples
  space=z|w              w: of a model with styles
  -o FILE.png            the picture (default: named after the run, here)
{using.HELP}{marking.HELP}{marking.PIXEL_HELP}"""
KNOWN: dict[str, Sequence[str]] = {
    **dict.fromkeys(("each", "jitter", "tries", "pool", "seed"), ()),
    "space": ("z", "w"),
    **marking.OPTIONS,
    **marking.PIXEL_OPTIONS,
}
EXAMPLE = 'runs/digits/dcgan-001 "7 - 1 + 3"'


def parser() -> Parser:
    return using.parser_of_use("arithmetic", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    with quick_imports():
        from gansweep.inference.editing.arithmetic import main as arithmetic

    return arithmetic(request)


def read(words: Sequence[str]) -> Arithmetic:
    """Raises: UserError for words that are no options, and for what is no expression."""
    use, others, given = using.read_use("arithmetic", parser(), words, KNOWN, EXAMPLE)
    if len(others) != 1:
        raise UserError(f"Give one expression in quotes, as in 'gansweep arithmetic {EXAMPLE}'.")
    expression = str(others[0])
    read_expression(expression)
    using.refuse_ending(use, (".png",), "the picture is a .png")
    return Arithmetic(
        use,
        expression,
        whole("each", given.get("each", "3"), 1, 100),
        positive("jitter", given.get("jitter", "0.25")),
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        "w" if given.get("space") == "w" else "z",
        whole("tries", given.get("tries", "0"), 0, 100_000),
        whole("pool", given.get("pool", "2000"), 10, 1_000_000),
    )
