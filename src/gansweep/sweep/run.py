"""`gansweep sweep`: compose the sweep, check all of it, start the workers, show how they fare."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gansweep.errors import UserError, nearest
from gansweep.sweep import presence
from gansweep.sweep.changeable import check_population
from gansweep.sweep.confirm import FIRST_SEED
from gansweep.sweep.constraints import broken
from gansweep.sweep.failures import counted_ends
from gansweep.sweep.launch import Detached, make_launcher, worker_count
from gansweep.sweep.own_space import OWN, own_space
from gansweep.sweep.patience import StorageOutageError
from gansweep.sweep.samplers import SAMPLERS
from gansweep.sweep.search import as_list, settle_search, with_direction
from gansweep.sweep.settings import Settings
from gansweep.sweep.space import Space, with_command_line
from gansweep.sweep.storage import canonical
from gansweep.sweep.study import SweepStudy, latest
from gansweep.sweep.table import make_view
from gansweep.sweep.worker import EXIT_CANCELLED

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

OWN_KEYS = ("n_trials", "workers", "name", "runs_dir", "storage", "engine")
ENGINES = ("optuna", "wandb")
SWEEP_KEYS: dict[str, tuple[str, ...]] = {
    "n_trials": (),
    "overrides": (),
    "space": (),
    "objective": ("metric", "direction", "at"),
    "sampler": ("name", "seed", "startup_trials"),
    "pruner": ("name", "warmup_fraction", "startup_trials", "reduction_factor"),
    "confirm": ("top", "per", "seeds", "n_fake"),
    "max_retries": (),
    "seeds": (),
    "constraints": (),
    "enqueue": (),
    "population": ("every_kimg", "share", "factors", "resample"),
    "stop_after_alike": (),
}
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
    compose: gansweep.config.compose, or what stands in for it.
    target, preload: another function to run a trial, and the modules to import for it, once.
    Raises: UserError, before anything is written, for a mistake in the command or the sweep;
        KeyboardInterrupt once all workers have stopped, where a signal asked for it;
        SystemExit after --cfg and a sweep of another engine, where workers of a cluster are left to
        themselves, and (4) where `gansweep cancel` stopped them.
    """
    composing = compose or _default_compose()
    words, config_dir, shows_config, dry_run = _flags(arguments)
    own, given = _split(words)
    cfg = composing(own, config_name="sweep", config_dir=config_dir)
    if shows_config:
        print(OmegaConf.to_yaml(cfg), end="")
        raise SystemExit(0)
    _check_engine(str(cfg.engine), dry_run)

    def check(overrides: list[str]) -> Any:
        return composing(overrides, config_dir=config_dir)

    settings, space, remarks = _settings(cfg, words, given, check)
    settings.config_dir = config_dir
    if target is not None:
        settings.target, settings.preload = target, list(preload or ())
    workers = worker_count(
        settings.launcher, cfg.workers, settings.n_trials, uses_gpus=settings.uses_gpus
    )
    if cfg.engine == "wandb":
        from gansweep.sweep.wandb_engine import run_on_wandb

        run_on_wandb(settings, space, check, workers, dry_run)
        raise SystemExit(0)
    directory = Path(settings.runs_dir) / settings.name
    presence.refuse_second(directory)
    study = _create(directory, settings, space)
    (directory / presence.CANCELLED).unlink(missing_ok=True)
    size = f"{study.n_trials} trials"
    if study.population is not None:
        size = f"{settings.n_trials} members, {settings.generations} generations"
    print(f"Sweep {settings.name}: {size}, {workers} workers, in {directory}")
    print(*remarks, sep="\n", end="\n" if remarks else "")
    print(presence.told_of_others(directory), end="")
    launcher = make_launcher(directory, settings.launcher, workers)
    study.storage.patience.ends = lambda: True  # who looks after the workers waits for no storage
    try:
        with make_view(study, workers) as update:
            finished = launcher.run(lambda: _unless_away(update))
    except Detached as words_to_the_user:
        print(words_to_the_user)
        raise SystemExit(0) from None
    if presence.is_cancelled(directory):
        print(f"Cancelled. The same command continues the sweep; what it has is in {directory}.")
        raise SystemExit(EXIT_CANCELLED)
    if not finished:
        print(f"Stopped. The same command continues the sweep; what it has is in {directory}.")
        raise KeyboardInterrupt
    if not study.confirmations() and settings.confirm["top"]:
        print(_why_no_winner(study))
    return directory


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
    from gansweep.config import compose

    return compose


