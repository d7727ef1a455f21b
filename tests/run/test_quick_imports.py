"""The training stack's import: what rests meanwhile, and what is there again afterwards."""

import atexit
import gc
import importlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gansweep.run.quick_imports import quick_imports


@pytest.fixture
def before_torch(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A process that has imported neither PyTorch nor SciPy yet; what was called in it."""
    called: list[str] = []
    for name in [name for name in sys.modules if name.startswith("scipy")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(gc, "freeze", lambda: called.append("freeze"))

    def register(function: Callable[[], Any]) -> None:
        called.append(f"unfreeze at exit {function is gc.unfreeze}")

    monkeypatch.setattr(atexit, "register", register)
    return called


def test_half_of_scipy_is_not_imported_for_torchmetrics_and_is_there_later(
    before_torch: list[str],
) -> None:
    with quick_imports():
        assert not gc.isenabled()
        signal = importlib.import_module("scipy.signal")
        assert hasattr(signal, "hamming") and not hasattr(signal, "windows")
        assert "scipy.stats" not in sys.modules
    assert gc.isenabled() and before_torch == ["freeze", "unfreeze at exit True"]
    assert "scipy.signal" not in sys.modules
    scipy: Any = importlib.import_module("scipy")
    assert "signal" not in vars(scipy)


def test_an_error_of_an_import_leaves_nothing_changed(before_torch: list[str]) -> None:
    with pytest.raises(ImportError), quick_imports():
        raise ImportError
    assert gc.isenabled() and "scipy.signal" not in sys.modules


def test_it_leaves_a_process_alone_that_has_imported_pytorch(
    before_torch: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", sys)
    with quick_imports():
        assert gc.isenabled() and "scipy.signal" not in sys.modules
    assert before_torch == []
