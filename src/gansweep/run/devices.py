"""The device, the number of processes and the precision of a run, checked before training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import torch
from torch import nn

from gansweep.config.ranges import Range
from gansweep.errors import UserError
from gansweep.run.early import check_device_count, no_gpu

if TYPE_CHECKING:
    from pytorch_lightning.plugins import Precision


class TrainerOptions(TypedDict):
    """conf/trainer/."""

    accelerator: Literal["auto", "cpu", "cuda"]
    devices: Annotated[int, Range(1, 1024)] | Literal["auto"]
    precision: Literal["32-true", "bf16-mixed", "64-true"]  # penalties overflow in float16
    compile: bool | Literal["auto"]
    threads: Annotated[int, Range(1, 1024)] | None


def accelerator(wanted: str) -> str:
    """ "cuda" or "cpu" for trainer.accelerator.   Raises: UserError for "cuda" without a GPU."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise no_gpu("PyTorch")
    return wanted


def device_count(wanted: int | str, accelerator: str) -> int:
    """Processes of a run for trainer.devices.   Raises: UserError for more GPUs than there are."""
    available = torch.cuda.device_count() if accelerator == "cuda" else None
    if wanted == "auto":
        return available or 1
    count = int(wanted)
    if available is not None:
        check_device_count(count, available)
    return count


def numerics(precision: str, accelerator: str, networks: Iterable[nn.Module]) -> dict[str, Any]:
    """How the networks compute, for the record: what changes a result's last digits.

    TF32 is of NVIDIA GPUs: 10 bits of fraction in matrix products and convolutions of float32.
    """
    on_gpu = accelerator == "cuda"
    weights = [w for network in networks for w in network.parameters() if w.ndim == 4]
    return {
        "precision": precision,
        "tf32_matmul": on_gpu and torch.backends.cuda.matmul.allow_tf32,
        "tf32_convolutions": on_gpu and torch.backends.cudnn.allow_tf32,
        "channels_last": bool(weights)
        and all(w.is_contiguous(memory_format=torch.channels_last) for w in weights)
        and not all(w.is_contiguous() for w in weights),
    }


def check_precision(precision: str, accelerator: str) -> None:
    """Raises: UserError for a trainer.precision that would be very slow."""
    slow = accelerator == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported()
    if precision == "bf16-mixed" and slow:
        raise UserError(
            "This CPU has no bfloat16 arithmetic: bf16-mixed would be about 15 times slower. "
            "Use trainer.precision=32-true."
        )


def step_precision(precision: str, accelerator: str) -> Precision:
    """What Lightning's trainer puts around a training step for a trainer.precision."""
    from pytorch_lightning.plugins import DoublePrecision, MixedPrecision, Precision

    if precision == "bf16-mixed":
        return MixedPrecision("bf16-mixed", accelerator)
    return DoublePrecision() if precision == "64-true" else Precision()