def _check_engine(engine: str, dry_run: bool) -> None:
    if engine not in ENGINES:
        raise UserError(
            f"engine={engine} is not known.{nearest(engine, ENGINES)} Use {' or '.join(ENGINES)}."
        )
    if dry_run and engine == "optuna":
        raise UserError(
            "--dry-run writes the file of a W&B sweep: add engine=wandb. To see the composed sweep "
            "of our own engine use --cfg job."
        )


def _flags(arguments: Sequence[str]) -> tuple[list[str], str | None, bool, bool]:
    """(overrides, --config-dir, whether --cfg and whether --dry-run was asked for)."""
    words: list[str] = []
    config_dir, shows_config, dry_run = None, False, False
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        flag, _, value = word.partition("=")
        if flag in ("--config-dir", "-cd", "--cfg", "-c"):
            value = value or (rest.pop(0) if rest else "")
            if flag in ("--cfg", "-c"):
                shows_config = True
            elif not Path(value).is_dir():
                raise UserError(f"--config-dir {value} is no folder. Give one that exists.")
            else:
                config_dir = str(Path(value).resolve())
        elif word == "--dry-run":
            dry_run = True
        elif word.startswith("-"):
            known = ("--config-dir", "--cfg", "--dry-run", "--help")
            raise UserError(
                f"`gansweep sweep` has no flag {word}.{nearest(word, known)} "
                "`gansweep sweep --help` lists them."
            )
        else:
            words.append(word)
    return words, config_dir, shows_config, dry_run


def _split(words: list[str]) -> tuple[list[str], dict[str, str]]:
    """(the sweep's own overrides, the rest: key -> text after the =)."""
    own: list[str] = []
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and not key.startswith("~"):
            raise UserError(
                f"'{word}' is no option: an option is KEY=VALUE, with no spaces around the '='. "
                "`gansweep sweep --help` lists those of a sweep."
            )
        bare = key.lstrip("+~")
        if bare in OWN_KEYS or bare.split(".")[0].split("@")[0] in ("sweep", "launcher"):
            own.append(word)
        else:
            given[key] = value if equals else ""
    return own, given


def _settings(
    cfg: DictConfig, words: list[str], given: dict[str, str], check: Callable[[list[str]], Any]
) -> tuple[Settings, Space, list[str]]:
    """The settings and the space, checked against the configurations they lead to; remarks."""
    sweep = _sweep_node(cfg)
    fixed, searched = _by_kind(given)
    entries = sweep.pop("space") or {}
    if entries == OWN:
        plain = _merged(list(sweep["overrides"]), fixed, ())
        entries = own_space(searched, lambda words: check([*plain, *words]))
    entries = {**with_command_line(entries, fixed), **searched}
    space = Space.parse(entries)
    in_space = space.keys()
    overrides = _merged(list(sweep.pop("overrides")), fixed, in_space)
    base = _checked_base(overrides, given, check)
    space.check(lambda branch: check([*overrides, *branch]))
    if int(sweep["confirm"]["seeds"]) < 1:
        raise UserError(
            f"sweep.confirm.seeds={sweep['confirm']['seeds']} confirms nothing. Use 1 or more, or "
            "sweep.confirm.top=0 to leave the confirmation out."
        )
    if int(sweep["confirm"]["top"]) > 0:
        check([*overrides, f"seed={FIRST_SEED}", f"metrics.noise_seed={FIRST_SEED}"])
        _check_groups(str(sweep["confirm"]["per"]), in_space)
    if "auto" in as_list(sweep["objective"]["metric"]):
        _refuse_unlike_models(space, lambda model: check([*overrides, f"model={model}"]))
    sweep["objective"] = with_direction(sweep["objective"], base)
    sweep |= {key: as_list(sweep[key]) for key in ("constraints", "enqueue")}
    settings = Settings(
        name=str(cfg.name) if cfg.name is not None else _default_name(words, base),
        n_trials=_trial_count(cfg.n_trials, sweep["sampler"], space),
        budget_kimg=float(base["budget_kimg"]),
        base_seed=int(base["seed"]),
        space=entries,
        overrides=overrides,
        runs_dir=str(cfg.runs_dir),
        storage=canonical(str(cfg.storage)),
        launcher=dict(OmegaConf.to_container(cfg.launcher)),  # type: ignore[arg-type]
        uses_gpus=OmegaConf.select(base, "trainer.accelerator") != "cpu",
        evaluation_kimg=OmegaConf.select(base, "callbacks.quality.every_kimg"),
        **sweep,
    )
    if settings.sampler["name"] == "population":
        check_population(settings, space, base)
    remarks = settle_search(settings, space, base, lambda words: check([*overrides, *words]))
    return settings, space, remarks


