"""The modules of classes that older configurations name: old name -> today's name."""

from __future__ import annotations

import re

MODULES = {
    "gansweep.losses": "gansweep.terms.losses",
    "gansweep.penalties": "gansweep.terms.penalties",
    "gansweep.augment": "gansweep.terms.augment",
    "gansweep.schedules": "gansweep.terms.schedules",
    "gansweep.tracking": "gansweep.callbacks.tracking",
    "gansweep.callbacks.guard": "gansweep.callbacks.stop_on_failure",
    "gansweep.callbacks.stopping": "gansweep.callbacks.stop_when_done",
    "gansweep.sweep.child": "gansweep.engine.child",
}
TARGET = re.compile(rf"(_target_['\"]?\s*[:=]\s*['\"]?)({'|'.join(map(re.escape, MODULES))})(?=\.)")


def with_new_names(text: str) -> str:
    """The text of a configuration, with today's module names in each `_target_`."""
    return TARGET.sub(lambda found: found[1] + MODULES[found[2]], text)


def new_target(target: str) -> str:
    """Today's name of a target: gansweep.terms.losses.Hinge for gansweep.losses.Hinge."""
    module, _, name = target.rpartition(".")
    return f"{MODULES.get(module, module)}.{name}"
