"""Imported once by the server that trials are forked from, and by nothing else.

It loads the training stack, and lets Hydra find its plugins and build its grammar, which would
take each trial 0.4 s of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os

from gansweep.engine.failures import is_memory_word


def warm_up() -> None:
    """Import all that a trial needs, once, into memory that the forked trials share."""
    try:
        importlib.import_module("gansweep.run.train")
    except ImportError as error:  # which the server would pass over, and fork from half a stack
        if is_memory_word(str(error)):
            raise MemoryError(str(error)) from error
        raise
    from gansweep.config.compose import compose
    from gansweep.errors import UserError

    with contextlib.suppress(UserError):  # a trial that cannot be composed says so itself
        compose()
    gc.freeze()  # the children's garbage collectors leave these pages shared
    # The trials end with the server, which must not take seconds to tear the training stack down.
    atexit.register(os._exit, 0)


warm_up()
