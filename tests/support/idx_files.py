"""MNIST's four files, of a few made-up images."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx(values: np.ndarray) -> bytes:
    head = struct.pack(f">BBBB{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return gzip.compress(head + values.tobytes())


def write_idx_files(folder: Path, n: int = 6) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for k, part in enumerate(("train", "t10k")):
        pixels = np.full((n, 28, 28), k, np.uint8)
        pixels[:, 0, 0] = np.arange(n)
        labels = np.arange(n, dtype=np.uint8) % 10
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(idx(pixels))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
