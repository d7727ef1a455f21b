"""Imported once by the server that trials are forked from: it loads the training stack."""

import atexit
import contextlib
import gc
import importlib
import os

from gansweep.engine.failures import is_memory_word
from gansweep.run.quick_imports import quick_imports


def warm_up() -> None:
    """Import all that a trial needs, once, into memory that the forked trials share."""
    try:
        with quick_imports():
            importlib.import_module("gansweep.run.train")
    except ImportError as error:  # the server would ignore it and fork from half a stack
        if is_memory_word(str(error)):
            raise MemoryError(str(error)) from error
        raise
    from gansweep.config.compose import compose
    from gansweep.errors import UserError

    with contextlib.suppress(UserError):  # a trial that cannot be composed reports that itself
        compose()  # Hydra finds its plugins and builds its grammar, which takes 0.4 s
    gc.freeze()  # the children's garbage collectors leave these pages shared
    # the trials end with the server: it must not take seconds to shut the training stack down
    atexit.register(os._exit, 0)


warm_up()
