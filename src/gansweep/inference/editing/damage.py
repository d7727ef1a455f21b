"""Damage that is to be repaired: what is seen of a picture, and how far a repair is from it.

Source: Yeh et al. 2017, arXiv:1607.07539, Sections 3.2 and 3.4.
"""

import numpy as np
import torch
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor
from torch.nn import functional as F

from gansweep.data.tasks import GREY_WEIGHTS, hole_span

WINDOW = 7  # pixels of the neighbourhood that is counted around a seen pixel


def hole_mask(shape: tuple[int, ...]) -> Tensor:
    """(1, H, W): 0 in the middle hole of the task `hole`, 1 elsewhere."""
    mask = torch.ones(1, *shape[1:])
    mask[:, hole_span(shape[1]), hole_span(shape[2])] = 0
    return mask


def importance(mask: Tensor) -> Tensor:
    """(1, H, W) weights of the seen pixels: the share of unseen ones around each, 0 where unseen.

    W_i = sum over the neighbours j of (1 - M_j) / |N(i)| where M_i = 1 (Eq. 3).  The window is 7
    pixels wide, and at the border only what lies inside is counted.
    """
    unseen = (1 - mask)[None]
    kernel = torch.ones(1, 1, WINDOW, WINDOW)
    around = F.conv2d(unseen, kernel, padding=WINDOW // 2)
    count = F.conv2d(torch.ones_like(unseen), kernel, padding=WINDOW // 2)
    return (around / count)[0] * mask


def contextual_loss(made: Tensor, seen: Tensor, weights: Tensor) -> Tensor:
    """(N,): the mean over pixels of |W (G(z) - y)|, weights scaled to a mean of 1 (Eq. 4)."""
    scaled = weights / weights.mean().clamp(min=1e-12)
    return (scaled * (made - seen).abs()).flatten(1).mean(1)


def as_grey(images: Tensor) -> Tensor:
    """(N, C, H, W) -> (N, 1, H, W): the luminance of ITU-R BT.601."""
    if images.shape[1] == 1:
        return images
    weights = torch.tensor(GREY_WEIGHTS).view(1, 3, 1, 1).to(images)
    return (images * weights).sum(1, keepdim=True)


def blended(seen: Tensor, made: Tensor, mask: Tensor) -> Tensor:
    """(C, H, W): the seen pixels, and inside the hole the gradients of what was made.

    Poisson blending: the unseen pixels x minimise the squared differences of their gradients from
    those of `made`, with the seen pixels as the border (Eq. 7; Perez et al. 2003).
    """
    hole = (mask[0] < 0.5).numpy()
    if hole.all() or not hole.any():
        return (made if hole.all() else seen).clone()
    height, width = hole.shape
    index = np.full(hole.shape, -1)
    index[hole] = np.arange(hole.sum())
    entries: list[tuple[int, int, float]] = []
    right = np.zeros((int(hole.sum()), len(seen)))
    known, wanted = seen.double().numpy(), made.double().numpy()
    for i, j in zip(*hole.nonzero(), strict=True):
        k = index[i, j]
        neighbours = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        inside = [(a, b) for a, b in neighbours if 0 <= a < height and 0 <= b < width]
        entries.append((k, k, float(len(inside))))
        for a, b in inside:
            right[k] += wanted[:, i, j] - wanted[:, a, b]
            if hole[a, b]:
                entries.append((k, index[a, b], -1.0))
            else:
                right[k] += known[:, a, b]
    size = len(right)
    rows, columns, values = zip(*entries, strict=True)
    solved = spsolve(csr_matrix((values, (rows, columns)), (size, size)), right)
    filled = known.copy()
    filled[:, hole] = np.asarray(solved).reshape(size, len(seen)).T
    return torch.from_numpy(filled).to(seen).clamp(-1, 1)
