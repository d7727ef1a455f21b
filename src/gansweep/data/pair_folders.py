"""Two folders of images for translation: A holds the sources, B the targets."""

import copy
from functools import cached_property, partial
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from gansweep.config.ranges import Side
from gansweep.data.census import ImageFile
from gansweep.data.folders import ImageFolder
from gansweep.data.pairs import Translation
from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError

SHOWN = 5  # names in an error


class _Folders(Translation):
    """root_a, root_b: the folders of the sources and of the targets.

    test_root_a, test_root_b: their test images; if both are None, every `test_every`-th image.
    options: options of ImageFolder, for both folders.
    """

    paired: ClassVar[bool]

    def __init__(
        self,
        root_a: str | Path,
        root_b: str | Path,
        test_root_a: str | Path | None = None,
        test_root_b: str | Path | None = None,
        image_size: Side = 256,
        **options: Any,
    ) -> None:
        _check_folders({"root_a": root_a, "root_b": root_b,
                        "test_root_a": test_root_a, "test_root_b": test_root_b})  # fmt: skip
        options["image_size"] = image_size
        targets = ImageFolder(root_b, test_root=test_root_b, **options)
        options["test_root"] = test_root_a
        kind = partial(_Counterparts, targets) if self.paired else ImageFolder
        sources = kind(root_a, **options)
        name = f"{sources.name}_to_{targets.name}"
        super().__init__(
            name, "folders", sources, targets, aligned=self.paired, aligned_test=self.paired
        )


class PairedFolders(_Folders):
    """Pairs by name: A/x.jpg is the source of B/x.png, also in sub-folders.

    A source and its target get the same crop and flip.
    Raises: UserError if the names do not match, before training starts.
    """

    paired = True


class UnpairedFolders(_Folders):
    """Images of two kinds without pairs.

    The validation and test splits have no pairs either, so no score compares with a true target.
    """

    paired = False


def _check_folders(roots: dict[str, str | Path | None]) -> None:
    missing = [one for one in "ab" if roots[f"test_root_{one}"] is None]
    if len(missing) == 1:
        given = "b" if missing == ["a"] else "a"
        raise UserError(
            f"data.test_root_{given} is set, but data.test_root_{missing[0]} is not. Set both, or "
            "neither; with neither, every data.test_every-th image is a test image."
        )
    for option, root in roots.items():
        if root is not None and not Path(root).expanduser().is_dir():
            raise UserError(
                f"data.{option}={root} is not a folder. Set it to a folder of images (an absolute "
                "path, or relative to the current directory)."
            )


class _Counterparts(ImageFolder):
    """The folder of the sources, in the same order and with the same splits as the targets.

    partner: the folder of the targets.
    """

    def __init__(self, partner: ImageFolder, root: str | Path, **options: Any) -> None:
        super().__init__(root, **options)
        self.partner = partner

    @cached_property
    def _files(self) -> dict[Split, list[ImageFile]]:
        theirs = self.partner._files
        parts: list[tuple[Path, Path, tuple[Split, ...]]]
        parts = [(self.root, self.partner.root, ("train", "validation", "test"))]
        if self.test_root is not None and self.partner.test_root is not None:
            parts = [
                (self.root, self.partner.root, ("train", "validation")),
                (self.test_root, self.partner.test_root, ("test",)),
            ]
        found: dict[Split, list[ImageFile]] = {}
        for mine, other, splits in parts:
            own = _by_stem(mine, self._readable(mine))
            _refuse_unequal(mine, own, other, _by_stem(other, self.partner._readable(other)))
            found |= {split: [own[_stem(file)] for file in theirs[split]] for split in splits}
        return found

    @property
    def undivided(self) -> DataSource:
        partner = self.partner.undivided
        if not isinstance(partner, ImageFolder) or partner is self.partner:
            return self
        whole = copy.copy(self)
        whole.partner, whole._fingerprints = partner, {}
        whole.__dict__.pop("_files", None)  # computed from the partner's
        return whole

    @cached_property
    def _classes(self) -> list[str] | None:
        return None  # the labels are those of the targets


def _stem(file: ImageFile) -> str:
    return str(PurePosixPath(file.name).with_suffix(""))


def _by_stem(root: Path, files: list[ImageFile]) -> dict[str, ImageFile]:
    named: dict[str, ImageFile] = {}
    for file in files:
        if _stem(file) in named:
            raise UserError(
                f"{root} contains {named[_stem(file)].name} and {file.name}, but only one of them "
                "can be the counterpart. Rename or remove one."
            )
        named[_stem(file)] = file
    return named


def _refuse_unequal(
    root_a: Path, a: dict[str, ImageFile], root_b: Path, b: dict[str, ImageFile]
) -> None:
    lonely = [
        f"{len(names)} of {root} have no counterpart in the other folder ({_some(names)})"
        for root, names in ((root_a, sorted(a.keys() - b)), (root_b, sorted(b.keys() - a)))
        if names
    ]
    if lonely:
        raise UserError(
            f"The images of {root_a} ({len(a)}) and of {root_b} ({len(b)}) do not form pairs: "
            f"{'; '.join(lonely)}. Give both images of a pair the same name (the ending may "
            "differ), remove the other images, or train without pairs: data=unpaired_folders "
            "model=cyclegan."
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
