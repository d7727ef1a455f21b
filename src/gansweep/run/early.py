"""What of a run can be refused before PyTorch is imported, which takes seconds."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from omegaconf import DictConfig

from gansweep.config.signatures import declared, owner
from gansweep.errors import UserError
from gansweep.models.refusals import NO_SOURCES, NOTHING_TO_LEARN, refuse_classes, refuse_turns
from gansweep.records.find import existing_run
from gansweep.records.record import RunRecord, refuse_taken

GPUS = Path("/proc/driver/nvidia/gpus")  # the driver's list
# the devices of other drivers that PyTorch's "cuda" can mean: Jetson, WSL, ROCm
OTHER_GPUS = tuple(map(Path, ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")))
FOLDERS = ("gansweep.data.folders.", "gansweep.data.pair_folders.")


def refuse_early(cfg: DictConfig) -> None:
    """Raises: UserError for a name that is taken, initial weights or a device that are not there, a
    batch that cannot be split, a folder of images that does not exist, and options of the model
    that exclude each other or the data."""
    if cfg.name is not None:
        refuse_taken(cfg.runs_dir, cfg.group or str(cfg.choices.data), str(cfg.name))
    if cfg.get("init") is not None:
        initial_run(str(cfg.init))
    _check_devices(cfg.trainer.accelerator, cfg.trainer.devices)
    if isinstance(cfg.trainer.devices, int):
        check_batch_size(cfg.batch_size, cfg.trainer.devices, cfg.model.accumulate)
        check_packs(cfg.batch_size, cfg.trainer.devices, cfg.model)
    _check_folders(cfg.data)
    check_model(cfg.model, str(cfg.data.get("_target_")))


def check_model(model: DictConfig, data: str) -> None:
    """Raises: UserError for what the model's constructor would refuse, as far as options say.

    data: the `_target_` of the data.
    """
    target = str(model.get("_target_"))
    if declared(target, "needs_source") and owner(data, "source_shape") == "DataSource":
        raise UserError(NO_SOURCES)
    refuse_turns(
        n_players=len(model.get("optimizer") or {}),
        n_generator=model.get("n_generator", 1),
        shared_noise=model.get("shared_noise", True),
        simultaneous=model.get("simultaneous", False),
        generator_batch=model.get("generator_batch", 1),
        from_noise=declared(target, "from_noise"),
        makes_without_noise=declared(target, "makes_without_noise"),
    )
    if "conditional" in model:
        name = target.rpartition(".")[2]
        refuse_classes(model.conditional, declared(target, "classes"), name)
    terms = ("terms", "penalties", "feature_matching")
    if model.get("adversarial", 1) == 0 and not any(model.get(key) for key in terms):
        raise UserError(NOTHING_TO_LEARN)


def parts_of_init(init: str) -> tuple[str, str]:
    """The directory that init= names, and the word after its @; without one, "best"."""
    found = re.fullmatch(r"(.+)@(best|last|\d+\.?\d*)", init)
    return (found[1], found[2]) if found else (init, "best")


def initial_run(init: str) -> tuple[RunRecord, str]:
    """The run whose weights init= names, and which of its checkpoints: "best", "last" or kimg.

    init: RUN, RUN@best, RUN@last or RUN@KIMG; without a word, "best".
    Raises: UserError if there is no such run or it has no checkpoint.
    """
    directory, which = parts_of_init(init)
    record = existing_run(Path(directory))
    if not record.last.exists():
        raise UserError(
            f"init={init}: {directory} has no checkpoint of gansweep, so there are no weights to "
            "start with. It was stopped before the first one, 'gansweep prune' removed them, or "
            "it was recorded by gansweep.track. Give another run."
        )
    return record, which


def check_batch_size(batch_size: int, devices: int, accumulate: int) -> None:
    """Raises: UserError if a batch cannot be split evenly over devices and accumulated parts."""
    parts = devices * accumulate
    if batch_size % parts:
        raise UserError(
            f"batch_size={batch_size} is not divisible by {parts} ({devices} device(s) x "
            f"accumulate={accumulate}): use batch_size={-(-batch_size // parts) * parts}."
        )


def check_packs(batch_size: int, devices: int, model: DictConfig) -> None:
    """Raises: UserError if a batch, or each part of it, cannot be cut into packs of samples."""
    size = model.get("packing", 1)
    parts = devices * model.accumulate * size
    if batch_size % parts:
        raise UserError(
            f"batch_size={batch_size} cannot be cut into packs of model.packing={size} samples "
            f"({devices} device(s) x accumulate={model.accumulate}): use "
            f"batch_size={-(-batch_size // parts) * parts}."
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
