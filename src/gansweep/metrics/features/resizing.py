"""The resizers of published scores. A score depends on its resizer."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def tensorflow1_bilinear(images: Tensor, size: int) -> Tensor:
    """Bilinear samples at i * in / out without antialiasing, as TensorFlow 1 resizes.

    images: uint8 (N, C, H, W).   Returns: float32 (N, C, size, size) in [0, 255].
    Equal to torch-fidelity's interpolate_bilinear_2d_like_tensorflow1x up to float32 rounding. Two
    matrix products are ten times as fast as its gathers.
    """
    rows, columns = (_bilinear_matrix(n, size, images.device) for n in images.shape[2:])
    return rows @ images.float() @ columns.T


def _bilinear_matrix(n: int, size: int, device: torch.device) -> Tensor:
    """(size, n): row i has the weights of its two neighbours among n samples."""
    # in float32, as TensorFlow computes the positions
    position = torch.arange(size, dtype=torch.float32) * torch.tensor(n / size)
    below = position.long()
    share = position - below
    matrix = torch.zeros(size, n)
    rows = torch.arange(size)
    matrix[rows, below] += 1 - share
    matrix[rows, (below + 1).clamp_max(n - 1)] += share
    return matrix.to(device)


def pillow_bicubic(images: Tensor, size: int) -> Tensor:
    """Bicubic with antialiasing, rounded to uint8 after each direction, as Pillow resizes.

    images: uint8 (N, C, H, W).   Returns: whole numbers in float32, (N, C, size, size), 0..255.
    Equal to PIL.Image.resize(..., BICUBIC) except for rounding ties. Like Pillow before 13, it
    always resizes the width first; Pillow 13 starts with the height if that shrinks more.
    """
    height = images.shape[2]
    across = _rounded(images.float(), (height, size))
    return _rounded(across, (size, size))


def _rounded(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.shape[2:] == size:
        return images
    resized = F.interpolate(images, size=size, mode="bicubic", antialias=True)
    return resized.round().clamp(0, 255)
