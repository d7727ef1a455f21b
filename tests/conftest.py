"""Shared by every test: no tracker's account is touched, and what a machine lacks is skipped."""

import os
import shutil

import pytest

# Two cores run nothing faster with more threads, and tiny tensors much slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never writes to the Weights & Biases account of the person who runs it."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not _has_cuda():
        _skip(gpu, "no CUDA device")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        browser = [item for item in items if item.get_closest_marker("browser")]
        _skip(browser, "no Chromium on PATH (Debian: apt install chromium)")


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _skip(items: list[pytest.Item], reason: str) -> None:
    for item in items:
        item.add_marker(pytest.mark.skip(reason=reason))
