"""What of a run can be refused before PyTorch is imported, which takes seconds."""

import os
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

from gansweep.errors import UserError
from gansweep.records.record import refuse_taken

GPUS = Path("/proc/driver/nvidia/gpus")  # the driver's list
# the devices of other drivers that PyTorch's "cuda" can mean: Jetson, WSL, ROCm
OTHER_GPUS = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")))
FOLDERS = ("gansweep.data.folders.", "gansweep.data.pair_folders.")


def refuse_early(cfg: DictConfig) -> None:
    """Raises: UserError for a name that is taken, a device that is not there, a batch that cannot
    be split, and a folder of images that does not exist."""
    if cfg.name is not None:
        refuse_taken(cfg.runs_dir, cfg.group or str(cfg.choices.data), str(cfg.name))
    _check_devices(cfg.trainer.accelerator, cfg.trainer.devices)
    if isinstance(cfg.trainer.devices, int):
        check_batch_size(cfg.batch_size, cfg.trainer.devices, cfg.model.accumulate)
    _check_folders(cfg.data)


def check_batch_size(batch_size: int, devices: int, accumulate: int) -> None:
    """Raises: UserError if a batch cannot be split evenly over devices and accumulated parts."""
    parts = devices * accumulate
    if batch_size % parts:
        raise UserError(
            f"batch_size={batch_size} is not divisible by {parts} ({devices} device(s) x "
            f"accumulate={accumulate}): use batch_size={-(-batch_size // parts) * parts}."
        )


def check_device_count(wanted: int, available: int) -> None:
    """Raises: UserError for more GPUs than there are."""
    if wanted > available:
        raise UserError(
            f"trainer.devices={wanted}, but this machine has {available} GPU(s). Use "
            f"trainer.devices={available} or fewer."
        )


def no_gpu(who: str) -> UserError:
    """The refusal of trainer.accelerator=cuda.   who: finds none."""
    return UserError(
        f"trainer.accelerator=cuda, but {who} finds no GPU. Use trainer=cpu, or check the driver "
        "with 'nvidia-smi'."
    )


def _check_devices(accelerator: str, devices: int | str) -> None:
    """Where the driver cannot be asked, PyTorch is asked later."""
    if accelerator != "cuda":
        return
    listed = [*GPUS.glob("*/information")]
    if not listed and not any(path.exists() for path in OTHER_GPUS):
        raise no_gpu("the operating system")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed and visible is None and isinstance(devices, int):
        check_device_count(devices, len(listed))


def _check_folders(data: DictConfig) -> None:
    for key in _folder_options(data):
        root = Path(str(data[key])).expanduser()
        if not root.is_dir():
            problem = "is a file" if root.exists() else "does not exist"
            raise UserError(
                f"data.{key}={data[key]} {problem}. Set data.{key}= to a folder of images (an "
                "absolute path, or relative to the current directory)."
            )


def _folder_options(data: DictConfig) -> Iterable[str]:
    if not str(data.get("_target_")).startswith(FOLDERS):
        return []
    return [
        str(k) for k in data if str(k).startswith(("root", "test_root")) and data[k] is not None
    ]
