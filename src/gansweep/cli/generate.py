"""What `gansweep generate` is asked for, checked before PyTorch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gansweep.config import permissions
from gansweep.errors import UserError, nearest
from gansweep.inference.request import Request, whole

CHOICES = {"checkpoint": ("best", "last"), "accelerator": ("auto", "cpu", "cuda")}
OPTIONS = ("label", "code", "n", "seed", *CHOICES, permissions.OPTION)
OUTPUT_FLAGS = ("-o", "--output")
MOST = 4096  # images that one picture holds


def read(words: Sequence[str]) -> Request:
    """Raises: UserError for words that are no option, and for values that no option takes."""
    runs, given, output = [], {}, None
    left = iter(words)
    for word in left:
        key, equals, value = word.partition("=")
        if key in OUTPUT_FLAGS:
            output = value if equals else next(left, "")
            if not output:
                raise UserError(f"{key} needs the name of a file, as in '{key} sevens.png'.")
        elif word.startswith("-"):
            raise UserError(
                f"'gansweep generate' has no flag '{word}'.{nearest(word, OUTPUT_FLAGS)} "
                "'gansweep generate --help' lists the options."
            )
        elif not equals or Path(word).exists():
            runs.append(Path(word))
        elif key in OPTIONS:
            given[key] = value
        else:
            raise UserError(
                f"'{word}' does not fit 'gansweep generate'.{nearest(key, OPTIONS)} "
                f"Options are: {', '.join(OPTIONS)}, -o FILE."
            )
    if len(runs) != 1:
        raise UserError(
            f"{len(runs)} runs were named: give one, as in 'gansweep generate "
            "runs/digits/cgan-001 label=7'."
        )
    return _request(runs[0], given, output)


def _request(run: Path, given: dict[str, str], output: str | None) -> Request:
    for key, known in CHOICES.items():
        if key in given and given[key] not in known:
            raise UserError(
                f"{key}={given[key]} is not known.{nearest(given[key], known)} "
                f"Choose {key}={' or '.join(known)}."
            )
    if "label" in given and "code" in given:
        raise UserError("label= asks for a class, code= for a value of a learnt code: give one.")
    return Request(
        run,
        given.get("label"),
        given.get("code"),
        whole("n", given.get("n", "16"), 1, MOST),
        whole("seed", given.get("seed", "0"), 0, 2**63 - 1),
        None if output is None else Path(output),
        given.get("checkpoint", "best"),
        given.get("accelerator", "auto"),
        tuple(permissions.packages_in(given.get(permissions.OPTION, ""))),
    )
