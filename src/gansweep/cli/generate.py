"""`gansweep generate`: draw samples of a trained run into one picture."""

from collections.abc import Sequence
from pathlib import Path

from gansweep.cli.arguments import USE, Parser, paths_and_options
from gansweep.cli.candidates import Directories, Options
from gansweep.config import permissions
from gansweep.errors import UserError
from gansweep.inference.request import Request, positive, whole
from gansweep.records.find import existing_run

HELP = """Usage: gansweep generate RUN [label=CLASS | code=VALUE] [KEY=VALUE] [-o FILE]

Draw samples of a trained run into one PNG. A conditional run draws the class
that label= names; one that learnt a code of its own (model=infogan), a value of
that code. Without either it draws what the run's own sample sheets show: a
column for each class, or what it makes of given images.

  gansweep generate runs/digits/cgan-001 label=7 n=16 -o sevens.png
  gansweep generate runs/fashion_mnist/cgan-001 label=sneaker
  gansweep generate runs/digits/infogan-001 code=3 n=8  along its first code
  gansweep generate runs/digits/dcgan-001 n=100 seed=1  other noise
  gansweep generate runs/digits/stylegan2-001 truncation=0.7  more typical ones

  label=CLASS            a class of the data, by name or number
  code=VALUE             a value of the learnt code, from 0
  n=16                   how many images
  seed=0                 of the noise: the same samples every time
  truncation=0.7         cleaner and less varied: psi of a model with styles,
                         from 0 to 1, or the largest entry of z (model=biggan)
  -o FILE.png            the picture (default: named after the run, here)
  checkpoint=best|last   which weights (default: best, by the run's objective)
  accelerator=auto       auto, cpu or cuda
  extra_packages=[NAME]  packages of yours whose classes the runs may use
"""
KNOWN: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("label", "code", "n", "seed", "truncation"), ()),
    **USE,
}
MOST = 4096  # images that one picture holds


def parser() -> Parser:
    made = Parser("generate", HELP)
    made.add_words(Options(KNOWN, groups={}, paths=Directories()))
    made.add_argument("-o", "--output", nargs="?", const="", metavar="FILE")
    return made


def main(words: list[str]) -> int:
    request = read(words)
    existing_run(request.run)
    from gansweep.inference.generate import main as generate

    return generate(request)


def read(words: Sequence[str]) -> Request:
    """Raises: UserError for a word that is no option, and for a value that an option refuses."""
    flags, words = parser().read(words)
    if flags.output == "":
        raise UserError("-o needs the name of a file, as in '-o sevens.png'.")
    if flags.output and not flags.output.lower().endswith(".png"):
        raise UserError(f"-o {flags.output}: the picture is a PNG. Give a name that ends in .png.")
    runs, pairs = paths_and_options("generate", words, KNOWN)
    if len(runs) != 1:
        named = f"{len(runs)} runs were named: give one" if runs else "Name a run"
        raise UserError(f"{named}, as in 'gansweep generate runs/digits/cgan-001 label=7'.")
    given = dict(pairs)
    if "label" in given and "code" in given:
        raise UserError("label= asks for a class, code= for a value of a learnt code: give one.")
    return Request(
        runs[0],
        given.get("label"),
        given.get("code"),
        whole("n", given.get("n", "16"), 1, MOST),
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        positive("truncation", given["truncation"]) if "truncation" in given else None,
        None if flags.output is None else Path(flags.output),
        given.get("checkpoint", "best"),
        given.get("accelerator", "auto"),
        tuple(permissions.packages_in(given.get(permissions.OPTION, ""))),
    )
