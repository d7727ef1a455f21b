"""The pictures that a user names, as files and folders; found without PyTorch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gansweep.data.listing import PICTURES, files_below
from gansweep.errors import UserError


@dataclass(frozen=True)
class Found:
    """A picture.   name: its path below the folder that was named, or its own name."""

    path: Path
    name: Path


def pictures_in(paths: Sequence[Path], output: Path | None = None) -> list[Found]:
    """The files that were named, and all pictures below the folders, sorted by name.

    output: where results go.
    Raises: UserError for a path that does not exist, a folder without pictures, an output inside a
        folder that is read, and two pictures of one name.
    """
    found: list[Found] = []
    for path in paths:
        if path.is_dir():
            refuse_inside(path, output)
            below = list(_below(path))
            if not below:
                raise UserError(
                    f"{path} has no pictures in it. Give a folder with some, such as PNG or JPEG."
                )
            found += below
        elif path.exists():
            found.append(Found(path, Path(path.name)))
        else:
            raise UserError(f"{path} does not exist. Give a picture or a folder of pictures.")
    stems: dict[Path, Path] = {}
    for one in found:
        other = stems.setdefault(one.name.with_suffix(""), one.path)
        if output is not None and other != one.path:
            raise UserError(
                f"{other} and {one.path} would both become {one.name.with_suffix('.png')}. Give "
                "one of them, or write them to different folders."
            )
    return found


def refuse_inside(folder: Path, output: Path | None) -> None:
    """Raises: UserError where results would be written into the folder that is read."""
    if output is None:
        return
    real, other = Path(os.path.realpath(folder)), Path(os.path.realpath(output))
    if other == real or real in other.parents:
        raise UserError(
            f"-o {output} lies inside {folder}, which is read: the results would be read as "
            "pictures, too. Give a folder beside it."
        )


def _below(folder: Path) -> list[Found]:
    found = files_below(folder, PICTURES, "name another folder")
    return [Found(path, path.relative_to(folder)) for path in found]
