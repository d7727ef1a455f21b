"""`gansweep classify`: of which class pictures are to a run."""

from collections.abc import Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.inference.pictures.translating import Judging
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep classify RUN PICTURE... [KEY=VALUE] [-o FILE.csv]

Say of which class each picture is, by a run that learnt classes: model=sgan,
sgan_feature_matching or acgan.

  gansweep classify runs/digits/sgan-001 photos/ -o classes.csv

  -o FILE.csv            every probability (default: named after the run, here)
{using.HELP}"""
KNOWN: dict[str, Sequence[str]] = {}
EXAMPLE = "runs/digits/sgan-001 photos/"


def parser() -> Parser:
    return using.parser_of_use("classify", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    with quick_imports():
        from gansweep.inference.pictures.judge import classify

    return classify(request)


def read(words: Sequence[str]) -> Judging:
    """Raises: UserError for words that are no options, and where no picture is named."""
    use, pictures, _ = using.read_with_pictures("classify", parser(), words, KNOWN, EXAMPLE)
    using.refuse_ending(use, (".csv",), "the classes are a .csv")
    return Judging(use, pictures)
