"""A section of the page: a heading, how to read it, figures and tables."""

from __future__ import annotations

from dataclasses import dataclass, field

from gansweep.report.figures.figures import Figure
from gansweep.report.tables import Table


@dataclass
class Section:
    """A heading, how to read what follows, and the figures. `note` stands below them."""

    anchor: str
    title: str
    reading: str
    figures: list[Figure] = field(default_factory=list)
    note: str = ""
    tables: list[Table] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.figures or self.note or self.tables)
