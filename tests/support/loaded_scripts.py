"""The files of scripts/ as modules."""

import importlib.util
import sys
from types import ModuleType

from places import TOP


def script(path: str) -> ModuleType:
    """A new module of scripts/PATH.py.   path: such as "figures" or "guide/catalogue"."""
    name = f"scripts_{path.replace('/', '_')}"
    spec = importlib.util.spec_from_file_location(name, TOP / "scripts" / f"{path}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    return module
