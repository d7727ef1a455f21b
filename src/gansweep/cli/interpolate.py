"""`gansweep interpolate`: go from one sample of a run to the next."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.editing.edits import Interpolation
from gansweep.inference.request import Use, positive, whole
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep interpolate RUN WHAT=A,B[,C...] [KEY=VALUE] [-o FILE]

Go from one sample to the next, as a strip of pictures or as a film.

  gansweep interpolate runs/digits/dcgan-001 seeds=0,1,2 -o way.png
  gansweep interpolate runs/digits/cgan-001 samples=3,8 label=7 -o way.gif
  gansweep interpolate runs/digits/cgan-001 labels=3,8   the same noise
  gansweep interpolate runs/digits/dcgan-001 codes=faces.npz -o way.mp4

  seeds=A,B,...          between the first samples of these seeds
  samples=A,B,...        between samples of seed= by their number
  labels=A,B,...         between classes, with the same noise
  codes=FILE.npz         between codes, as 'gansweep project' writes them, with
                         their classes and noise; label=: all of one class
  steps=9                pictures from one to the next, both included
  path=spherical|linear  the great arc, or the straight line
  space=z|w              w: of a model with styles
  seed=0 label=CLASS     of samples=; of the noise that labels= share
  seconds=0.1            of a picture in a film
  -o FILE                .png: a strip; .gif, .webp or .mp4: a film, which
                         repeats (mp4 needs 'gansweep[video]')
{using.HELP}{marking.HELP}{marking.PIXEL_HELP}"""
BETWEEN = ("seeds", "samples", "labels", "codes")
KNOWN: dict[str, Sequence[str]] = {
    **dict.fromkeys((*BETWEEN, "steps", "seed", "label", "seconds"), ()),
    **{"path": ("spherical", "linear"), "space": ("z", "w")},
    **marking.OPTIONS,
    **marking.PIXEL_OPTIONS,
}
EXAMPLE = "runs/digits/dcgan-001 seeds=0,1"
ENDINGS = (".png", ".gif", ".webp", ".mp4")
MOST_STEPS = 1000
NO_VIDEO = "An MP4 is encoded by PyAV, which is not installed: pip install 'gansweep[video]'. Or "
NO_VIDEO += "write a .gif or a .webp."


def parser() -> Parser:
    return using.parser_of_use("interpolate", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    with quick_imports():
        from gansweep.inference.editing.interpolate import main as interpolate

    return interpolate(request)


def read(words: Sequence[str]) -> Interpolation:
    """Raises: UserError for words that are no options or do not fit together."""
    use, _, given = using.read_use("interpolate", parser(), words, KNOWN, EXAMPLE, alone=True)
    asked = [key for key in BETWEEN if key in given]
    if len(asked) != 1:
        raise UserError(
            f"Say between what: one of {', '.join(f'{key}=' for key in BETWEEN)}, as in 'gansweep "
            f"interpolate {EXAMPLE}'."
        )
    (between,) = asked
    ends = tuple(filter(None, given[between].strip("[]").split(",")))
    if between != "codes" and len(ends) < 2:
        raise UserError(f"{between}={given[between]} names one end: give two, as {between}=0,1.")
    if between == "labels" and "label" in given:
        raise UserError("labels= goes between classes and label= names one: give one of them.")
    using.refuse_ending(use, ENDINGS, "a strip is a .png, a film a .gif, .webp or .mp4")
    if use.output and use.output.suffix.lower() == ".mp4" and find_spec("av") is None:
        raise UserError(NO_VIDEO)
    _refuse_unused(use, between, given)
    return Interpolation(
        use,
        between,
        tuple(end.strip() for end in ends),
        whole("steps", given.get("steps", "9"), 2, MOST_STEPS),
        given.get("path", "spherical"),
        "w" if given.get("space") == "w" else "z",
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        given.get("label"),
        Path(given["codes"]) if between == "codes" else None,
        positive("seconds", given.get("seconds", "0.1")),
    )


def _refuse_unused(use: Use, between: str, given: Mapping[str, str]) -> None:
    """Raises: UserError for options that change nothing."""
    if "seed" in given and between == "seeds":
        raise UserError(
            f"seed={given['seed']} is not read: seeds= names the seeds. Add it to seeds=, as in "
            f"seeds={given['seeds']},{given['seed']}, or leave it out."
        )
    if "path" in given and between == "labels" and given.get("space") != "w":
        raise UserError(
            f"path={given['path']} is not read: labels= keeps the noise and goes between classes "
            "alone. Leave it out, or use space=w of a model with styles."
        )
    if "seconds" in given and (use.output is None or use.output.suffix.lower() == ".png"):
        raise UserError(
            f"seconds={given['seconds']} is of a picture in a film, and this is a strip. Write a "
            "film, as in '-o way.gif', or leave seconds= out."
        )
