"""Mark what leaves: the one way through which every verb writes pictures, archives and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from gansweep.errors import UserError
from gansweep.provenance.containers import embed, format_of
from gansweep.provenance.credentials import NO_C2PA, Key, Signer
from gansweep.provenance.manifest import manifest
from gansweep.provenance.mark import COMPOSITE, MADE, Mark, Packets, china_record

if TYPE_CHECKING:
    from PIL import Image

    from gansweep.provenance.pixels import Label, Watermark

# the options of the verbs whose files are marked, and their choices
OPTIONS: dict[str, Sequence[str]] = {
    "mark": ("none",),
    "mark.c2pa": ("true", "false"),
    "mark.certificate": (),
    "mark.key": (),
    "mark.timestamp": (),
    "mark.profile": ("cn",),
    "mark.producer": (),
}
# those that change pixels
PIXEL_OPTIONS: dict[str, Sequence[str]] = {
    "mark.visible": ("true", "false"),
    "mark.font": (),
    "mark.watermark": ("trustmark",),
}
HELP = """\
  mark=none              write no mark; the run's record keeps a line about it
  mark.c2pa=true         also a signed manifest (needs 'gansweep[c2pa]'); by a
                         test certificate unless you give mark.certificate= and
                         mark.key= (PEM); mark.timestamp=URL of a server
  mark.profile=cn        also the record of GB 45438-2025, which names
  mark.producer=NAME     who answers for the content
"""
PIXEL_HELP = """\
  mark.visible=true      draw the label of GB 45438-2025, with mark.font=FILE
  mark.watermark=trustmark  an invisible one, from 256x256 pixels
"""


@dataclass(frozen=True)
class Marking:
    """How the user wants files marked.

    key: with which manifests are signed; None for no manifest.
    producer: of the Chinese record; "" for no record.   font: of the visible label; None for none.
    """

    on: bool = True
    key: Key | None = None
    producer: str = ""
    font: Path | None = None
    watermark: bool = False

    @classmethod
    def asked(cls, given: Mapping[str, str]) -> Marking:
        """Of the options of a verb.   Raises: UserError for what does not fit together."""
        others = [key for key in given if key.startswith("mark.")]
        if given.get("mark") == "none":
            if others:
                raise UserError(f"mark=none and {others[0]}= contradict each other: give one.")
            return cls(on=False)
        producer = given.get("mark.producer", "")
        if (given.get("mark.profile") == "cn") != bool(producer):
            raise UserError(
                "mark.profile=cn writes the record of GB 45438-2025, which names its producer: "
                "give both, as in mark.profile=cn mark.producer=91110000MA00000000."
            )
        visible = given.get("mark.visible") == "true"
        if visible != ("mark.font" in given):
            raise UserError(
                "mark.visible=true draws Chinese letters: give both it and mark.font=FILE, a font "
                "that has them."
            )
        font = Path(given["mark.font"]) if visible else None
        return cls(True, _key(given), producer, font, "mark.watermark" in given)


def _key(given: Mapping[str, str]) -> Key | None:
    own = [f"mark.{word}" for word in ("certificate", "key", "timestamp")]
    found = [key for key in own if key in given]
    if given.get("mark.c2pa") != "true":
        if found:
            raise UserError(f"{found[0]}= is that of a signed manifest: add mark.c2pa=true.")
        return None
    if ("mark.certificate" in given) != ("mark.key" in given):
        raise UserError("Give both mark.certificate= and mark.key=, or neither for a test one.")
    if find_spec("c2pa") is None:
        raise UserError(NO_C2PA)
    paths = [Path(given[key]) if key in given else None for key in own[:2]]
    for key, path in zip(own, paths, strict=False):
        if path is not None and not path.is_file():
            raise UserError(f"{key}={path} is not a file. Give a PEM file.")
    return Key(paths[0], paths[1], given.get("mark.timestamp", ""))


class Marker:
    """Marks the files of one command.

    run, model: see `Mark`.
    """

    def __init__(self, marking: Marking, run: str, model: str) -> None:
        self.marking = marking
        china = china_record(marking.producer) if marking.producer else ""
        self.mark = Mark(run, model, china=china)
        self._packets = {
            source: Packets(replace(self.mark, source_type=source)) for source in (MADE, COMPOSITE)
        }
        self.signer = None if marking.key is None else Signer(marking.key)
        self.layers: list[Label | Watermark] = []
        if marking.font is not None or marking.watermark:
            from gansweep.provenance.pixels import Label, Watermark

            # the watermark last: what is drawn over it would damage it
            self.layers += [] if marking.font is None else [Label(marking.font)]
            self.layers += [Watermark()] if marking.watermark else []

    def drawn(self, picture: Image.Image) -> Image.Image:
        """A picture with what is marked in its pixels.   Raises: UserError for too small a one."""
        for layer in self.layers:
            picture = layer.drawn(picture)
        return picture

    def file(
        self, content: bytes, prompt: str, source_type: str = MADE, parent: bytes | None = None
    ) -> bytes:
        """A picture or a film as it leaves.

        prompt: what was asked, see `prompt_of`.
        parent: the file that it was made of, whose signed manifest is kept as an ingredient.
        """
        if not self.marking.on:
            return content
        marked = embed(content, self._packets[source_type].of(prompt))
        if self.signer is None:
            return marked
        form = format_of(marked)
        assert form is not None, "embed takes no other"
        return self.signer.signed(marked, form, source_type, prompt, parent)

    def manifest(self, prompt: str, source_type: str = MADE, **more: object) -> str | None:
        """The mark of an archive or a model, as JSON; None where marks are off.

        One of each file: a Chinese record has an id of its own.
        """
        if not self.marking.on:
            return None
        china = china_record(self.marking.producer) if self.marking.producer else ""
        said = replace(self.mark, prompt=prompt, source_type=source_type, china=china)
        return manifest(said, **more)

    def sign_archive(self, path: Path, prompt: str) -> None:
        """Put a signed manifest into a finished zip or npz, where one was asked for."""
        if self.signer is not None and self.marking.on:
            path.write_bytes(self.signer.signed(path.read_bytes(), "zip", MADE, prompt))

    def beside(self, content: bytes, prompt: str = "") -> bytes | None:
        """The signed manifest of a model, for a file of its own (ENDING); None for none."""
        return None if self.signer is None else self.signer.beside(content, MADE, prompt)
