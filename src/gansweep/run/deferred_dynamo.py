"""torch._dynamo, which torch.compile traces with, imported once something is compiled.

It is more than a third of the training stack's imports. Training that is not compiled needs nothing
of it: torchvision and Lightning import a name each, and an optimizer tells it where not to trace.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import FunctionType, ModuleType
from typing import Any

DYNAMO = "torch._dynamo"
UTILS = "torch._dynamo.utils"


def defer_dynamo() -> None:
    """Put stand-ins into sys.modules, which import the real modules when asked for more than an
    import of the training stack and a step of it need. Nothing happens if one is imported already.
    """
    torch = find_spec("torch")
    if torch is None or DYNAMO in sys.modules or UTILS in sys.modules:
        return
    path = torch.submodule_search_locations
    for name, given in GIVEN.items():
        spec = PathFinder.find_spec(name, path)
        if spec is None:
            return
        sys.modules[name] = Deferred(spec, given)
        path = spec.submodule_search_locations
    sys.meta_path.insert(0, _Submodules())


class Deferred(ModuleType):
    """Stands for a module that is not imported yet."""

    def __init__(self, spec: ModuleSpec, given: dict[str, Any]) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__file__ = spec, spec.origin
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations
        vars(self).update(given)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # whoever looks through sys.modules wants none of them imported
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        return getattr(_real(self.__name__), name)


class _Submodules(MetaPathFinder):
    """Imports the real package before one of its modules: the interpreter takes the stand-in for
    it, and would run a module again that the package has imported."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not fullname.startswith(f"{DYNAMO}.") or not _is_deferred():
            return None
        _real(DYNAMO)
        module = sys.modules.get(fullname)
        return None if module is None else ModuleSpec(fullname, _Imported(module))


class _Imported(Loader):
    """Gives a module that is imported."""

    def __init__(self, module: ModuleType) -> None:
        self.module, self.spec = module, module.__spec__
        # the interpreter would take it before ours, and run the module again
        module.__spec__ = None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec


def _is_deferred() -> bool:
    return isinstance(sys.modules.get(DYNAMO), Deferred)


def _real(name: str) -> ModuleType:
    if _is_deferred():
        for one, given in GIVEN.items():
            stand_in = vars(sys.modules.pop(one))
            for attribute in given:  # who holds the stand-in gets the real one's from now on
                del stand_in[attribute]
        vars(sys.modules["torch"]).pop("_dynamo", None)
        import_module(DYNAMO)
    return import_module(name)


def graph_break(msg: str = "") -> None:
    """Nothing is traced while the real module is not imported."""


def disable(fn: Any = None, recursive: bool = True, **how: Any) -> Any:
    """A function that is not traced, as optimizers ask for.   Without fn: a decorator."""
    if not isinstance(fn, FunctionType):
        return _real(DYNAMO).disable(fn, recursive, **how)
    disabled = functools.cache(lambda: _real(DYNAMO).disable(fn, recursive, **how))

    @functools.wraps(fn)
    def untraced(*args: Any, **kwargs: Any) -> Any:
        function: Callable[..., Any] = fn if _is_deferred() else disabled()
        return function(*args, **kwargs)

    return untraced


def is_compile_supported(device_type: Any) -> Any:
    """torchvision asks it before it compiles an operator."""
    return _real(UTILS).is_compile_supported(device_type)


class _Kind(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return not _is_deferred() and isinstance(instance, _real(DYNAMO).OptimizedModule)


class OptimizedModule(metaclass=_Kind):
    """A compiled network; there is none while the real module is not imported."""


GIVEN: dict[str, dict[str, Any]] = {
    DYNAMO: {"graph_break": graph_break, "disable": disable, "OptimizedModule": OptimizedModule},
    UTILS: {"is_compile_supported": is_compile_supported},
}
