"""`gansweep generate`: draw samples of a trained run into a picture, a folder or an archive."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.request import Request, Use, positive, whole
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep generate RUN [label=CLASS | code=VALUE] [KEY=VALUE] [-o PLACE]

Draw samples of a trained run. A conditional run draws the class that label=
names; one that learnt a code of its own (model=infogan), a value of that code.
Without either it draws what the run's own sample sheets show, from other
noise: a column for each class, or what it makes of given images. Every file
says that a machine made it.

  gansweep generate runs/digits/cgan-001 label=7 n=16 -o sevens.png
  gansweep generate runs/fashion_mnist/cgan-001 label=sneaker
  gansweep generate runs/digits/infogan-001 code=3 n=8  along its first code
  gansweep generate runs/digits/dcgan-001 n=100 seed=1  other noise
  gansweep generate runs/digits/stylegan2-001 truncation=0.7  more typical ones
  gansweep generate runs/digits/cgan-001 n=10000 -o fakes/    a file for each
  gansweep generate runs/digits/cgan-001 n=10000 -o fakes.npz one array

  label=CLASS            a class of the data, by name or number
  code=VALUE             a value of the learnt code, from 0
  n=16                   how many images; a map of points has ten for each
  seed=0                 of the noise: the same samples every time
  truncation=0.7         cleaner and less varied: psi of a model with styles,
                         from 0 to 1, or the largest entry of z (model=biggan)
  -o PLACE               FILE.png or FILE.webp: a grid (default: a PNG named
                         after the run, here); FOLDER/: a file for each;
                         FILE.npz; FILE.zip; "-": a zip on the standard output
  format=png|webp        of the files in a folder
  batch_size=64          how many are made at once; it changes no sample
{using.HELP}{marking.HELP}{marking.PIXEL_HELP}"""
KNOWN: dict[str, Sequence[str]] = {
    **dict.fromkeys(("label", "code", "n", "seed", "truncation"), ()),
    **{"format": ("png", "webp"), "batch_size": ()},
    **marking.OPTIONS,
    **marking.PIXEL_OPTIONS,
}
EXAMPLE = "runs/digits/cgan-001 label=7"
MOST_IN_GRID = 4096  # images that one picture holds
MOST = 100_000_000


def parser() -> Parser:
    return using.parser_of_use("generate", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    with quick_imports():
        from gansweep.inference.generate import main as generate

    return generate(request)


def read(words: Sequence[str]) -> Request:
    """Raises: UserError for a word that is no option, and for a value that an option refuses."""
    use, _, given = using.read_use("generate", parser(), words, KNOWN, EXAMPLE, alone=True)
    if "label" in given and "code" in given:
        raise UserError("label= asks for a class, code= for a value of a learnt code: give one.")
    form = _form(use.output, given)
    _refuse_unmarkable(use, form)
    return Request(
        use,
        given.get("label"),
        given.get("code"),
        whole("n", given.get("n", "16"), 1, MOST_IN_GRID if form == "grid" else MOST),
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        positive("truncation", given["truncation"]) if "truncation" in given else None,
        form,
        whole("batch_size", given.get("batch_size", "64"), 1, 65_536),
    )


def _refuse_unmarkable(use: Use, form: str) -> None:
    """Raises: UserError for a mark that the form cannot have."""
    marks = use.marking
    if form == "npz" and (marks.font is not None or marks.watermark):
        option = "mark.visible=true" if marks.font is not None else "mark.watermark=trustmark"
        raise UserError(
            f"{option} changes pictures, and the array in an npz has the samples as they are. Use "
            "-o FILE.zip or -o FOLDER/, or leave the option out."
        )
    if str(use.output) == "-" and marks.key is not None:
        raise UserError(
            "mark.c2pa=true signs an archive when it is whole, and -o - writes it piece by piece. "
            "Use -o FILE.zip, or leave the option out."
        )


def _form(output: Path | None, given: Mapping[str, str]) -> str:
    """What -o asks for, by its ending: a folder has none.   Raises: UserError for another one."""
    ending = "" if output is None else output.suffix.lower()
    if str(output) == "-":
        return "zip"
    if output is None or ending in (".png", ".webp"):
        form = "grid"
    elif ending in (".npz", ".zip"):
        form = ending[1:]
    elif not ending or output.is_dir():
        return given.get("format", "png")
    else:
        raise UserError(
            f"-o {output}: a grid is a FILE.png or FILE.webp, an archive a FILE.npz or FILE.zip, "
            "and the name of a folder has no ending."
        )
    if "format" in given:
        if output is None:
            return given["format"]
        raise UserError(
            f"format={given['format']} is that of the files in a folder, and -o {output} is none."
        )
    return form
