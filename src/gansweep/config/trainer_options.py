"""Options of Lightning's Trainer that gansweep passes on: `+trainer.NAME=VALUE`.

Their names and kinds are read from Lightning's source, since importing it takes seconds.
"""

import ast
import functools
import importlib.util
from pathlib import Path

from gansweep.config.kinds import Anything, Kind, Object, OneOf
from gansweep.config.signatures import kind_of

# Options that gansweep sets itself, or that manual optimization does not read, and what to use.
REFUSED = {
    "accumulate_grad_batches": "model.accumulate=",
    "callbacks": "callbacks=, or +callbacks.NAME._target_= for one of your own",
    "check_val_every_n_epoch": "callbacks.quality.every_kimg=",
    "default_root_dir": "runs_dir=, group= and name=",
    "enable_autolog_hparams": "tracker=",
    "enable_checkpointing": "callbacks.checkpoint.every_seconds=, or '~callbacks.checkpoint'",
    "enable_model_summary": "the parameters that a run prints at its start",
    "enable_progress_bar": "a pipe, as in `gansweep train 2>&1 | cat`, where lines replace the bar",
    "barebones": "callbacks=none metrics=none tracker=none",
    "fast_dev_run": "debug=fast",
    "gradient_clip_algorithm": "model.clip_grad_norm=",
    "gradient_clip_val": "model.clip_grad_norm=",
    "inference_mode": "gansweep evaluate",
    "limit_predict_batches": "gansweep generate",
    "limit_test_batches": "metrics.n_held_out=",
    "limit_val_batches": "metrics.n_held_out= or metrics.n_fake=",
    "log_every_n_steps": "callbacks.losses.every_steps=",
    "logger": "tracker=",
    "max_epochs": "budget_kimg=",
    "max_steps": "budget_kimg=",
    "min_epochs": "callbacks=default, which does not stop at a plateau",
    "min_steps": "callbacks=default, which does not stop at a plateau",
    "model_registry": "tracker.checkpoint=best",
    "num_nodes": "trainer.devices=, the processes on this machine",
    "num_sanity_val_steps": "debug=fast",
    "overfit_batches": "debug=overfit",
    "plugins": "trainer.precision= and trainer.devices=",
    "reload_dataloaders_every_n_epochs": "a data set of your own",
    "strategy": "trainer.devices=",
    "use_distributed_sampler": "trainer.devices=, which shares every batch",
    "val_check_interval": "callbacks.quality.every_kimg=",
}
PROFILERS = ("simple", "advanced", "pytorch")


@functools.cache
def passed_on() -> dict[str, Kind]:
    """Name -> kind of each option that is passed to Lightning's Trainer as it is."""
    spec = importlib.util.find_spec("pytorch_lightning")
    assert spec is not None and spec.origin is not None
    source = Path(spec.origin).with_name("trainer") / "trainer.py"
    constructor = next(
        node
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    )
    found = {
        argument.arg: _kind(argument.annotation)
        for argument in constructor.args.kwonlyargs
        if argument.arg not in REFUSED
    }
    return found | {"profiler": OneOf(PROFILERS)}


def _kind(annotation: ast.expr | None) -> Kind:
    """The kind of an annotation; anything where it names a class of Lightning."""
    kind = Anything() if annotation is None else kind_of(annotation)
    return Anything() if Object() in getattr(kind, "kinds", (kind,)) else kind


def refusal_of(name: str) -> str:
    """Why Lightning's option `name` cannot be set, and what to use; "" if it is not refused."""
    if name not in REFUSED:
        return ""
    return (
        f"trainer.{name} is an option of Lightning's Trainer that gansweep sets itself or cannot "
        f"follow. Use {REFUSED[name]}."
    )
