"""What the page asks of a run: samples, a picture translated, and how strange a picture is."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from gansweep.callbacks.sheet import grid
from gansweep.data.decode import UnreadableImageError
from gansweep.errors import UserError
from gansweep.inference.editing.codes import Codes, Space
from gansweep.inference.editing.directions import sefa, space_of
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened
from gansweep.inference.pictures.inputs import Picture, as_input, read_picture
from gansweep.inference.pictures.judge import PREFIX, criterion_of, given, threshold_of
from gansweep.inference.pictures.picture_files import Found
from gansweep.inference.pictures.translate import input_shape, results
from gansweep.models.autoencoder import Coding
from gansweep.models.contract import Contract
from gansweep.models.translation import Translator
from gansweep.provenance.mark import COMPOSITE, prompt_of

SLIDERS = 8
MOST = 64  # samples in a sheet
REACH = 6.0  # how far a slider goes
FALSE_ALARMS = 0.05


@dataclass(frozen=True)
class Facts:
    """What the page offers.   samples: of noise.   sliders: how many directions of its codes.

    truncation: whether the model knows it.   translates, detects: whether a picture can be given.
    """

    name: str
    samples: bool
    sliders: int
    labels: tuple[str, ...]
    truncation: bool
    translates: bool
    detects: bool


class Player:
    """One run, opened to be played with. Its calls must not overlap."""

    def __init__(self, opened: Opened) -> None:
        self.opened = opened
        self.marker = opened.marker()
        self.space: Space | None = None
        self._directions = torch.empty(0)
        self._threshold: tuple[str, float] | None = None
        try:
            self.space = space_of(opened)
            self._directions = sefa(self.space, SLIDERS)[0]
        except UserError:
            pass  # no codes, or no first layer on them: samples without sliders, or none
        self.facts = self._found()

    def _found(self) -> Facts:
        module, data = self.opened.module, self.opened.data
        images = not data.is_points
        return Facts(
            name=f"{self.opened.model} on {data.name}",
            samples=self.space is not None,
            sliders=len(self._directions),
            labels=tuple(data.class_names or ()) if module.conditional else (),
            truncation=type(module).truncate is not Contract.truncate,
            translates=images and isinstance(module, Translator | Coding),
            detects=images and self._detects(),
        )

    def _detects(self) -> bool:
        try:
            criterion = criterion_of(self.opened, "")
            self._threshold = criterion, threshold_of(self.opened, criterion, FALSE_ALARMS)[0]
        except UserError:
            return False
        return True

    def samples(self, asked: Mapping[str, str]) -> bytes:
        """A marked PNG.   asked: "seed", "n", "label", "truncation", and "d0" ... of sliders.

        Raises: UserError for what is no number or out of range.
        """
        if self.space is None:
            raise UserError("This run makes nothing of noise.")
        seed, n = _whole(asked, "seed", 0, 2**31), _whole(asked, "n", 16, MOST)
        module = self.opened.module
        module.truncate(_real(asked, "truncation", 0.0, 10.0) if asked.get("truncation") else None)
        label = asked.get("label") or None
        codes = self.space.first(seed, max(1, n), self.opened.label_number(label))
        moves = [_real(asked, f"d{k}", -REACH, REACH) for k in range(len(self._directions))]
        moved = codes.z
        for move, direction in zip(moves, self._directions, strict=True):
            moved = moved + move * direction
        images = self.space.pictures(Codes(moved, codes.labels, codes.noise))
        sliders = " ".join(f"{move:g}" for move in moves if move)
        said = {"seed": seed, "images": n, "label": label, "truncation": module.truncated}
        prompt = prompt_of({**said, "sliders": sliders})
        columns = math.ceil(math.sqrt(len(images)))
        return marked(self.marker, grid(images, columns).enlarged(), prompt)

    def translated(self, content: bytes, direction: str) -> bytes:
        """The upload and what it becomes, side by side.   Raises: UserError."""
        opened = self.opened
        shown = as_input([_picture(content)], input_shape(opened, direction))
        made = results(opened, direction, shown)
        channels = max(shown.shape[1], made.shape[1])
        both = torch.cat([x.expand(-1, channels, -1, -1) for x in (shown, made)])
        return marked(
            self.marker, grid(both, 2).enlarged(), "translation of an upload", "png", COMPOSITE
        )

    def detected(self, content: bytes) -> dict[str, object]:
        """The score of the upload, the threshold, and whether it is above it."""
        assert self._threshold is not None
        criterion, threshold = self._threshold
        asked = given(self.opened, [_picture(content)])
        score = float(self.opened.module.answers(asked)[PREFIX + criterion][0])
        return {"score": score, "threshold": threshold, "strange": not score <= threshold}


def _picture(content: bytes) -> Picture:
    """Raises: UserError for what is no picture."""
    with tempfile.NamedTemporaryFile(suffix=".upload") as file:
        file.write(content)
        file.flush()
        try:
            return read_picture(Found(Path(file.name), Path("upload")))
        except UnreadableImageError as error:
            raise UserError(f"The picture cannot be read: {error}.") from error


def _whole(asked: Mapping[str, str], key: str, default: int, most: int) -> int:
    text = asked.get(key, "") or str(default)
    if not text.isdecimal() or int(text) > most:
        raise UserError(f"{key}={text} is not a whole number up to {most}.")
    return int(text)


def _real(asked: Mapping[str, str], key: str, least: float, most: float) -> float:
    try:
        number = float(asked.get(key, "") or 0.0)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise UserError(f"{key}={asked.get(key)} is not a number from {least:g} to {most:g}.")
    return number
