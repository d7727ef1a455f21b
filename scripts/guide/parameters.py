"""The table of parameter counts in docs/models.md, from the numbers of tests/models/fidelity/.

    python scripts/guide/parameters.py     writes the table anew between its two comments

Needs no gansweep: the counts follow from the layers that a paper or its code lists, and
tests/models/test_fidelity.py holds the networks of this repository against them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TOP = Path(__file__).resolve().parents[2]
NUMBERS = TOP / "tests" / "models" / "fidelity"
PAGE = TOP / "docs" / "models.md"
BEGIN, END = "<!-- parameter counts -->", "<!-- end of the parameter counts -->"
LAYER = re.compile(r"(?:(\d+) x )?([a-z]+)(-?)((?: \d+)+)")


def numbers() -> dict[str, dict[str, Any]]:
    """Name of a model or an experiment -> what its file in tests/models/fidelity/ states."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C; the other takes 1.6 s
    files = sorted(NUMBERS.glob("*.yaml"))
    return {path.stem: yaml.load(path.read_text(), loader) for path in files}


def count(layers: str) -> int:
    """Parameters of layers as in "2 x conv 3 64 7, norm 64, linear- 8192 1": "-" has no bias.

    linear IN OUT; conv IN OUT KERNEL, transposed or not; norm WIDTH, a gain and a bias;
    norms CLASSES WIDTH, these for each class; codes CODE WIDTH, these by linear maps of a code;
    embedding CLASSES WIDTH; gain, bias WIDTH.
    Raises: ValueError for any other layer.
    """
    total = 0
    for item in filter(None, (part.strip() for part in layers.split(","))):
        found = LAYER.fullmatch(item)
        if found is None:
            raise ValueError(f"'{item}' is not a layer such as 'conv 3 64 7' or '2 x norm 64'.")
        times, kind, without, sizes = found.groups()
        total += int(times or 1) * _one(kind, not without, [int(size) for size in sizes.split()])
    return total


def _one(kind: str, bias: bool, sizes: list[int]) -> int:
    match kind, sizes:
        case "linear", [n_in, n_out]:
            return n_in * n_out + bias * n_out
        case "conv", [n_in, n_out, kernel]:
            return n_in * n_out * kernel**2 + bias * n_out
        case "norm", [width]:
            return 2 * width
        case (("norms" | "codes"), [rows, width]):
            return 2 * rows * width
        case "embedding", [rows, width]:
            return rows * width
        case (("gain" | "bias"), [width]):
            return width
    raise ValueError(f"'{kind}' with the sizes {sizes} is not a layer that is counted here.")


def expected(player: dict[str, str]) -> tuple[int, int]:
    """What the paper or its code has, and what the network here has."""
    theirs = count(player["layers"])
    return theirs, theirs + count(player.get("more", "")) - count(player.get("less", ""))


def table() -> str:
    """The table in Markdown, one row for each player."""
    lines = [
        "| file | images | player | listed | here | stated in the paper |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *_rows()])


def _rows() -> Iterator[str]:
    for name, stated in numbers().items():
        shown = f"`experiment={name}`" if name.startswith("paper_") else f"`model={name}`"
        images = "x".join(map(str, stated["shape"]))
        published = stated.get("published")
        for player, layers in stated["players"].items():
            theirs, ours = expected(layers)
            here = "" if theirs == ours else f"{ours:,}"
            said = _said(published, player)
            yield f"| {shown} | {images} | {player} | {theirs:,} | {here} | {said} |"


def _said(published: dict[str, Any] | None, player: str) -> str:
    """What the paper says of this player, where it says something."""
    if published is None or player not in published["of"]:
        return ""
    both = " for both" if len(published["of"]) > 1 else ""
    each = " each" if published.get("times") else ""
    return f"{published['parameters']}{both}{each} ({published['where']})"


def with_table(page: str) -> str:
    """The page with the table of today between its two comments.

    Raises: ValueError where it lacks them.
    """
    if BEGIN not in page or END not in page:
        raise ValueError(f"The page needs the lines '{BEGIN}' and '{END}' around the table.")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
