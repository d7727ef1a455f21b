"""PyTorch and Lightning imported in half of the time."""

from __future__ import annotations

import atexit
import contextlib
import gc
import sys
from collections.abc import Iterator
from types import ModuleType

from gansweep.run.deferred_dynamo import defer_dynamo

PATCHED = "scipy.signal"


@contextlib.contextmanager
def quick_imports() -> Iterator[None]:
    """Import the training stack inside; it does nothing if PyTorch is imported already.

    The garbage collector rests: it would look through a million new objects again and again, which
    all stay. Afterwards it leaves them alone, until the interpreter ends.

    torchmetrics imports scipy.signal, and with it half of SciPy, only to give it back a function
    that a package for speech misses. It gets an empty module in its place, for as long as this
    takes: whoever imports scipy.signal later gets the real one. The first who compiles imports what
    torch.compile needs.
    """
    if "torch" in sys.modules:
        yield
        return
    collected = gc.isenabled()
    gc.disable()
    defer_dynamo()
    try:
        with _placeholder():
            yield
    finally:
        if collected:
            gc.enable()
        gc.freeze()
        atexit.register(gc.unfreeze)  # else libraries in C++ report what they leak


@contextlib.contextmanager
def _placeholder() -> Iterator[None]:
    if PATCHED in sys.modules:
        yield
        return
    empty = ModuleType(PATCHED)
    empty.hamming = None  # type: ignore[attr-defined]  # what torchmetrics looks for
    sys.modules[PATCHED] = empty
    try:
        yield
    finally:
        if sys.modules.get(PATCHED) is empty:
            del sys.modules[PATCHED]
        scipy = sys.modules.get("scipy")
        if scipy is not None and vars(scipy).get("signal") is empty:
            delattr(scipy, "signal")
