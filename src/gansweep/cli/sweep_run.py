"""One sweep: compose it, check all of it, start the workers, show their progress."""

import contextlib
import functools
import os
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gansweep.cli.live_page import live_page
from gansweep.cli.sweep_options import check_engine, flags, settings_of, split
from gansweep.cli.sweep_table import make_view
from gansweep.cli.waiting import waiting
from gansweep.config.compose import compose
from gansweep.config.environment import variables_of, without_secrets
from gansweep.config.permissions import allow_packages, allow_variables
from gansweep.engine.failures import counted_ends
from gansweep.engine.launch import Detached, make_launcher, slots, worker_count
from gansweep.engine.launch.kubernetes import manifest, refuse_start
from gansweep.engine.lease import workers as worker_files
from gansweep.engine.status import damaged_files
from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.retrying_storage import StorageOutageError
from gansweep.engine.study import SweepStudy
from gansweep.engine.worker import EXIT_CANCELLED
from gansweep.errors import UserError
from gansweep.judging.constraints import broken
from gansweep.records.notation import plural
from gansweep.run.early import initial_run
from gansweep.search.settings import Settings
from gansweep.search.space import Space
from gansweep.search.trials import trials_of

ELSEWHERE = ", or choose another place with runs_dir=."

Compose = Callable[..., Any]


def run_sweep(
    arguments: Sequence[str],
    *,
    compose: Compose = compose,
    target: str | None = None,
    preload: Sequence[str] | None = None,
) -> Path:
    """Run the sweep that the command line describes; its directory.

    arguments: the words after `gansweep sweep`.   compose: makes a configuration of overrides.
    target, preload: another function to run a trial, and the modules to import for it, once.
    Raises: UserError, before anything is written; KeyboardInterrupt once all workers have stopped
        after a signal; SystemExit after --cfg or --dry-run, after a sweep of another engine, once
        the workers of a cluster are submitted, and (4) after `gansweep cancel`.
    """
    words, config_dir, shows_config, dry_run = flags(arguments)
    own, given = split(words)
    cfg = compose(own, config_name="sweep", config_dir=config_dir)
    if shows_config:
        print(OmegaConf.to_yaml(cfg), end="")
        raise SystemExit(0)
    check_engine(str(cfg.engine), dry_run, bool(cfg.ui), str(cfg.launcher.get("name")))

    @functools.cache
    def composed(*overrides: str) -> Any:
        return compose(list(overrides), config_dir=config_dir)

    def check(overrides: list[str]) -> Any:
        return composed(*overrides)  # to be read only

    settings, space, remarks = settings_of(cfg, words, given, check)
    if cfg.ui and settings.launcher.get("wait") is False:
        raise _page_without_command(settings)
    settings.config_dir = config_dir
    settings.command, settings.folder = _to_continue(arguments), os.getcwd()
    if target is not None:
        settings.target, settings.preload = target, list(preload or ())
        allow_packages(path.partition(".")[0] for path in (target, *settings.preload))
    _let_workers_use(check(settings.overrides))
    if settings.launcher.get("slots_per_gpu") == "auto":
        waiting.show("trying how many trials share a GPU")
        remarks = [*remarks, *slots.fill_in(settings)]
    workers = worker_count(
        settings.launcher, cfg.workers, settings.n_trials, uses_gpus=settings.uses_gpus
    )
    waiting.stop()
    if cfg.engine == "wandb":
        from gansweep.integrations.wandb_engine import run_on_wandb

        run_on_wandb(settings, space, check, workers, dry_run)
        raise SystemExit(0)
    if settings.launcher.get("name") == "kubernetes":
        print(manifest(settings, ["sweep", *arguments], workers), end="")
        raise SystemExit(0)
    return launch(settings, space, workers, remarks, ui=bool(cfg.ui))


def _page_without_command(settings: Settings) -> UserError:
    return UserError(
        "launcher.wait=false ends this command at once, and the page of ui=true ends with it. "
        "Leave ui= out, and watch the sweep with "
        f"'gansweep ui {Path(settings.runs_dir) / settings.name}'."
    )


def _to_continue(arguments: Sequence[str]) -> str:
    """The command without its live page, which is of one call alone."""
    return shlex.join(["gansweep", "sweep", *(w for w in arguments if not w.startswith("ui="))])


