"""The Inception-v3 of published FID, IS and KID, rearranged to compute the same numbers faster.

It is the network that TensorFlow published in 2015 (Szegedy et al. 2015, arXiv:1512.00567), with
torch-fidelity's weights and names. Three identities make it faster. Batch norm is folded into the
convolution before it. 1x1 convolutions with the same input become one convolution. A 1x1
convolution after an average pooling is computed before it, where there are fewer channels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = Mapping[str, Tensor]
BATCH_NORM_EPS = 1e-3
OF_BLOCK_A = (
    *(("branch1x1",), ("branch5x5_1", "branch5x5_2")),
    ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
)
# 7x7 convolutions, taken apart into 1x7 and 7x1
OF_BLOCK_C = (
    *(("branch1x1",), ("branch7x7_1", "branch7x7_2", "branch7x7_3")),
    tuple(f"branch7x7dbl_{i}" for i in range(1, 6)),
)


def folded(state: State, name: str) -> tuple[Tensor, Tensor]:
    """Weight (out, in, kh, kw) and bias (out,) of a convolution with its batch norm folded in."""
    weight, gain, shift, mean, variance = (
        state[f"{name}.{key}"].double()
        for key in ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")
    )
    scale = gain / (variance + BATCH_NORM_EPS).sqrt()
    return (weight * scale[:, None, None, None]).float(), (shift - mean * scale).float()


class Convolution(nn.Module):
    """relu(convolution) for several convolutions with the same input, concatenated.

    names: of the convolutions, all with the same kernel size.   padding: None keeps the size at
    stride 1.
    """

    weight: Tensor
    bias: Tensor

    def __init__(
        self, state: State, *names: str, stride: int = 1, padding: int | None = None
    ) -> None:
        super().__init__()
        weights, biases = zip(*(folded(state, name) for name in names), strict=True)
        self.register_buffer("weight", torch.cat(weights))
        self.register_buffer("bias", torch.cat(biases))
        height, width = self.weight.shape[2:]
        self.stride = stride
        self.padding = (height // 2, width // 2) if padding is None else (padding, padding)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding).relu_()


class Pointwise(nn.Module):
    """The 1x1 convolutions at the start of a block's branches, and its whole pooled branch.

    names: of the branches.   pooled: of the convolution after the average pooling.
    """

    weight: Tensor
    bias: Tensor
    pooled_bias: Tensor

    def __init__(self, state: State, *names: str, pooled: str) -> None:
        super().__init__()
        weights, biases = zip(*(folded(state, name) for name in (*names, pooled)), strict=True)
        self.widths = [len(bias) for bias in biases]
        self.register_buffer("weight", torch.cat(weights))
        self.register_buffer("bias", torch.cat([*biases[:-1], torch.zeros_like(biases[-1])]))
        self.register_buffer("pooled_bias", biases[-1][:, None, None])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        *branches, pooled = F.conv2d(x, self.weight, self.bias).split(self.widths, 1)
        # TensorFlow's average leaves the padding out
        pooled = F.avg_pool2d(pooled, 3, stride=1, padding=1, count_include_pad=False)
        return *(branch.relu() for branch in branches), pooled.add_(self.pooled_bias).relu_()


def _chain(state: State, block: str, *branches: str) -> nn.Sequential:
    return nn.Sequential(*(Convolution(state, f"{block}.{branch}") for branch in branches))


class Branches(nn.Module):
    """35 x 35 and 17 x 17: branches that start with a 1x1 convolution, and a pooled one.

    branches: the names of each branch's convolutions.
    """

    def __init__(self, state: State, block: str, *branches: Sequence[str]) -> None:
        super().__init__()
        first = (f"{block}.{names[0]}" for names in branches)
        self.first = Pointwise(state, *first, pooled=f"{block}.branch_pool")
        self.rest = nn.ModuleList(_chain(state, block, *names[1:]) for names in branches)

    def forward(self, x: Tensor) -> Tensor:
        *starts, pooled = self.first(x)
        ends = [rest(start) for rest, start in zip(self.rest, starts, strict=True)]
        return torch.cat([*ends, pooled], 1)


class BlockB(nn.Module):
    """35 x 35 to 17 x 17."""

    def __init__(self, state: State, block: str) -> None:
        super().__init__()
        self.three = Convolution(state, f"{block}.branch3x3", stride=2, padding=0)
        self.deep = _chain(state, block, "branch3x3dbl_1", "branch3x3dbl_2")
        self.deep.append(Convolution(state, f"{block}.branch3x3dbl_3", stride=2, padding=0))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.three(x), self.deep(x), F.max_pool2d(x, 3, 2)], 1)


class BlockD(nn.Module):
    """17 x 17 to 8 x 8."""

    def __init__(self, state: State, block: str) -> None:
        super().__init__()
        self.first = Convolution(state, f"{block}.branch3x3_1", f"{block}.branch7x7x3_1")
        self.three = Convolution(state, f"{block}.branch3x3_2", stride=2, padding=0)
        self.seven = _chain(state, block, "branch7x7x3_2", "branch7x7x3_3")
        self.seven.append(Convolution(state, f"{block}.branch7x7x3_4", stride=2, padding=0))

    def forward(self, x: Tensor) -> Tensor:
        three, seven = self.first(x).chunk(2, 1)
        return torch.cat([self.three(three), self.seven(seven), F.max_pool2d(x, 3, 2)], 1)


class BlockE(nn.Module):
    """8 x 8: branches that end in 1x3 and 3x1 convolutions, concatenated.

    The last block of the network uses max pooling, as in TensorFlow.
    """

    def __init__(self, state: State, block: str, *, last: bool) -> None:
        super().__init__()
        first = [f"{block}.{name}" for name in ("branch1x1", "branch3x3_1", "branch3x3dbl_1")]
        pooled = f"{block}.branch_pool"
        self.last = last
        if last:
            self.first: nn.Module = Convolution(state, *first)
            self.widths = [len(state[f"{name}.conv.weight"]) for name in first]
            self.pooled = Convolution(state, pooled)
        else:
            self.first = Pointwise(state, *first, pooled=pooled)
        self.wide = Convolution(state, f"{block}.branch3x3_2a")
        self.high = Convolution(state, f"{block}.branch3x3_2b")
        self.deep = Convolution(state, f"{block}.branch3x3dbl_2")
        self.deep_wide = Convolution(state, f"{block}.branch3x3dbl_3a")
        self.deep_high = Convolution(state, f"{block}.branch3x3dbl_3b")

    def forward(self, x: Tensor) -> Tensor:
        """(N, n_in, 8, 8) -> (N, 2048, 8, 8)."""
        if self.last:
            one, three, deep = self.first(x).split(self.widths, 1)
            pooled = self.pooled(F.max_pool2d(x, 3, stride=1, padding=1))
        else:
            one, three, deep, pooled = self.first(x)
        deep = self.deep(deep)
        ends = self.wide(three), self.high(three), self.deep_wide(deep)
        return torch.cat([one, *ends, self.deep_high(deep), pooled], 1)


class InceptionV3(nn.Module):
    """Images (N, 3, 299, 299) in [-1, 1) to features (N, 2048) and logits without bias (N, 1008).

    state: torch-fidelity's weights by name.
    """

    classes: Tensor

    def __init__(self, state: State) -> None:
        super().__init__()
        if (shape := tuple(state["fc.weight"].shape)) != (1008, 2048):
            raise ValueError(f"fc.weight is {shape}, not (1008, 2048)")  # torchvision's, say
        self.stem = nn.Sequential(
            Convolution(state, "Conv2d_1a_3x3", stride=2, padding=0),
            Convolution(state, "Conv2d_2a_3x3", padding=0),
            Convolution(state, "Conv2d_2b_3x3"),
            nn.MaxPool2d(3, 2),
            Convolution(state, "Conv2d_3b_1x1"),
            Convolution(state, "Conv2d_4a_3x3", padding=0),
            nn.MaxPool2d(3, 2),
        )
        self.blocks = nn.Sequential(
            *(Branches(state, f"Mixed_5{letter}", *OF_BLOCK_A) for letter in "bcd"),
            BlockB(state, "Mixed_6a"),
            *(Branches(state, f"Mixed_6{letter}", *OF_BLOCK_C) for letter in "bcde"),
            BlockD(state, "Mixed_7a"),
            BlockE(state, "Mixed_7b", last=False),
            BlockE(state, "Mixed_7c", last=True),
        )
        self.register_buffer("classes", state["fc.weight"].float().T.contiguous())

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.blocks(self.stem(x)).mean((2, 3))
        return features, features @ self.classes
