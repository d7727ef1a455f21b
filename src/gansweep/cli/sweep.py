"""`gansweep sweep`: compose the sweep, check all of it, start the workers, show how they fare."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gansweep.cli.sweep_options import check_engine, flags, settings_of, split
from gansweep.cli.sweep_table import make_view
from gansweep.config.environment import recorded, variables_of
from gansweep.config.permissions import allow_packages, allow_variables
from gansweep.engine.failures import counted_ends
from gansweep.engine.launch import Detached, make_launcher, worker_count
from gansweep.engine.lease import workers as worker_files
from gansweep.engine.status import damaged_files
from gansweep.engine.storage.disk import writing
from gansweep.engine.storage.retrying_storage import StorageOutageError
from gansweep.engine.study import SweepStudy, latest
from gansweep.engine.worker import EXIT_CANCELLED
from gansweep.judging.constraints import broken
from gansweep.records.notation import plural
from gansweep.search.settings import Settings
from gansweep.search.space import Space

HELP = """\
gansweep sweep: try many configurations, confirm the best with fresh seeds.

  gansweep sweep sweep=demo data=digits                 the demonstration
  gansweep sweep sweep=own model=progan data=digits     a model's own options
  gansweep sweep sweep=tpe model=dcgan data=digits      tune one variant
  gansweep sweep sweep=gan_family n_trials=100          compare all variants
  gansweep sweep sweep=pareto model=dcgan               quality, coverage, time
  gansweep sweep sweep=pbt model=dcgan                  tune while training

Options of the sweep
  sweep=NAME         the search: its space, sampler, pruner, objective
                     (conf/sweep/NAME.yaml, or sweep/NAME.yaml in --config-dir)
  n_trials=N         configurations to try, confirmation runs not counted
  workers=auto|N     trials at a time; auto: one per GPU, else one per core
  name=NAME          its directory is RUNS_DIR/NAME; default: sweep and data
  runs_dir=DIR       by default runs
  storage=journal    where the study is kept: journal, sqlite,
                     postgresql://HOST/DATABASE, grpc://HOST:PORT
  launcher=local     where workers run: local (this machine), slurm (a cluster)
  launcher.KEY=VALUE a key of its file: launcher.slots_per_gpu=4
  sweep.KEY=VALUE    any key of the sweep's file: sweep.sampler.name=tpe
  engine=optuna      what searches: optuna (our workers), wandb (a W&B sweep)
  --dry-run          engine=wandb: only write the sweep's file, print commands
  --config-dir DIR   also search the folder DIR for groups of your own
  --cfg job          print every key of the composed sweep, and exit

Every other KEY=VALUE is an option of `gansweep train` and holds for every trial
(budget_kimg=50 model.batch_size=64), or is searched where it names several:
  gansweep sweep model=dcgan,wgan_gp \\
    'model.optimizer.generator.lr=tag(log, interval(1e-5, 1e-3))'

Ctrl-C saves and stops; the same command continues. From any shell that sees the
directory, on this machine or another:
  gansweep status RUNS_DIR/NAME    how it fares
  gansweep worker RUNS_DIR/NAME    one more worker
  gansweep cancel RUNS_DIR/NAME    save and stop everywhere
