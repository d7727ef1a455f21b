"""Where a result comes from: the versions, the commit, the machine and the time."""

import contextlib
import functools
import os
import platform
import subprocess
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("gansweep", "torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core")


def origin() -> dict[str, Any]:
    """`versions` of the packages, and the `git_commit` of a checkout or None."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return {"versions": versions, "git_commit": _git_commit()}


@functools.cache
def _git_commit() -> str | None:
    top = Path(__file__).parents[3]
    if not (top / ".git").exists():
        return None
    words = ["git", "-C", str(top), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.check_output(
            words, stderr=subprocess.DEVNULL, text=True, timeout=5
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return None


def hardware(accelerator: str, devices: int) -> dict[str, Any]:
    """The machine that a run was trained on; `device` is the name of the GPU or the processor."""
    device = _processor()
    if accelerator == "cuda":
        import torch

        device = torch.cuda.get_device_name()
    return {
        "accelerator": accelerator,
        "device": device,
        "devices": devices,
        "cpu_cores": os.cpu_count(),
        "system": platform.system(),
    }


def now() -> str:
    """The time in UTC to the second, in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@functools.cache
def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
