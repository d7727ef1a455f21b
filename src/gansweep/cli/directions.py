"""`gansweep directions`: in which directions the samples of a run change."""

from collections.abc import Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.inference.editing.edits import Directions
from gansweep.inference.request import positive, whole
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep directions RUN [method=sefa|pca] [KEY=VALUE] [-o FILE]

Find directions in which the samples change, without labels, and show each as a
row of one sample moved along it.

  gansweep directions runs/digits/dcgan-001
  gansweep directions runs/digits/stylegan2-001 method=pca n=8 samples=2
  gansweep directions runs/digits/cgan-001 label=7 reach=2

  method=sefa|pca        sefa: along which the first layer changes most; pca:
                         principal components of w, of a model with styles
  n=5                    directions
  steps=7 reach=3        pictures in a row, and how far on either side
  samples=1              how many samples are moved
  seed=0 label=CLASS     of the samples
  -o FILE.png            the sheet (default: named after the run, here)
{using.HELP}{marking.HELP}{marking.PIXEL_HELP}"""
KNOWN: dict[str, Sequence[str]] = {
    **dict.fromkeys(("n", "steps", "reach", "samples", "seed", "label"), ()),
    "method": ("sefa", "pca"),
    **marking.OPTIONS,
    **marking.PIXEL_OPTIONS,
}
EXAMPLE = "runs/digits/dcgan-001"


def parser() -> Parser:
    return using.parser_of_use("directions", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    with quick_imports():
        from gansweep.inference.editing.directions import main as directions

    return directions(request)


def read(words: Sequence[str]) -> Directions:
    """Raises: UserError for words that are no options, and for values that are refused."""
    use, _, given = using.read_use("directions", parser(), words, KNOWN, EXAMPLE, alone=True)
    using.refuse_ending(use, (".png",), "the sheet is a .png")
    return Directions(
        use,
        given.get("method", "sefa"),
        whole("n", given.get("n", "5"), 1, 100),
        whole("steps", given.get("steps", "7"), 2, 100),
        positive("reach", given.get("reach", "3")),
        whole("samples", given.get("samples", "1"), 1, 100),
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        given.get("label"),
    )
