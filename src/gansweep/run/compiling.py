"""`trainer.compile=auto`: a few steps of either way say whether compiled networks are faster.

Both ways start from the same state and take the same batch and noise. Afterwards everything that
the next step depends on is as it was, so that the run is the one that the chosen way alone gives.
"""

from __future__ import annotations

import copy
import os
import shutil
import statistics
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from gansweep.callbacks.checkpoint import restore_rng, rng_state
from gansweep.data.batch import Batch
from gansweep.errors import tell
from gansweep.models.adversarial import Adversarial
from gansweep.models.feed import Feed
from gansweep.run.result import Account

ROUNDS = 5  # in each of which both ways take their turn
TURNS = 2  # of every player, in a round
COMPILERS = ("g++", "clang++", "c++")  # what Inductor looks for
# largest difference of a loss of the first turns, as a share of 1 + its size, by the weights' type
BOUNDS = {torch.float64: 1e-9, torch.float32: 1e-3}
BF16_BOUND = 0.05
Steps = Callable[[], AbstractContextManager[Any]]


class CompileIfFaster(pl.Callback):
    """Decides at the start of a run; its checkpoints hold the decision, for runs that continue.

    It comes after the callback that creates or restores optimizers, noise and callbacks' states.
    """

    def __init__(self, feed: Feed, account: Account, *, tells: bool) -> None:
        """tells: whether to print what was found."""
        self.feed, self.account, self.tells = feed, account, tells

    def state_dict(self) -> dict[str, Any]:
        return dict(self.account.compile or {})

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.account.compile = dict(state_dict)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        model = self.feed.module
        if self.account.compile is not None:
            self.account.compile = taken_up(model, self.account.compile)
            return
        steps = trainer.precision_plugin.train_step_context
        batch = next(self.feed.batches()).to(model.device)
        self.account.compile = decide(model, batch, steps, str(trainer.precision))
        if self.tells:
            tell(in_words(self.account.compile))


def taken_up(model: Adversarial, found: dict[str, Any]) -> dict[str, Any]:
    """Do as `found` before, as far as this machine can.   Returns: what the record states."""
    if not found["compiled"]:
        return found
    if model.device.type == "cpu" and not _has_compiler():
        return plain("it was compiled before, and there is no C++ compiler here")
    model.compile_networks()
    return found


def decide(model: Adversarial, batch: Batch, steps: Steps, precision: str) -> dict[str, Any]:
    """Compile the networks where that is exact and faster.   Returns: what the record states.

    steps: the context in which Lightning takes a training step.   precision: trainer.precision.
    """
    if model.draws is not None and model.draws.world > 1:
        return plain("it is measured in one process only")
    if model.device.type == "cpu" and not _has_compiler():
        return plain(f"there is no C++ compiler ({', '.join(COMPILERS)})")
    before = copy.deepcopy(model.game_state()), rng_state(), model.training
    ways = _Ways(model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the compiler, about itself
            found = _measured(model, batch, steps, ways)
    except Exception as error:  # whatever a compiler may raise
        ways.use(compiled=False)
        said = str(error).strip().splitlines() or [type(error).__name__]
        found = plain(f"it does not compile: {said[0][:200]}")
    finally:
        _restore(model, *before)
    if "largest_difference" in found:
        bound = BF16_BOUND if precision == "bf16-mixed" else _bound(model)
        found = {"bound": bound} | found
        if not found["largest_difference"] <= bound:
            found |= plain("compiled losses differ by more than the bound")
    ways.use(compiled=found["compiled"])
    return found


def plain(why: str) -> dict[str, Any]:
    """What the record states of a run whose networks are not compiled."""
    return {"compiled": False, "why": why}


def in_words(found: dict[str, Any]) -> str:
    """What was found, for the terminal."""
    chosen = "compiled" if found["compiled"] else "plain"
    if "plain_ms" not in found:
        return f"compile=auto: plain, because {found['why']}"
    return (
        f"compile=auto: {chosen}: a step takes {found['plain_ms']:.3g} ms plain and "
        f"{found['compiled_ms']:.3g} ms compiled; their losses differ by "
        f"{found['largest_difference']:.1g} at most"
    )


class _Ways:
    """The networks' plain and compiled forwards, between which it switches."""

    def __init__(self, model: Adversarial) -> None:
        self._model = model
        self._compiled: dict[nn.Module, Any] = {}

    def use(self, *, compiled: bool) -> None:
        if compiled and not self._compiled:
            self._model.compile_networks()
            modules = self._model.modules()
            self._compiled = {m: m._compiled_call_impl for m in modules if m._compiled_call_impl}
        for module, call in self._compiled.items():
            module._compiled_call_impl = call if compiled else None


def _measured(model: Adversarial, batch: Batch, steps: Steps, ways: _Ways) -> dict[str, Any]:
    start = copy.deepcopy(model.game_state()), rng_state(), model.training
    losses, first = {}, {}
    for compiled in (False, True):
        _restore(model, *start)
        ways.use(compiled=compiled)
        began = time.perf_counter()
        _take(model, batch, steps)
        first[compiled] = time.perf_counter() - began
        losses[compiled] = model.recent_means()
        _take(model, batch, steps)  # a second trace, of gradients that now exist
    # on a CPU what it works, not what it waits for other processes
    clock = time.process_time if model.device.type == "cpu" else time.perf_counter
    seconds: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(ROUNDS):
        for compiled, found in seconds.items():
            ways.use(compiled=compiled)
            began = clock()
            _take(model, batch, steps)
            found.append((clock() - began) / (TURNS * model.n_critic))
    ours, theirs = (statistics.median(seconds[compiled]) for compiled in (False, True))
    differences = [
        abs(value - losses[True][name]) / (1 + abs(value)) for name, value in losses[False].items()
    ]
    faster = theirs < ours
    return {
        "compiled": faster,
        "why": "measured: compiled is faster" if faster else "measured: plain is faster",
        "plain_ms": round(1000 * ours, 4),
        "compiled_ms": round(1000 * theirs, 4),
        "compiling_seconds": round(first[True], 1),
        "largest_difference": max(differences, default=0.0),
    }


def _take(model: Adversarial, batch: Batch, steps: Steps) -> None:
    """TURNS turns of every player."""
    for _ in range(TURNS * model.n_critic):
        with steps():
            model.step(batch)
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


def _restore(
    model: Adversarial, game: dict[str, Any], rng: dict[str, Any], is_training: bool
) -> None:
    model.go_back(game)
    restore_rng(rng)
    model.train(is_training)


def _bound(model: Adversarial) -> float:
    return BOUNDS[next(model.parameters()).dtype]


def _has_compiler() -> bool:
    chosen = os.environ.get("CXX")
    return any(shutil.which(name) for name in ([chosen] if chosen else COMPILERS))
