"""The configurations that the figures show, each with the same colour and dash in all figures."""

from __future__ import annotations

from dataclasses import dataclass

from gansweep.judging.leaderboard import Board, Row

# The colours of Okabe and Ito, which are also distinct for colour-blind readers. Violet and grey
# replace their black and yellow, which are hard to read on a dark or a light page.
COLOURS = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8B6BB8",
    "#8A8A8A",
)
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
SVG_DASHES = {
    "solid": "none",
    "dash": "7 4",
    "dot": "2 3",
    "dashdot": "7 3 2 3",
    "longdash": "11 4",
}
FEW = 8
NEUTRAL = "#8A8A8A"


@dataclass(frozen=True)
class Variant:
    """A configuration in the figures. The page's script identifies it by `index`."""

    index: int
    row: Row
    colour: str
    dash: str

    @property
    def svg_dash(self) -> str:
        return SVG_DASHES[self.dash]

    def fill(self, opacity: float) -> str:
        return transparent(self.colour, opacity)


@dataclass(frozen=True)
class Line:
    """The colour and the dash of a model."""

    colour: str
    dash: str

    def fill(self, opacity: float) -> str:
        return transparent(self.colour, opacity)


def transparent(colour: str, opacity: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity})"


def _models(board: Board) -> list[str]:
    return list(dict.fromkeys(row.model for row in [*board.rows, *board.open_rows]))


def lines_of_models(board: Board) -> dict[str, Line]:
    """A colour for each model. Dashes separate the models if there are more than colours."""
    return {
        model: Line(COLOURS[hue % len(COLOURS)], DASHES[hue // len(COLOURS) % len(DASHES)])
        for hue, model in enumerate(_models(board))
    }


def variants(board: Board) -> list[Variant]:
    """The configurations to draw: all if they are few, else the confirmed and each model's best.

    Several models: a colour for each model and a dash for each of its configurations. One model:
    a colour for each configuration.
    """
    rows = [*board.rows, *board.open_rows]
    if len(rows) > FEW:
        first = {row.model: row for row in reversed(rows)}
        rows = [row for row in rows if row.stage == "confirmed" or first[row.model] is row]
        if len(rows) < 3:
            rows = [*board.rows, *board.open_rows][:FEW]
    models = _models(board)
    drawn = []
    for index, row in enumerate(rows):
        if len(models) > 1:
            hue = models.index(row.model)
            turn = sum(earlier.model == row.model for earlier in rows[:index])
            turn += hue // len(COLOURS)
        else:
            hue, turn = index, index // len(COLOURS)
        colour = COLOURS[hue % len(COLOURS)]
        drawn.append(Variant(index, row, colour, DASHES[turn % len(DASHES)]))
    return drawn
