"""What the verbs that edit codes are asked for, readable without PyTorch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gansweep.inference.request import Use

SpaceName = Literal["z", "w"]


@dataclass(frozen=True)
class Interpolation:
    """between: "seeds", "samples", "labels" or "codes".   ends: of them, two at least.

    steps: pictures from one end to the next, both included.   path: "spherical" or "linear".
    seed: of the samples, and of the noise that labels share.   codes: an npz of `gansweep project`.
    seconds: of a picture in a film.
    """

    use: Use
    between: str
    ends: tuple[str, ...]
    steps: int = 9
    path: str = "spherical"
    space: SpaceName = "z"
    seed: int = 0
    label: str | None = None
    codes: Path | None = None
    seconds: float = 0.1


@dataclass(frozen=True)
class Arithmetic:
    """expression: such as "7 - 1 + 3".   each: codes whose mean stands for a concept.

    jitter: the neighbours' distance in each number.   tries: 0 shows one result; more count how
    often the result is what the expression says, against chance.
    pool: samples among which concepts are looked for.
    """

    use: Use
    expression: str
    each: int = 3
    jitter: float = 0.25
    seed: int = 0
    space: SpaceName = "z"
    tries: int = 0
    pool: int = 2000


@dataclass(frozen=True)
class Directions:
    """method: "sefa" or "pca".   n: directions.   reach: how far on either side.

    samples: codes that are moved.
    """

    use: Use
    method: str = "sefa"
    n: int = 5
    steps: int = 7
    reach: float = 3.0
    samples: int = 1
    seed: int = 0
    label: str | None = None


@dataclass(frozen=True)
class Projection:
    """images: real pictures.   task: what is damaged: "none", "hole", "denoise", "colourise".

    damage: whether the pictures are whole, and are damaged first to measure the repair.
    sigma: of the noise, for pixels in [-1, 1].
    steps: of the optimisation.   restarts: codes that are tried for each picture.
    """

    use: Use
    images: tuple[Path, ...]
    task: str = "none"
    damage: bool = False
    sigma: float = 0.8
    steps: int = 300
    restarts: int = 2
    space: SpaceName = "z"
    seed: int = 0
    label: str | None = None
