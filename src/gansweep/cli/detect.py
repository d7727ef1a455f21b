"""`gansweep detect`: which pictures look strange to a run."""

from collections.abc import Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.pictures.translating import Judging
from gansweep.inference.request import positive
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep detect RUN PICTURE... [KEY=VALUE] [-o FILE.csv]

Say how strange each picture is to a run that was trained on normal ones, and
which are above a threshold. It is taken from normal images that the training
has not seen, so that a stated share of them is above it.

  gansweep detect runs/digits_class_0/autoencoder-001 photos/
  gansweep detect runs/mnist_class_3/vae-001 a.png false_alarms=0.01 -o a.csv

  false_alarms=0.05      share of normal held-out images above the threshold
  criterion=NAME         reconstruction or latent (default: the run's own)
  -o FILE.csv            every score (default: named after the run, here)
{using.HELP}
exit code: 0 all look normal, 1 some do not, or could not be read
"""
KNOWN: dict[str, Sequence[str]] = {"false_alarms": (), "criterion": ()}
EXAMPLE = "runs/digits_class_0/autoencoder-001 photos/"


def parser() -> Parser:
    return using.parser_of_use("detect", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    with quick_imports():
        from gansweep.inference.pictures.judge import detect

    return detect(request)


def read(words: Sequence[str]) -> Judging:
    """Raises: UserError for words that are no options, and where no picture is named."""
    use, pictures, given = using.read_with_pictures("detect", parser(), words, KNOWN, EXAMPLE)
    using.refuse_ending(use, (".csv",), "the scores are a .csv")
    share = positive("false_alarms", given.get("false_alarms", "0.05"))
    if share >= 1:
        raise UserError(f"false_alarms={share:g} is a share from 0 to 1. Use false_alarms=0.05.")
    return Judging(use, pictures, given.get("criterion", ""), share)
