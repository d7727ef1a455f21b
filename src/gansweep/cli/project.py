"""`gansweep project`: find the codes of real pictures, and repair damaged ones."""

from collections.abc import Mapping, Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.editing.edits import Projection
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.request import positive, whole
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep project RUN PICTURE... [task=TASK] [KEY=VALUE] [-o FILE]

Find the codes whose samples are most like real pictures: by the encoder, where
the model has one, else by optimisation with the discriminator's features. The
picture shows both side by side, and an npz beside it holds the codes, with
their classes and noise, which 'gansweep interpolate codes=' takes. With a task,
damaged pictures are repaired by what the generator has learnt (Yeh et al.
2017).

  gansweep project runs/digits/dcgan-001 mine.png
  gansweep project runs/digits/dcgan-001 photos/ task=hole -o filled.png
  gansweep project runs/mnist/dcgan-001 clean/ task=denoise damage=true

  task=hole              fill the middle
  task=denoise|colourise what the whole picture would be
  damage=true            the pictures are whole: damage them first, and measure
  sigma=0.8              of the noise of damage=true, pixels in [-1, 1]
  steps=300 restarts=2   of the optimisation, for each picture
  space=z|w              w: of a model with styles
  seed=0 label=CLASS     of the samples to start from
  -o FILE.png            the picture; the codes get its name
{using.HELP}{marking.HELP}{marking.PIXEL_HELP}"""
KNOWN: dict[str, Sequence[str]] = {
    **dict.fromkeys(("steps", "restarts", "seed", "label", "sigma"), ()),
    **{"task": ("none", "hole", "denoise", "colourise"), "space": ("z", "w")},
    "damage": ("true", "false"),
    **marking.OPTIONS,
    **marking.PIXEL_OPTIONS,
}
EXAMPLE = "runs/digits/dcgan-001 mine.png"
MOST = 1000  # pictures at once


def parser() -> Parser:
    return using.parser_of_use("project", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    found = pictures_in(request.images)
    if len(found) > MOST:
        raise UserError(f"{len(found)} pictures were named: give {MOST} at most at once.")
    with quick_imports():
        from gansweep.inference.editing.project import main as project

    return project(request)


def read(words: Sequence[str]) -> Projection:
    """Raises: UserError for words that are no options, and where no picture is named."""
    use, images, given = using.read_with_pictures("project", parser(), words, KNOWN, EXAMPLE)
    using.refuse_ending(use, (".png",), "the picture is a .png")
    task, damage = given.get("task", "none"), given.get("damage") == "true"
    _refuse_unused(task, damage, given)
    return Projection(
        use,
        images,
        task,
        damage,
        positive("sigma", given.get("sigma", "0.8")),
        whole("steps", given.get("steps", "300"), 0, 100_000),
        whole("restarts", given.get("restarts", "2"), 1, 64),
        "w" if given.get("space") == "w" else "z",
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        given.get("label"),
    )


def _refuse_unused(task: str, damage: bool, given: Mapping[str, str]) -> None:
    """Raises: UserError for damage= and sigma= where they change nothing."""
    if damage and task == "none":
        raise UserError(
            "damage=true damages the pictures as a task says, and none is given. Add task=hole, "
            "task=denoise or task=colourise, or leave damage= out."
        )
    if "sigma" in given and not (damage and task == "denoise"):
        raise UserError(
            f"sigma={given['sigma']} is of the noise that task=denoise damage=true adds. Give "
            "both, or leave sigma= out."
        )