def _let_workers_use(base: Any) -> None:
    """Allow what every trial names, as to the workers the sweep's directory is data.

    base: the trials' configuration; a stand-in for one names nothing.
    Raises: UserError for an `init` that cannot be used, now rather than in the first trial.
    """
    if not isinstance(base, DictConfig):
        return
    allow_packages(base.get("extra_packages") or ())
    allow_variables(variables_of(without_secrets(base)))
    if base.get("init") is not None:
        initial_run(str(base.init))


def launch(
    settings: Settings, space: Space, workers: int, remarks: Sequence[str] = (), *, ui: bool = False
) -> Path:
    """Make or continue a sweep, run its workers and show their progress; its directory.

    ui: whether to serve the live page meanwhile.   Raises: as `run_sweep`.
    """
    if settings.launcher.get("name") == "kubernetes":
        raise refuse_start()
    directory = Path(settings.runs_dir) / settings.name
    with writing(directory, ELSEWHERE), _alone(directory, settings):
        _launch(directory, settings, space, workers, remarks, ui)
    return directory


def sweep_directory(arguments: Sequence[str]) -> Path:
    """The directory of the sweep that the command line describes, also where there is none yet.

    Raises: UserError for a mistake in the command or the sweep.
    """
    words, config_dir, *_ = flags(arguments)
    own, given = split(words)
    cfg = compose(own, config_name="sweep", config_dir=config_dir)
    settings, _, _ = settings_of(
        cfg, words, given, lambda overrides: compose(overrides, config_dir=config_dir)
    )
    return Path(settings.runs_dir) / settings.name


@contextlib.contextmanager
def _alone(directory: Path, settings: Settings) -> Iterator[None]:
    """Be the only `gansweep sweep` of this sweep, from before its study is opened; with SLURM there
    may be several, which submit no worker twice."""
    elsewhere = "runs_dir=" if settings.points else "name="  # a table names its directory itself
    worker_files.refuse_second(directory, elsewhere)
    if settings.launcher.get("name") == "slurm":
        yield
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with worker_files.launching(directory, elsewhere):
            yield
    finally:
        with contextlib.suppress(OSError):  # empty where the study was refused
            directory.rmdir()


def _launch(
    directory: Path,
    settings: Settings,
    space: Space,
    workers: int,
    remarks: Sequence[str],
    ui: bool,
) -> None:
    """Make or continue the study, then start and watch its workers; raises as `run_sweep`.

    ui: whether to serve the live page meanwhile.
    """
    study = SweepStudy.create(directory, settings, space)
    (directory / worker_files.CANCELLED).unlink(missing_ok=True)
    worker_files.tell_job(directory)  # its workers must not meet what stopped or cancelled it
    size = plural(study.n_trials, "trial")
    if study.population is not None:
        size = f"{settings.n_trials} members, {settings.generations} generations"
    print(f"Sweep {settings.name}: {size}, {plural(workers, 'worker')}, in {directory}")
    print(*remarks, sep="\n", end="\n" if remarks else "")
    print(worker_files.others_at_work(directory), end="")
    for line in damaged_files(directory):
        print(f"damaged: {line}; the run continues from its checkpoint, or starts again")
    launcher = make_launcher(directory, settings.launcher, workers)
    study.storage.retries.ends = lambda: True  # this process must not wait for a storage
    try:
        with (
            live_page(directory) if ui else contextlib.nullcontext(),
            make_view(study, workers) as update,
        ):
            finished = launcher.run(lambda: _if_reachable(update))
    except Detached as message:
        print(message)
        raise SystemExit(0) from None
    if worker_files.is_cancelled(directory):
        print(f"Cancelled. The same command continues the sweep; what it has is in {directory}.")
        raise SystemExit(EXIT_CANCELLED)
    if not finished:
        print(f"Stopped. The same command continues the sweep; what it has is in {directory}.")
        raise KeyboardInterrupt
    if not study.confirmations() and settings.confirm["top"]:
        print(_why_no_winner(study))


def _why_no_winner(study: SweepStudy) -> str:
    trials = trials_of(study.trials)
    broke = [f"{t.user_attrs['key']} {broken(t)}" for t in trials if broken(t)]
    if broke:
        return f"No trial that ran to its end meets the constraints: {broke[0]}."
    first = study.run_dir(study.run_names("t0000")[0]) / "log.txt"
    return f"No trial has a usable result ({counted_ends(trials)}). The log of the first: {first}"


def _if_reachable(update: Callable[[], None]) -> None:
    """Update the view; it stays as it is while the storage cannot be reached."""
    with contextlib.suppress(StorageOutageError):
        update()
