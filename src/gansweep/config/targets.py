"""Instantiate objects of a configuration, and decide what a `_target_` may name.

A configuration is data. It may name gansweep's classes that are parts of a run, the functions
listed here, the classes of torch.nn and torch.optim, and all that a package defines that the user
allows. Every target is imported and checked before any of them is called.
"""

import functools
import importlib
import inspect
import os
import pkgutil
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from omegaconf import OmegaConf

from gansweep.config.permissions import allowed_packages
from gansweep.errors import UserError, nearest

ROOMS = ("callbacks", "data", "layers", "metrics", "models", "terms")
TORCH = ("torch.nn", "torch.optim")
FUNCTIONS = {
    "gansweep.terms.schedules": ("cosine", "geometric", "halving", "linear_decay"),
    "gansweep.callbacks.tracking": (
        *("csv_logger", "mlflow_logger", "tensorboard_logger", "wandb_logger"),
    ),
    "torch.nn.init": (
        *("constant_", "dirac_", "eye_", "kaiming_normal_", "kaiming_uniform_", "normal_"),
        *("ones_", "orthogonal_", "sparse_", "trunc_normal_", "uniform_", "xavier_normal_"),
        *("xavier_uniform_", "zeros_"),
    ),
}
SPECIAL = ("_target_", "_partial_", "_args_", "_convert_", "_recursive_")
Factory = Callable[..., Any]


def instantiate(node: Any, *, extra_packages: Sequence[str] = (), **kwargs: Any) -> Any:
    """Build the object that a node's `_target_` names; `kwargs` are added to its arguments.

    Nested nodes with a `_target_` are built first. `_partial_: true` gives a functools.partial,
    `_args_` holds positional arguments, `_recursive_: false` leaves nested nodes unchanged.
    extra_packages: allowed for this call, in addition to those of the process.
    Raises: UserError if a `_target_` is not allowed (nothing is called then), or if the arguments
        do not fit.
    """
    content = node
    if OmegaConf.is_config(node):
        content = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    packages = (*extra_packages, *allowed_packages())
    if packages and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # the user's package may be here; `python -m` does the same
    found = {target: resolved(target, packages) for target in _targets_in(content)}
    return _built(content, found, kwargs)


def resolved(target: str, extra_packages: Sequence[str] = ()) -> Factory:
    """The class or function that a `_target_` names.

    Raises: UserError if it is not allowed or cannot be imported.
    """
    parts = target.split(".")
    if not all(re.fullmatch(r"[^\W\d]\w*", part) for part in parts) or len(parts) < 2:
        raise UserError(f"_target_ '{target}' is not a dotted path such as torch.optim.Adam.")
    if parts[0] in extra_packages:
        return _of_package(target, parts)
    module_name = ".".join(parts[:-1])
    is_own = parts[0] == "gansweep" and parts[1] in ROOMS
    if is_own or module_name in TORCH or module_name.startswith(tuple(f"{m}." for m in TORCH)):
        try:
            found = getattr(importlib.import_module(module_name), parts[-1])
        except (ImportError, AttributeError) as error:
            raise _unknown(target, error) from error
        if parts[-1] in FUNCTIONS.get(module_name, ()) or _is_part(found):
            return found
    fix = f"If you trust it, allow it with 'extra_packages=[{parts[0]}]' on the command line."
    fix += nearest(parts[0], extra_packages)
    if parts[0] in ("gansweep", "torch"):
        fix = "Name one of these."
    raise UserError(
        f"A configuration may not call the _target_ '{target}'. It may call gansweep's own parts "
        "of a run, the classes of torch.nn and torch.optim, the initialisers of torch.nn.init, "
        f"and gansweep's schedules and trackers. {fix}"
    )


def _unknown(target: str, error: Exception) -> UserError:
    return UserError(f"_target_ cannot be imported: '{target}' ({' '.join(str(error).split())}).")


def _is_part(found: Any) -> bool:
    """Whether it is a class of gansweep or PyTorch that can be a part of a run."""
    if not inspect.isclass(found):
        return False
    if found.__module__.startswith("torch."):
        from torch import nn, optim

        kinds: tuple[type, ...] = (nn.Module, optim.Optimizer, optim.lr_scheduler.LRScheduler)
        return found.__module__.startswith(TORCH) and issubclass(found, kinds)
    return found.__module__.startswith("gansweep.") and issubclass(found, _own_kinds())


