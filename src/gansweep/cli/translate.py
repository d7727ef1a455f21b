"""`gansweep translate`: turn pictures into others with a trained run."""

from collections.abc import Sequence

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.pictures.translating import Translation
from gansweep.inference.request import whole
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep translate RUN PICTURE... -o FOLDER [KEY=VALUE]

Turn pictures into others: with cyclegan (either way), pix2pix, context_encoder
(fills the middle), autoencoder (denoises, colourises, reconstructs). Folders
are read with all below them, and names are kept. Pictures are turned upright
by their EXIF tag.

  gansweep translate runs/horses/cyclegan-001 photos/ -o zebras/
  gansweep translate runs/horses/cyclegan-001 zebras/ direction=ba -o horses/
  gansweep translate runs/facades/pix2pix-001 plan.png size=own -o out/

  direction=ab|ba        ba: from the images to the sources (model=cyclegan)
  size=network|own       network: resized and cut to the square of the training;
                         own: as it is, in tiles where it is large (cyclegan,
                         pix2pix)
  tile=512               side of a tile in pixels
  format=png|webp        of the results
  batch_size=32          pictures at once
  -o FOLDER              where the results go, each under its picture's name
{using.HELP}{marking.HELP}{marking.PIXEL_HELP}"""
KNOWN: dict[str, Sequence[str]] = {
    **{"direction": ("ab", "ba"), "size": ("network", "own"), "format": ("png", "webp")},
    **{"tile": (), "batch_size": ()},
    **marking.OPTIONS,
    **marking.PIXEL_OPTIONS,
}
EXAMPLE = "runs/horses/cyclegan-001 photos/ -o zebras/"


def parser() -> Parser:
    return using.parser_of_use("translate", HELP, KNOWN)


def main(words: list[str]) -> int:
    request = read(words)
    pictures_in(request.pictures, request.use.output)
    with quick_imports():
        from gansweep.inference.pictures.translate import main as translate

    return translate(request)


def read(words: Sequence[str]) -> Translation:
    """Raises: UserError for words that are no options, and where pictures or -o are missing."""
    use, pictures, given = using.read_use("translate", parser(), words, KNOWN, EXAMPLE)
    if not pictures or use.output is None:
        lacking = "a picture or a folder" if not pictures else "where the results go with -o"
        raise UserError(f"Name {lacking}, as in 'gansweep translate {EXAMPLE}'.")
    return Translation(
        use,
        tuple(pictures),
        given.get("direction", "ab"),
        given.get("size", "network"),
        whole("tile", given.get("tile", "512"), 64, 8192),
        given.get("format", "png"),
        whole("batch_size", given.get("batch_size", "32"), 1, 4096),
    )
