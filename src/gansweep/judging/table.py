"""Rows of text, for a page or a terminal to show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Table:
    """Text in cells. The first `words` columns are words, the others are numbers.

    caption: what the table shows; the page prints it where `titled`, and reads it out anyway.
    """

    caption: str
    heads: list[str]
    rows: list[list[str]]
    words: int = 1
    titled: bool = False