def _sweep_node(cfg: DictConfig) -> dict[str, Any]:
    """The node `sweep`, without what the root has taken from it.

    Raises: UserError for a key that nothing reads: Hydra lets a file bring any.
    """
    content = OmegaConf.to_container(cfg.sweep, resolve=False)
    assert isinstance(content, dict)
    node: dict[str, Any] = {str(k): v for k, v in content.items()}
    for key, value in node.items():
        _check_key(f"sweep.{key}", key, SWEEP_KEYS)
        known = SWEEP_KEYS[key]
        if known and not isinstance(value, Mapping):
            raise UserError(f"sweep.{key}={value} must be a mapping of {', '.join(known)}.")
        for inner in value if known else ():
            _check_key(f"sweep.{key}.{inner}", inner, known)
    del node["n_trials"]
    return node


def _check_key(option: str, key: str, known: Collection[str]) -> None:
    if key not in known:
        raise UserError(f"There is no option '{option}'.{nearest(key, known)}")


def _by_kind(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(plain values, those that name several: these are searched)."""
    fixed: dict[str, str] = {}
    searched: dict[str, str] = {}
    for key, text in given.items():
        try:
            many = (
                not key.startswith("~")
                and OverridesParser.create().parse_override(f"{key}={text}").is_sweep_override()
            )
        except HydraException:
            many = "choice(" in text  # a null in it; the space knows what to do with that
        (searched if many else fixed)[key] = text
    return fixed, searched


def _merged(own: list[str], fixed: Mapping[str, str], in_space: Sequence[str]) -> list[str]:
    """The overrides of every trial: the sweep's, those of the command line on top of them."""
    merged = {word.partition("=")[0]: word for word in own}
    for key, text in fixed.items():
        if key.lstrip("+") not in in_space:
            merged[key] = key if key.startswith("~") and not text else f"{key}={text}"
    return [word for key, word in merged.items() if key.lstrip("+") not in in_space]


def _checked_base(
    overrides: list[str], given: Mapping[str, str], check: Callable[[list[str]], Any]
) -> Any:
    try:
        return check(overrides)
    except UserError as error:
        for key in given:
            hint = nearest(key, OWN_KEYS)
            if hint and f"'{key}'" in str(error):
                raise UserError(f"`gansweep sweep` has no option '{key}'.{hint}") from error
        raise


def _refuse_unlike_models(space: Space, compose_model: Callable[[str], Any]) -> None:
    """Raises: UserError where models would be ranked by scores that do not compare."""
    judges: dict[str, str] = {}
    for model in space.values("model"):
        words = OmegaConf.select(compose_model(model), "model.judged_by") or ["quality"]
        judges[model] = str(words[0])
    if len(set(judges.values())) > 1:
        told = ", ".join(f"{model} by {word}" for model, word in judges.items())
        raise UserError(
            f"These models are judged by scores that do not compare ({told}). Name one score that "
            "all of them have, as in sweep.objective.metric=fid, or sweep them one by one."
        )


def _check_groups(per: str, in_space: Sequence[str]) -> None:
    if per not in ("config", "model", *in_space):
        raise UserError(
            f"sweep.confirm.per={per} is no entry of the search space."
            f"{nearest(per, ['config', *in_space])} Use 'config', or one of {', '.join(in_space)}."
        )


def _trial_count(wanted: Any, sampler: Mapping[str, Any], space: Space) -> int:
    if sampler["name"] == "grid":
        points = len(space.grid())
        return points if wanted is None else min(int(wanted), points)
    if wanted is None:
        raise UserError(
            f"n_trials=null stands for every point of a grid, and the sampler is "
            f"'{sampler['name']}' (one of {', '.join(SAMPLERS)}). Use n_trials=20, say."
        )
    if isinstance(wanted, bool) or not isinstance(wanted, int):
        raise UserError(f"n_trials={wanted} is not a whole number. Use n_trials=20, say.")
    return wanted


def _default_name(words: list[str], base: Any) -> str:
    chosen = [word.partition("=")[2] for word in words if word.startswith("sweep=")]
    data = base["choices"]["data"]
    return f"{chosen[-1] if chosen else 'random'}-{data}"


def _create(directory: Path, settings: Settings, space: Space) -> SweepStudy:
    try:
        return SweepStudy.create(directory, settings, space)
    except OSError as error:
        raise UserError(
            f"The sweep's directory {directory} cannot be written ({error.strerror}). Free some "
            "space, mend the permissions, or choose another place with runs_dir=."
        ) from error
