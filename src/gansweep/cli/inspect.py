"""`gansweep inspect`: read the marks of files back."""

from collections.abc import Sequence
from pathlib import Path

from gansweep.cli.arguments import Parser
from gansweep.errors import UserError, terminal_width, visible
from gansweep.provenance.pixels import Watermark
from gansweep.provenance.reading import Marks, exit_code, files_in, marks_of
from gansweep.records.notation import beside_names, plural

DESCRIPTION = """\
Read back what files say of their origin: XMP in PNG, JPEG, WebP, AVIF, GIF and
MP4; the mark of npz, zip, ONNX, safetensors and pt2; signed C2PA manifests.
Marks of other programs that use IPTC's fields are read too. A file without a
mark may still be made by a machine: marks get lost when it is saved again."""

EXAMPLES = """\
examples:
  gansweep inspect sevens.png
  gansweep inspect fakes/ fakes.npz
  gansweep inspect sevens.png --full      every field
  gansweep inspect sevens.png --watermark with what is in the pixels

exit code: 0 all are marked, 1 some are not, 2 some cannot be read
"""
MOST_ROWS = 40  # of a long table that are shown


def parser() -> Parser:
    made = Parser("inspect", description=DESCRIPTION, epilog=EXAMPLES)
    made.add_argument("words", nargs="*", metavar="PATH", help="a file, or a folder of files")
    made.add_argument(
        "--trust", metavar="FILE", help="certificates (PEM) whose signatures are trusted"
    )
    made.add_argument(
        "--watermark", action="store_true", help="also look for TrustMark's watermarks"
    )
    made.add_argument("--full", action="store_true", help="print every field of every file")
    return made


def main(words: list[str]) -> int:
    """Run the verb; 0, 1 or 2 as its help says. A UserError is left to the caller."""
    options, words = parser().read(words)
    if not words:
        raise UserError("Name a file or a folder, as in 'gansweep inspect sevens.png'.")
    trust = _read_trust(options.trust)
    watermark = Watermark() if options.watermark else None
    found = [marks_of(path, trust, watermark) for path in files_in(map(Path, words))]
    if not found:
        raise UserError(
            f"There is no picture, archive or model in {', '.join(words)} that can carry a mark."
        )
    for line in in_full(found) if options.full else in_rows(found):
        print(visible(line))
    return exit_code(found)


def _read_trust(name: str | None) -> str:
    """Raises: UserError for a file that cannot be read."""
    if name is None:
        return ""
    try:
        return Path(name).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--trust {name} cannot be read ({error}).") from error


def in_rows(found: Sequence[Marks]) -> list[str]:
    """A table of the files, those first that lack something, and what there is in all."""
    order = sorted(found, key=lambda one: (not one.problem, bool(one.kind)))
    rows = [("file", "mark", "manifest", "system", "prompt")]
    rows += [_row(one) for one in order[:MOST_ROWS]]
    names = [visible(row[0]) for row in rows]
    lines = beside_names(names, [row[1:] for row in rows], width=terminal_width())
    if len(found) > MOST_ROWS:
        lines.append(f"and {len(found) - MOST_ROWS} more")
    broken = sum(bool(one.problem) for one in found)
    bare = sum(not one.kind and not one.problem for one in found)
    told = f"{plural(len(found), 'file')}: {len(found) - broken - bare} marked, {bare} not"
    return [*lines, told + (f", {broken} unreadable" if broken else "")]


def _row(one: Marks) -> tuple[str, str, str, str, str]:
    says = one.says
    mark = f"unreadable: {one.problem}" if one.problem else one.kind or "none"
    if one.china:
        mark += ", CN" if one.china == 1 else f", {one.china} CN records where one is allowed"
    if one.watermark:
        mark += f", watermark {one.watermark!r}"
    system = " ".join(filter(None, [says.get("system"), says.get("version"), says.get("model")]))
    signed = one.credentials.state if one.credentials else "none"
    return str(one.path), mark, signed, system, says.get("prompt", "")


def in_full(found: Sequence[Marks]) -> list[str]:
    lines = []
    for one in found:
        lines.append(f"{one.path}: {_row(one)[1]}")
        lines += [f"  {key:<12} {value}" for key, value in one.says.items()]
        if one.credentials is not None:
            found_in = one.credentials
            lines.append(
                f"  manifest     {found_in.state}, signed by {found_in.signer or 'nobody'}"
            )
            lines.append(f"  ingredients  {found_in.ingredients}")
    return lines
