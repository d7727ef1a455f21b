"""Sheets of samples and of neighbours: inside the page, or in a folder beside it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from gansweep.records.drafts import drafted
from gansweep.records.read import Run
from gansweep.records.record import content_of
from gansweep.records.sheets import Layout, layout_of, media_type

IN_PAGE_BYTES = 3_000_000  # of all sheets together; base64 makes them a third larger
SHEET_FILE = re.compile(r"[0-9]{1,12}\.(webp|png)")  # the names of the files beside the page
RUN_FOLDER = re.compile(r"x[0-9a-f]{8}")


@dataclass(frozen=True)
class Sheet:
    """The content of a picture, and the layout that it carries."""

    content: bytes
    layout: Layout | None


def read_sheet(path: Path) -> Sheet | None:
    """A sheet; None if it cannot be read, is no picture, or a killed process cut it off."""
    try:
        content = content_of(path)
    except OSError:
        return None
    return None if media_type(content) is None else Sheet(content, layout_of(content))


class Store(Protocol):
    """Where the page finds its sheets."""

    @property
    def folder(self) -> str | None:
        """The folder of its sheets, from the page; None: they are in the page."""

    def read(self, path: Path) -> Sheet | None:
        """A sheet; None if it cannot be read or is no whole picture."""

    def keep(self, run: str, kind: str, path: Path, content: bytes) -> Any:
        """Keep a sheet.   run: its id.   kind: "samples" or "neighbours".

        Returns: what the page's scripts know it by, as JSON.
        """


@dataclass
class InPage:
    """Sheets inside the page: for each run a block, in which a sheet is [offset, bytes]."""

    blocks: dict[str, bytes] = field(default_factory=dict)
    folder: str | None = None

    def read(self, path: Path) -> Sheet | None:
        return read_sheet(path)

    def keep(self, run: str, kind: str, path: Path, content: bytes) -> list[int]:
        before = self.blocks.get(f"sheets-{run}", b"")
        self.blocks[f"sheets-{run}"] = before + content
        return [len(before), len(content)]


@dataclass
class Beside:
    """Sheets copied into a folder beside the page, where a sheet is its path below the folder."""

    place: Path
    kept: set[Path] = field(default_factory=set)

    @property
    def folder(self) -> str:
        return self.place.name

    def read(self, path: Path) -> Sheet | None:
        return read_sheet(path)

    def keep(self, run: str, kind: str, path: Path, content: bytes) -> str:
        target = self.place / run / kind / path.name
        self.kept.add(target)
        _copy(content, target)
        return f"{run}/{kind}/{path.name}"

    def remove_others(self) -> None:
        """Remove the sheets of an earlier page and the folders that become empty.

        Files of other names stay.
        """
        for path in sorted(self.place.glob("*/*/*")):
            run, kind, name = path.relative_to(self.place).parts
            ours = RUN_FOLDER.fullmatch(run) and kind in ("samples", "neighbours")
            if ours and SHEET_FILE.fullmatch(name) and path not in self.kept:
                path.unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # not empty yet
                    for folder in path.parents[:3]:
                        folder.rmdir()


def _copy(content: bytes, target: Path) -> None:
    """Make the file, unless it is there: replacing one costs thirty times as much as reading it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(target, "xb") as file:  # follows no link
            file.write(content)
    except FileExistsError:
        if target.is_symlink() or content_of(target) != content:
            with drafted(target) as draft:
                draft.write_bytes(content)


def folder_of(page: Path) -> Path:
    """Where the sheets of a page are that are not inside it."""
    return page.with_name(f"{page.stem}_sheets")


def beside_of(runs: Iterable[Run], page: Path) -> Beside | None:
    """The folder for the sheets; None if all are small enough to be inside the page."""
    total = 0
    for run in runs:
        for _, path in (*run.grids, *run.sheets):
            total += _size(path)
            if total > IN_PAGE_BYTES:
                return Beside(folder_of(page))
    return None


def samples_part(runs: Mapping[str, Run], store: Store) -> dict[str, Any]:
    """What the page knows of the sheets of these runs (by their ids).

    layouts: the different layouts.   folder: where the sheets are; None: in the page.
    runs: id -> {"samples": [[kimg, place of the layout or null, sheet], ...], "neighbours": ...},
        oldest first, for the runs that have any. A file that is cut off or no picture is left out.
    """
    layouts: dict[Layout, int] = {}
    found: dict[str, dict[str, Any]] = {}

    def entries(key: str, kind: str, files: Sequence[tuple[float, Path]]) -> list[list[Any]]:
        rows = []
        for kimg, path in files:
            sheet = store.read(path)
            if sheet is None:
                continue
            layout = sheet.layout
            place = None if layout is None else layouts.setdefault(layout, len(layouts))
            rows.append([kimg, place, store.keep(key, kind, path, sheet.content)])
        return rows

    for key, run in runs.items():
        one = {
            "samples": entries(key, "samples", run.grids),
            "neighbours": entries(key, "neighbours", run.sheets),
        }
        if any(one.values()):
            found[key] = one
    known = [layout.plain() for layout in layouts]
    return {"layouts": known, "folder": store.folder, "runs": found}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
