"""`gansweep export`: write a trained run as a folder that others can use."""

from collections.abc import Sequence
from importlib.util import find_spec

from gansweep.cli import using
from gansweep.cli.arguments import Parser
from gansweep.errors import UserError, nearest
from gansweep.inference.exporting.request import FORMATS, Export
from gansweep.provenance import marking
from gansweep.run.quick_imports import quick_imports

HELP = f"""Usage: gansweep export RUN --to FORMAT[,FORMAT] [KEY=VALUE] [-o FOLDER]

Write a folder with the model, a model card and what else is needed to use it,
and check on the spot that it makes the same images. 'gansweep generate FOLDER'
and load_run read it, and Hugging Face's Hub takes it as it is.

  gansweep export runs/digits/cgan-001 --to onnx -o digits-cgan
  gansweep export runs/digits/cgan-001 --to torch_export,safetensors

  --to FORMAT            onnx (checked by onnxruntime; needs 'gansweep[onnx]'),
                         torch_export (a .pt2), safetensors (always there)
  licence=other          of the model, for the card: apache-2.0, mit, cc-by-4.0
  -o FOLDER              (default: named after the run, here)
{using.HELP}{marking.HELP}"""
KNOWN: dict[str, Sequence[str]] = {"licence": (), **marking.OPTIONS}
EXAMPLE = "runs/digits/cgan-001 --to onnx"


def parser() -> Parser:
    made = using.parser_of_use("export", HELP, KNOWN)
    made.add_argument("--to", metavar="FORMAT")
    return made


def main(words: list[str]) -> int:
    request = read(words)
    if "onnx" in request.formats:
        _refuse_missing("onnx", "onnxscript", "onnxruntime")
    with quick_imports():
        from gansweep.inference.exporting.export import main as export

    return export(request)


def _refuse_missing(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise UserError(
            f"--to onnx needs {', '.join(missing)}, which is not installed: pip install "
            "'gansweep[onnx]'. Or use --to torch_export."
        )


def read(words: Sequence[str]) -> Export:
    """Raises: UserError for words that are no options, and for a format that is not known."""
    own = parser()
    use, _, given = using.read_use("export", own, words, KNOWN, EXAMPLE, alone=True)
    text = own.read(words)[0].to
    if not text:
        raise UserError(f"Say in which format, as in 'gansweep export {EXAMPLE}'.")
    formats = tuple(dict.fromkeys(one.strip() for one in text.split(",")))
    for one in formats:
        if one not in FORMATS:
            raise UserError(
                f"--to {one} is not known.{nearest(one, FORMATS)} Choose {' or '.join(FORMATS)}."
            )
    return Export(use, formats, given.get("licence", "other"))
