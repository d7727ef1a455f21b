"""A section of the page."""

from __future__ import annotations

from dataclasses import dataclass, field

from gansweep.report.figures.figures import Figure
from gansweep.report.tables import Table


@dataclass
class Section:
    """A heading, a text on how to read the section, figures, tables, and a note at the end."""

    anchor: str
    title: str
    reading: str
    figures: list[Figure] = field(default_factory=list)
    note: str = ""
    tables: list[Table] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.figures or self.note or self.tables)
