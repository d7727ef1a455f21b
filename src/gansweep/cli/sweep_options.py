"""The words of `gansweep sweep`, and the settings that they lead to, all checked."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from gansweep.cli.sweep import parser
from gansweep.config.directory_names import checked_name
from gansweep.config.kinds import OneOf, Record
from gansweep.config.options import check_record, refusal
from gansweep.config.ranges import Count, Name, Workers
from gansweep.config.signatures import fields
from gansweep.engine.confirm import FIRST_SEED
from gansweep.engine.launch.kubernetes import refuse_start
from gansweep.engine.storage.storage import canonical
from gansweep.engine.study import best_of
from gansweep.errors import UserError, nearest
from gansweep.search.check_search import as_list, check_population, check_search, with_direction
from gansweep.search.domains import override_text
from gansweep.search.entries import OWN, narrowed, own_space, with_command_line
from gansweep.search.samplers import SAMPLERS
from gansweep.search.settings import SWEEP, Settings
from gansweep.search.space import Space

OWN_KEYS = ("n_trials", "workers", "name", "runs_dir", "storage", "engine", "ui")
COMMAND = "gansweep.cli.sweep_options.CommandOptions"
LAUNCHERS = {
    "local": "gansweep.engine.launch.local.LocalOptions",
    "slurm": "gansweep.engine.launch.slurm.SlurmOptions",
    "ray": "gansweep.engine.launch.ray.RayOptions",
    "kubernetes": "gansweep.engine.launch.kubernetes.KubernetesOptions",
}


class CommandOptions(TypedDict):
    """The root of conf/sweep.yaml."""

    n_trials: Count | None
    workers: Workers
    name: Name | None
    runs_dir: Name
    storage: str
    engine: Literal["optuna", "wandb"]
    ui: bool


def check_engine(engine: str, dry_run: bool, ui: bool = False, launcher: str = "local") -> None:
    """Raises: UserError where --dry-run has nothing to write for the engine and the launcher, or
    ui= to show."""
    if ui and engine == "wandb":
        raise UserError("The page of a W&B sweep is W&B's: leave ui= out, or use engine=optuna.")
    if launcher == "kubernetes":
        if not dry_run:
            raise refuse_start()
        if ui:
            raise UserError(
                "With --dry-run no sweep runs that ui= could show. Leave it out, and run `gansweep "
                "ui` where the volume is mounted."
            )
    elif dry_run and engine == "optuna":
        raise UserError(
            "--dry-run writes the file of a W&B sweep: add engine=wandb; or the manifest of a "
            "Kubernetes Job: add launcher=kubernetes. To see the composed sweep of our own engine "
            "use --cfg job."
        )


def flags(arguments: Sequence[str]) -> tuple[list[str], str | None, bool, bool]:
    """(overrides, --config-dir, whether --cfg was given, whether --dry-run)."""
    options, words = parser().read(arguments)
    folder = options.config_dir
    config_dir = None if folder is None else str(Path(folder).resolve())
    return words, config_dir, options.cfg is not None, options.dry_run


def split(words: list[str]) -> tuple[list[str], dict[str, str]]:
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


def settings_of(
    cfg: DictConfig, words: list[str], given: dict[str, str], check: Callable[[list[str]], Any]
) -> tuple[Settings, Space, list[str]]:
    """The settings and the space, checked against all their configurations; remarks."""
    check_sweep(cfg)
    sweep = _sweep_node(cfg)
    fixed, searched = _by_kind(given)
    entries = sweep.pop("space") or {}
    if entries == OWN:
        plain = _merged(list(sweep["overrides"]), fixed, ())
        entries = own_space(searched, lambda words: check([*plain, *words]))
    entries = narrowed(with_command_line(entries, fixed), searched)
    space = Space.parse(entries)
    in_space = space.keys()
    overrides = _merged(list(sweep.pop("overrides")), fixed, in_space)
    base = _checked_base(overrides, given, check)
    space.check(lambda branch: check([*overrides, *branch]))
    if int(sweep["confirm"]["top"]) > 0:
        check([*overrides, f"seed={FIRST_SEED}", f"metrics.noise_seed={FIRST_SEED}"])
        per = str(sweep["confirm"]["per"])
        if per not in ("config", "model", *in_space):
            raise UserError(
                f"sweep.confirm.per={per} is not an entry of the search space."
                f"{nearest(per, ['config', *in_space])} Use 'config', or one of "
                f"{', '.join(in_space)}."
            )
    if "auto" in as_list(sweep["objective"]["metric"]):
        _refuse_unlike_models(space, lambda model: check([*overrides, f"model={model}"]))
    sweep["objective"] = with_direction(sweep["objective"], base)
    sweep |= {key: as_list(sweep[key]) for key in ("constraints", "enqueue")}
    chosen = [word.partition("=")[2] for word in words if word.startswith("sweep=")]
    default_name = f"{chosen[-1] if chosen else 'random'}-{base['choices']['data']}"
    settings = Settings(
        name=checked_name("name", cfg.name) if cfg.name is not None else default_name,
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
    remarks = check_search(
        settings, space, base, lambda words: check([*overrides, *words]), best_of
    )
    return settings, space, remarks


def check_sweep(cfg: DictConfig) -> None:
    """Raises: UserError for an option of the sweep, its launcher or the root that is refused."""
    content = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(content, dict)
    check_record("sweep.", content["sweep"], SWEEP)
    launcher = content["launcher"]
    name = launcher.get("name") if isinstance(launcher, Mapping) else None
    known = OneOf(tuple(LAUNCHERS))
    if not known.takes(name):
        raise UserError(refusal("launcher.name", name, known))
    check_record("launcher.", launcher, LAUNCHERS[str(name)])
    own = OmegaConf.create({key: cfg[key] for key in cfg if key not in ("sweep", "launcher")})
    check_record("", OmegaConf.to_container(own), COMMAND)  # type: ignore[arg-type]
    if cfg.runs_dir == "":
        raise UserError("runs_dir= names no directory. Use runs_dir=runs, or leave it out.")


def _sweep_node(cfg: DictConfig) -> dict[str, Any]:
    """The node `sweep` without `n_trials`, which the root takes.

    Raises: UserError for a key that the command line has removed, a space or a score that is none.
    """
    content = OmegaConf.to_container(cfg.sweep, resolve=False)
    assert isinstance(content, dict)
    node: dict[str, Any] = {str(key): value for key, value in content.items()}
    for key, kind in fields(SWEEP).items():
        inner = kind.keys if key in node and isinstance(kind, Record) else ()
        missing = [f"{key}.{name}" for name in inner if name not in node[key]]
        for name in missing if key in node else [key]:
            raise UserError(
                f"The sweep needs sweep.{name}, which was removed. Leave ~sweep.{name} out."
            )
    del node["n_trials"]
    node["overrides"] = [str(word) for word in as_list(node["overrides"] or [])]
    space = node["space"]
    if space and space != OWN and not isinstance(space, Mapping):
        raise UserError(
            f"sweep.space={override_text(space)} is no search space. Use {OWN}, or entries KEY: "
            "DOMAIN, as in 'model.batch_size: choice(32, 64)'."
        )
    metrics = as_list(node["objective"]["metric"])
    if not metrics or not all(isinstance(metric, str) for metric in metrics):
        raise UserError(
            f"sweep.objective.metric={override_text(node['objective']['metric'])} names no score. "
            "Use auto, fid, or a list of several scores."
        )
    return node


def _by_kind(given: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """(plain values, those that name several: these are searched)."""
    fixed: dict[str, str] = {}
    searched: dict[str, str] = {}
    for key, text in given.items():
        try:
            many = OverridesParser.create().parse_override(f"{key}={text}").is_sweep_override()
        except HydraException:
            many = "choice(" in text  # a null in it, which the space can read
        (searched if many and not key.startswith("~") else fixed)[key] = text
    return fixed, searched


def _merged(own: list[str], fixed: Mapping[str, str], in_space: Sequence[str]) -> list[str]:
    """The overrides of every trial: those of the sweep's file, then the command line's."""
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
        each = ", ".join(f"{model} by {word}" for model, word in judges.items())
        raise UserError(
            f"These models are judged by scores that do not compare ({each}). Name one score that "
            "all of them have, as in sweep.objective.metric=fid, or sweep them one by one."
        )


def _trial_count(wanted: int | None, sampler: Mapping[str, Any], space: Space) -> int:
    if sampler["name"] == "grid":
        points = len(space.grid())
        return points if wanted is None else min(wanted, points)
    if wanted is None:
        raise UserError(
            f"n_trials=null means every point of a grid, and the sampler is "
            f"'{sampler['name']}' (one of {', '.join(SAMPLERS)}). Use n_trials=20, say."
        )
    return wanted
