"""Our docstrings as Markdown: names, shapes and what a function raises become a list.

A docstring of gansweep says of its arguments "real, fake: (N, C, H, W) in [-1, 1]." in a line of
its own, and "Returns: scalar." or "Raises: ValueError if ..." likewise or after three spaces. None
of the styles that mkdocstrings reads has this form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import griffe

FIRST = re.compile(r"(?P<names>[A-Za-z_][\w.]*(?:, [\w.]+)*): (?P<text>.*)$")
SECTIONS = ("Returns", "Raises", "Source", "Yields", "Protocol")


class OurDocstrings(griffe.Extension):
    """Rewrites every docstring before it is rendered."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = markdown(obj.docstring.value)


def markdown(docstring: str) -> str:
    """The docstring with a list where lines begin with names and a colon."""
    return "\n".join(_lines(re.sub(r" {3}(?=[\w, ]+: )", "\n", docstring)))


def _lines(text: str) -> Iterator[str]:
    in_list = False
    for line in text.splitlines():
        found = FIRST.match(line)
        if found and _is_entry(found["names"]):
            if not in_list:
                yield ""
            in_list = True
            names = found["names"]
            shown = f"**{names}**" if names in SECTIONS else f"`{names}`"
            yield f"- {shown}: {found['text']}"
        elif in_list and line.startswith("    "):
            yield f"    {line.strip()}"
        else:
            if in_list and line.strip():
                yield ""
            in_list = False
            yield line


def _is_entry(names: str) -> bool:
    """Whether these are names of arguments, not the first words of a sentence."""
    return names in SECTIONS or all(name == name.lower() for name in names.split(", "))
