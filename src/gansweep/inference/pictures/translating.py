"""What the verbs that take pictures of the user are asked for, readable without PyTorch."""

from dataclasses import dataclass
from pathlib import Path

from gansweep.inference.request import Use


@dataclass(frozen=True)
class Translation:
    """direction: "ab", or "ba" of a CycleGAN.   size: "network": resized and cut to the square that
    the run was trained on; "own": each picture at its own size, in tiles where it is large.

    tile: side of a tile in pixels.   form: of the files, "png" or "webp".
    """

    use: Use
    pictures: tuple[Path, ...]
    direction: str = "ab"
    size: str = "network"
    tile: int = 512
    form: str = "png"
    batch_size: int = 32


@dataclass(frozen=True)
class Judging:
    """criterion: which anomaly score; "" for the run's own.   false_alarms: share of normal
    held-out pictures above the threshold.   Both of `gansweep detect` alone.
    """

    use: Use
    pictures: tuple[Path, ...]
    criterion: str = ""
    false_alarms: float = 0.05
    batch_size: int = 64


@dataclass(frozen=True)
class Retrieval:
    """among: pictures to search; none: the run's training images.   n: nearest ones shown."""

    use: Use
    picture: Path
    among: tuple[Path, ...] = ()
    n: int = 7