"""

ELSEWHERE = ", or choose another place with runs_dir=."

Compose = Callable[..., Any]


def run_sweep(
    arguments: Sequence[str],
    *,
    compose: Compose | None = None,
    target: str | None = None,
    preload: Sequence[str] | None = None,
) -> Path:
    """Run the sweep that the command line describes; its directory.

    arguments: the words after `gansweep sweep`.
    compose: gansweep.config.compose.compose, or what stands in for it.
    target, preload: another function to run a trial, and the modules to import for it, once.
    Raises: UserError, before anything is written, for a mistake in the command or the sweep;
        KeyboardInterrupt once all workers have stopped, where a signal asked for it;
        SystemExit after --cfg and a sweep of another engine, where workers of a cluster are left to
        themselves, and (4) where `gansweep cancel` stopped them.
    """
    composing = compose or _default_compose()
    words, config_dir, shows_config, dry_run = flags(arguments)
    own, given = split(words)
    cfg = composing(own, config_name="sweep", config_dir=config_dir)
    if shows_config:
        print(OmegaConf.to_yaml(cfg), end="")
        raise SystemExit(0)
    check_engine(str(cfg.engine), dry_run)

    def check(overrides: list[str]) -> Any:
        return composing(overrides, config_dir=config_dir)

    settings, space, remarks = settings_of(cfg, words, given, check)
    settings.config_dir = config_dir
    settings.command = shlex.join(["gansweep", "sweep", *arguments])
    if target is not None:
        settings.target, settings.preload = target, list(preload or ())
        allow_packages(path.partition(".")[0] for path in (target, *settings.preload))
    _allow_own(check(settings.overrides))
    workers = worker_count(
        settings.launcher, cfg.workers, settings.n_trials, uses_gpus=settings.uses_gpus
    )
    if cfg.engine == "wandb":
        from gansweep.integrations.wandb_engine import run_on_wandb

        run_on_wandb(settings, space, check, workers, dry_run)
        raise SystemExit(0)
    directory = Path(settings.runs_dir) / settings.name
    with writing(directory, ELSEWHERE), _looked_after(directory, settings):
        _launch(directory, settings, space, workers, remarks)
    return directory


def _allow_own(base: Any) -> None:
    """Allow the workers, which take the sweep's directory for data, what the command allows."""
    if isinstance(base, DictConfig):
        allow_packages(base.get("extra_packages") or ())
        allow_variables(variables_of(recorded(base)))


@contextlib.contextmanager
def _looked_after(directory: Path, settings: Settings) -> Iterator[None]:
    """Be the only `gansweep sweep` that looks after this sweep, from before its study is opened on;
    with SLURM there may be several, which submit no worker twice."""
    worker_files.refuse_second(directory)
    if settings.launcher.get("name") == "slurm":
        yield
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with worker_files.launching(directory):
            yield
    finally:
        with contextlib.suppress(OSError):  # empty where the study was refused
            directory.rmdir()


def _launch(
    directory: Path, settings: Settings, space: Space, workers: int, remarks: Sequence[str]
) -> None:
    """Make or continue the study and look after its workers; raises as `run_sweep`."""
    study = SweepStudy.create(directory, settings, space)
    (directory / worker_files.CANCELLED).unlink(missing_ok=True)
    size = plural(study.n_trials, "trial")
    if study.population is not None:
        size = f"{settings.n_trials} members, {settings.generations} generations"
    print(f"Sweep {settings.name}: {size}, {plural(workers, 'worker')}, in {directory}")
    print(*remarks, sep="\n", end="\n" if remarks else "")
    print(worker_files.others_at_work(directory), end="")
    for line in damaged_files(directory):
        print(f"damaged: {line}; the run goes on from its checkpoint, or begins anew")
    launcher = make_launcher(directory, settings.launcher, workers)
    study.storage.retries.ends = lambda: True  # who looks after the workers waits for no storage
    try:
        with make_view(study, workers) as update:
            finished = launcher.run(lambda: _unless_away(update))
    except Detached as words_to_the_user:
        print(words_to_the_user)
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
    trials = latest(study.trials)
    broke = [f"{t.user_attrs['key']} {broken(t)}" for t in trials if broken(t)]
    if broke:
        return f"No trial that ran to its end meets the constraints: {broke[0]}."
    first = study.run_dir(study.run_names("t0000")[0]) / "log.txt"
    return f"No trial ran to its end ({counted_ends(trials)}). What the first one said: {first}"


def _unless_away(update: Callable[[], None]) -> None:
    """Update the view; while the storage cannot be reached it stays as it is."""
    with contextlib.suppress(StorageOutageError):
        update()


def _default_compose() -> Compose:
    from gansweep.config.compose import compose

    return compose
