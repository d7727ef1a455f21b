"""What runs in the process of one trial: a child of its own, so that a crash costs one trial.

The process is forked from a server that has imported the training stack. It imports nothing heavy
itself, so that the server decides what is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import importlib
import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from gansweep.config.environment import as_foreign, check_foreign
from gansweep.config.permissions import allowed_packages, is_package_option
from gansweep.engine.failures import (
    EXIT_NO_SPACE,
    EXIT_SUPERSEDED,
    is_disk_full,
    record_exception,
    reopen,
)
from gansweep.engine.lease.gpus import HeldGpus
from gansweep.engine.lease.locks import share_lease
from gansweep.errors import UserError
from gansweep.records.record import RunRecord, Source
from gansweep.records.writer import SupersededError, newest

if TYPE_CHECKING:
    from omegaconf import DictConfig

PR_SET_PDEATHSIG = 1
OPTION = "An option of the sweep"  # in the refusal of what it reads
BEGUN = "begun"  # a child's first message: from then on its end counts for the trial
HELD_OFF = (signal.SIGTERM, signal.SIGHUP)  # by the server of the trials' processes
# folders of YAML files; what else Hydra finds by this option, it imports
FOLDERS = re.compile(r"hydra\.searchpath=\[\s*file://[^,\]]+(,\s*file://[^,\]]+)*\]")
OWN = (
    *("gansweep.engine.child.train_trial", "gansweep.engine.warm_up"),
    "gansweep.reproduce.trial.train_cell",
)
Scores = dict[str, float]
OnScore = Callable[[float, Scores], bool]


def may_run(path: str) -> bool:
    """Whether a function or module that a sweep's directory names may be imported."""
    return path in OWN or path.partition(".")[0] in allowed_packages()


@dataclass
class Order:
    """What a worker asks of its child."""

    target: str
    overrides: list[str]
    config_dir: str | None
    run_dir: str
    lease: str
    sweep: dict[str, Any]
    until_kimg: float | None = None  # where the run pauses
    source: Source | None = None  # whose weights it begins with
    gpus: HeldGpus | None = None  # that the child computes on, and keeps until it ends


def die_with_parent(number: int) -> None:
    """Have the kernel send this process signal `number` when its parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)


def run_order(order: Order, connection: Connection) -> None:
    """Train one trial; exits with 0 if its record says how it ended, else with 1."""
    die_with_parent(signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD_OFF)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # outside of training a kill, not a bug
    _let_server_end_with_worker()
    os.setsid()  # the worker passes a Ctrl-C at the terminal on
    _write_output_to(Path(order.run_dir) / "log.txt")
    with contextlib.suppress(OSError):  # the worker may be gone
        connection.send(BEGUN)
    if order.gpus is not None:
        order.gpus.pass_on()
    try:
        with _claimed(order) as record:
            _train(order, record, connection)
    except SupersededError as error:
        print(error, file=sys.stderr)
        sys.exit(EXIT_SUPERSEDED)


@contextlib.contextmanager
def _claimed(order: Order) -> Iterator[RunRecord]:
    """The record of the run, which only this process may write.

    A worker that finishes a dead attempt first removes its lease, then takes a new number of the
    record. So if the number has changed since before we found the lease, the attempt is not ours.
    """
    record = RunRecord(order.run_dir)
    number = newest(record.directory)
    if share_lease(Path(order.lease)) is None:
        raise SupersededError("The lease of this attempt is gone: another worker has the trial.")
    with record.claimed(take=True, after=number):
        yield record


def _train(order: Order, record: RunRecord, connection: Connection) -> None:
    part = {"until_kimg": order.until_kimg, "source": order.source}
    try:
        _load(order.target)(
            order.overrides,
            config_dir=order.config_dir,
            run_dir=record.directory,
            on_score=_asking(connection),
            sweep=order.sweep,
            # only for targets of runs that pause
            **{key: value for key, value in part.items() if value is not None},
        )
    except SupersededError:
        raise
    except Exception as error:
        if is_disk_full(error):  # the log cannot be written either
            with contextlib.suppress(OSError):
                reopen(record)
            os._exit(EXIT_NO_SPACE)
        traceback.print_exc()
        record_exception(record, error, order.sweep)
        sys.exit(1)


def train_trial(overrides: list[str], *, config_dir: str | None, **options: Any) -> None:
    """Compose the trial's configuration and train it, or a part of it.   options: of run.train."""
    from gansweep.run.train import train

    options |= {"overrides": overrides, "config_dir": config_dir, "progress": False}
    with as_foreign():  # also while it trains: the sweep's directory names `config_dir`
        train(trial_config(overrides, config_dir), **options)


def trial_config(overrides: list[str], config_dir: str | None) -> DictConfig:
    """The configuration of a trial, whose words and folder the sweep's directory names.

    Its extra_packages= is ignored: see permissions.py.
    Raises: UserError if a word reads or sets what it may not.
    """
    from gansweep.config.compose import compose

    check_foreign(overrides, OPTION)
    for word in overrides:
        if word.lstrip("+~").startswith("hydra") and not FOLDERS.fullmatch(word):
            raise UserError(
                f"The sweep sets {word}, an option of Hydra itself, which trials do not take. "
                "Start a sweep without it; a folder of your own groups is named by --config-dir."
            )
    words = [word for word in overrides if not is_package_option(word)]
    cfg = compose(words, config_dir=config_dir)
    check_foreign(OmegaConf.to_container(cfg, resolve=False), "A file of the sweep")
    cfg.extra_packages = allowed_packages()
    return cfg


def _let_server_end_with_worker() -> None:
    """Close our copy of the pipe by which the server sees that it is still needed.

    The server, our parent, ends with the last holder of that pipe: then with the worker. So a
    worker killed by SIGKILL ends the server, and the kernel ends us, even in the middle of a
    computation. It comes after `die_with_parent`, so that no moment is left between.
    """
    server: Any = forkserver._forkserver
    os.close(server._forkserver_alive_fd)
    server._forkserver_alive_fd = None


def _asking(connection: Connection) -> OnScore:
    def on_score(kimg: float, scores: Scores) -> bool:
        try:
            connection.send((kimg, scores))
            return bool(connection.recv())
        except (EOFError, BrokenPipeError, ConnectionResetError):
            os._exit(1)  # the worker is gone: another one continues from the checkpoint

    return on_score


def _load(path: str) -> Callable[..., object]:
    assert may_run(path), path
    module, _, name = path.rpartition(".")
    target: Callable[..., object] = getattr(importlib.import_module(module), name)
    return target


def _write_output_to(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
    faulthandler.enable()  # a crash in C shows its place
