"""The modules of classes that older configurations name: old name -> today's name.

Old names hold wherever a configuration is read: on the command line, in the user's own files, in
the record of a run. A sweep keeps the words that it began with, so that it is found again by them.
"""

from typing import Any

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


def with_new_targets(content: Any) -> Any:
    """Plain values of a configuration, with today's name in each `_target_`."""
    if isinstance(content, list):
        return [with_new_targets(value) for value in content]
    if not isinstance(content, dict):
        return content
    return {
        key: new_target(value)
        if key == "_target_" and isinstance(value, str)
        else with_new_targets(value)
        for key, value in content.items()
    }


def new_target(target: str) -> str:
    """Today's name of a target: gansweep.terms.losses.Hinge for gansweep.losses.Hinge."""
    module, dot, name = target.rpartition(".")
    return f"{MODULES.get(module, module)}{dot}{name}"