@functools.cache
def _own_kinds() -> tuple[type, ...]:
    """The base classes of everything that a run is composed of."""
    from pytorch_lightning import Callback
    from torch import nn

    from gansweep.config.ranges import Scheduled
    from gansweep.data.source import DataSource
    from gansweep.metrics.panel import Panel
    from gansweep.terms.losses import Loss
    from gansweep.terms.term import Term

    return nn.Module, Loss, Term, DataSource, Panel, Callback, Scheduled


def _of_package(target: str, parts: Sequence[str]) -> Factory:
    """A name that the user's package defines itself; a name that it imports is refused."""
    found: Any = _module(parts[0], target)
    for number, name in enumerate(parts[1:], start=1):
        owner = ".".join(parts[:number])
        # only in the user's own packages, not in those that they import
        path = getattr(found, "__path__", ()) if getattr(found, "__name__", "") == owner else ()
        if not hasattr(found, name) and path and find_spec(f"{owner}.{name}"):
            _module(f"{owner}.{name}", target)
        if not hasattr(found, name):
            known = [*dir(found), *(module.name for module in pkgutil.iter_modules(path))]
            raise UserError(f"_target_ '{target}': {owner} has no '{name}'.{nearest(name, known)}")
        found = getattr(found, name)
    home = str(getattr(found, "__module__", None))
    if not callable(found) or home.partition(".")[0] != parts[0]:
        raise UserError(
            f"_target_ '{target}' is not defined by the package {parts[0]} (it comes from {home}). "
            "If you trust the package that defines it, name that one in extra_packages=."
        )
    return found


def _module(name: str, target: str) -> ModuleType:
    """Raises: UserError if a module of the user, or what it imports, is not there."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise UserError(
                f"_target_ '{target}': the module {error.name} is not there, which {name} imports. "
                "Install it, or correct the import."
            ) from error
        raise UserError(
            f"_target_ '{target}': the package {name} is not in {os.getcwd()}, nor where Python "
            "looks. Start gansweep in the folder that holds it, or set PYTHONPATH to that folder."
        ) from error
    except ImportError as error:
        raise _unknown(target, error) from error


def _targets_in(content: Any) -> list[str]:
    """Every `_target_` at any depth, in the order of the file."""
    if isinstance(content, list):
        return [target for value in content for target in _targets_in(value)]
    if not isinstance(content, Mapping):
        return []
    inside = [target for value in content.values() for target in _targets_in(value)]
    if "_target_" not in content:
        return inside
    if not isinstance(content["_target_"], str):
        raise UserError(
            f"_target_={content['_target_']} is not a dotted path such as torch.optim.Adam."
        )
    for key in content:
        if re.fullmatch(r"_\w+_", str(key)) and key not in SPECIAL:
            raise UserError(
                f"{content['_target_']} has the unknown key {key}. Use one of {', '.join(SPECIAL)}."
            )
    return [content["_target_"], *inside]


def _built(content: Any, found: Mapping[str, Factory], more: Mapping[str, Any]) -> Any:
    if isinstance(content, list):
        return [_built(value, found, {}) for value in content]
    if not isinstance(content, Mapping):
        return content
    given = {str(k): v for k, v in content.items() if k not in SPECIAL}
    positional = content.get("_args_", [])
    if content.get("_recursive_", True):
        given = {key: _built(value, found, {}) for key, value in given.items()}
        positional = _built(positional, found, {})
    if "_target_" not in content:
        return given | dict(more)
    factory = found[content["_target_"]]
    if not isinstance(positional, list):
        raise UserError(
            f"_args_ of {content['_target_']} is not a list. Write it as _args_: [...]."
        )
    if content.get("_partial_", False):
        return functools.partial(factory, *positional, **given, **more)
    try:
        return factory(*positional, **{**given, **more})
    except (TypeError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _misfit(content["_target_"], error) from error


def _misfit(target: str, error: Exception) -> UserError:
    refused = r"(\w+)(?:\.__init__)?\(\) (got an unexpected .*|missing .* arguments?:) ('\w+'.*)"
    said = re.search(refused, str(error))
    if said:
        # a model builds its networks: the class that refuses the option may be one of those
        owner = target if target.endswith(f".{said[1]}") else f"{said[1]}, part of {target},"
        lacks = said[2].startswith("missing")
        return UserError(
            f"{owner} {'needs a value of' if lacks else 'has no option'} {said[3]}. "
            f"{'Add it' if lacks else 'Remove it'}, or see the options with "
            "'gansweep train --cfg job'."
        )
    place = traceback.extract_tb(error.__traceback__)[-1]
    return UserError(
        f"{target} cannot be built with these options: {' '.join(str(error).split())} "
        f"({Path(place.filename).name}, line {place.lineno}). 'gansweep train --cfg job' shows "
        "the options."
    )
