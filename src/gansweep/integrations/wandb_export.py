"""A sweep as W&B sweeps, which W&B's server and agents search instead of ours.

The format: https://docs.wandb.ai/models/sweeps/sweep-config-keys. The tests check the files against
W&B's own schema.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from gansweep.errors import UserError
from gansweep.judging.objective import Objective
from gansweep.records.record import replace_atomically
from gansweep.search.domains import Choice, Domain, Fixed, Interval, Steps, override_text
from gansweep.search.settings import Settings
from gansweep.search.space import Parameter, Space

TRACKER = "gansweep.callbacks.tracking.wandb_logger"
# our samplers -> W&B's methods: bayes is a Gaussian process with expected improvement
METHODS = {"random": "random", "grid": "grid", "qmc": "random"}
METHODS |= dict.fromkeys(("tpe", "gp", "cmaes"), "bayes")
LIKE_OURS = ("random", "grid", "gp")
MACROS = {"": "${args_no_hyphens}", "+": "${args_append_hydra}", "++": "${args_override_hydra}"}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*\Z")


@dataclass
class SweepFile:
    """One W&B sweep: the content of its file, and what it leaves out of our sweep."""

    file_name: str
    content: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    def write(self, directory: Path) -> Path:
        path = directory / self.file_name
        text = yaml.safe_dump(self.content, sort_keys=False, allow_unicode=True, width=100)
        replace_atomically(path, text.encode())
        return path

    def commands(self, directory: Path) -> tuple[str, str]:
        """The shell commands that register the sweep and that start an agent."""
        project, entity = self.content["project"], self.content.get("entity")
        place = ["--project", project] + (["--entity", entity] if entity else [])
        path = "/".join([entity or "ENTITY", project, "SWEEP_ID"])
        register = shlex.join(["wandb", "sweep", *place, str(directory / self.file_name)])
        return register, f"wandb agent {path}"


def export(
    settings: Settings,
    space: Space,
    tracker: Mapping[str, Any],
    metric_of: Callable[[list[str]], str],
) -> list[SweepFile]:
    """The W&B sweeps that make up this sweep: one, or one for each choice that blocks depend on.

    tracker: the node `tracker` of the runs' configuration.
    metric_of: overrides of a run -> the full name of the score that is optimised, as it is logged.
    Raises: UserError for what W&B cannot express.
    """
    _refuse_unlike(settings, tracker)
    branches = list(_branches(space, {}, _hinges(space)))
    caps = _run_caps(settings, branches)
    metric = metric_of([*settings.overrides, *space.overrides(branches[0].pins)])
    notes = _notes(settings)
    files = []
    for branch, cap in zip(branches, caps, strict=True):
        label = "-".join(_word(v) for v in branch.pins.values())
        name = f"wandb_sweep-{label}.yaml" if label else "wandb_sweep.yaml"
        files.append(SweepFile(name, _content(settings, branch, tracker, metric, cap), notes))
    return files


@dataclass(frozen=True)
class Branch:
    """A part of the space without conditions.

    pins: the choices that blocks depend on.   parameters: the other entries that apply with them.
    """

    pins: dict[str, Any]
    parameters: list[Parameter]

    @property
    def points(self) -> int:
        """The number of points, where it is finite."""
        return math.prod(len(p.domain.options() or ()) for p in self.parameters)


def _content(
    settings: Settings, branch: Branch, tracker: Mapping[str, Any], metric: str, run_cap: int
) -> dict[str, Any]:
    objective = settings.objectives[0]
    parameters = {p.key: _parameter(p.domain) for p in branch.parameters if not _in_command(p)}
    pinned = [f"{key}={override_text(value)}" for key, value in branch.pins.items()]
    if not parameters:  # W&B needs at least one
        parameters = {key: {"value": _sent(value)} for key, value in branch.pins.items()}
        pinned = []
    entity = tracker.get("entity")
    content = {
        "name": " ".join([settings.name, *(_word(v) for v in branch.pins.values())]),
        "project": str(tracker["project"]),
        **({"entity": str(entity)} if entity else {}),
        "program": "gansweep",
        "method": METHODS[settings.sampler["name"]],
        "metric": {"name": f"scores/{metric}", "goal": objective.direction},
        "run_cap": run_cap,
        "parameters": parameters,
        "command": _command(settings, branch, pinned),
    }
    halving = _early_terminate(settings)
    return content | ({"early_terminate": halving} if halving else {})


def _command(settings: Settings, branch: Branch, pinned: list[str]) -> list[str]:
    """What an agent runs; it replaces the last word by the parameters."""
    folder = [] if settings.config_dir is None else ["--config-dir", settings.config_dir]
    fixed = [
        f"{p.prefix}{p.key}={override_text(p.domain.example())}"
        for p in branch.parameters
        if _in_command(p)
    ]
    places = [
        f"runs_dir={override_text(settings.runs_dir)}",
        f"group={override_text(settings.name)}",
    ]
    words = [*settings.overrides, *places, *pinned, *fixed]
    return ["${env}", "gansweep", "train", *folder, *words, _macro(branch)]


def _in_command(parameter: Parameter) -> bool:
    """Whether an entry has one value and a name that W&B accepts only in the command."""
    fixed = isinstance(parameter.domain, Fixed)
    return fixed and bool(parameter.prefix or not NAME.match(parameter.key))


def _macro(branch: Branch) -> str:
    """The word that an agent replaces by the parameters, each as Hydra reads it."""
    sent = [p for p in branch.parameters if not _in_command(p)]
    for parameter in sent:
        if not NAME.match(parameter.key):
            raise UserError(
                f"The search space's entry {parameter} has a name that W&B sweeps do not accept: "
                "letters, digits, '_', '-' and '.' are allowed. Give it one value, or use "
                "engine=optuna."
            )
    prefixes = {p.prefix for p in sent}
    if len(prefixes) > 1:
        plus = next(p for p in sent if p.prefix)
        raise UserError(
            f"The search space's entry {plus} is added with '{plus.prefix}' and others are not; "
            "W&B's agents write all of them in one way. Put the option into a file of your own "
            "(--config-dir) and drop the '+', or use engine=optuna."
        )
    return MACROS[prefixes.pop() if prefixes else ""]


def _parameter(domain: Domain) -> dict[str, Any]:
    if isinstance(domain, Fixed):
        return {"value": _sent(domain.value)}
    if isinstance(domain, Choice):
        return {"values": [_sent(v) for v in domain.values]}
    if isinstance(domain, Steps):
        return {"values": list(domain.values)}
    assert isinstance(domain, Interval), domain
    if domain.integer and domain.log:
        ends = {"min": int(domain.low), "max": int(domain.high), "q": 1}
        return {"distribution": "q_log_uniform_values", **ends}
    if domain.integer:
        return {"distribution": "int_uniform", "min": int(domain.low), "max": int(domain.high)}
    name = "log_uniform_values" if domain.log else "uniform"
    return {"distribution": name, "min": float(domain.low), "max": float(domain.high)}


def _sent(value: Any) -> Any:
    """`value` in a form that Hydra reads as `value` after an agent has written KEY=str(value)."""
    plain = isinstance(value, (bool, int, float))
    return value if plain else override_text(value)


def _early_terminate(settings: Settings) -> dict[str, Any] | None:
    """Successive halving in W&B's terms, where a step is one logged value of the metric."""
    every = settings.evaluation_kimg
    if settings.pruner["name"] not in ("asha", "hyperband") or not every:
        return None
    warmup = settings.budget_kimg * float(settings.pruner["warmup_fraction"])
    return {
        "type": "hyperband",
        "min_iter": max(1, math.ceil(warmup / every - 1e-9)),
        "eta": int(settings.pruner["reduction_factor"]),
        "strict": True,  # by the value at the rung, as ours; else by the best so far
    }


def _notes(settings: Settings) -> list[str]:
    """What W&B does differently from our sweep, or not at all."""
    sampler, pruner = settings.sampler["name"], settings.pruner["name"]
    notes = []
    if sampler not in LIKE_OURS:
        notes.append(f"sampler {sampler}: W&B has none; its method {METHODS[sampler]} searches")
    if sampler != "grid":
        notes.append("sampler.seed: W&B has none, and draws differently each time")
    if pruner in ("median", "wilcoxon"):
        notes.append(f"pruner {pruner}: W&B has none; every run ends with its budget")
    elif pruner == "hyperband":
        notes.append("pruner hyperband: W&B has one bracket, that of asha")
    if METHODS[sampler] == "bayes" and settings.objectives[0].at == "last":
        notes.append("objective.at=last: bayes uses the best value of a run")
    for name in ("constraints", "enqueue"):
        if getattr(settings, name):
            notes.append(f"{name}: W&B has none")
    if settings.seeds > 1:
        notes.append(f"seeds={settings.seeds}: each configuration is run with one seed")
    if int(settings.confirm["top"]):
        notes.append("confirm: train the winners again with `gansweep train -m seed=101,102,103`")
    return notes


def _refuse_unlike(settings: Settings, tracker: Mapping[str, Any]) -> None:
    if len(settings.objectives) > 1:
        names = ", ".join(o.metric for o in settings.objectives)
        raise UserError(
            f"W&B sweeps optimise one score, and this sweep has {len(settings.objectives)} "
            f"({names}). Choose one with sweep.objective.metric=, or use engine=optuna."
        )
    if settings.sampler["name"] not in METHODS:
        raise UserError(
            f"W&B sweeps have no sampler like sweep.sampler.name={settings.sampler['name']}. Use "
            f"one of {', '.join(METHODS)}, or engine=optuna."
        )
    if tracker.get("_target_") != TRACKER or tracker.get("mode") not in ("auto", "online"):
        raise UserError(
            "A W&B sweep reads what its runs log to W&B, and these would log nothing there. Use "
            "tracker=wandb with tracker.mode=auto or online."
        )
    if settings.launcher.get("name", "local") != "local":
        raise UserError(
            f"launcher={settings.launcher['name']} starts workers of our own. For engine=wandb "
            "write the sweep with --dry-run, and start `wandb agent` in jobs of your own."
        )


def full_name(
    objective: Objective, protocols: Mapping[str, Mapping[str, Any]], judged_by: str | None
) -> str:
    """The full name, in the runs' records, of the score that the sweep optimises.

    protocols: full name of each score that they measure -> its protocol.
    Raises: UserError where they do not measure it.
    """
    name = objective.find(protocols, protocols, judged_by)
    if name is None:
        raise UserError(
            f"sweep.objective.metric={objective.metric} is no score that these runs log to W&B. "
            f"They log {', '.join(protocols)}."
        )
    return name


def _hinges(space: Space) -> list[str]:
    """The keys that blocks depend on, each after those that it depends on itself."""
    found: list[str] = []

    def visit(key: str) -> None:
        for parameter in space.parameters:
            if parameter.key == key:
                for condition in parameter.conditions:
                    visit(condition.key)
        if key not in found:
            found.append(key)

    for parameter in space.parameters:
        for condition in parameter.conditions:
            visit(condition.key)
    return found


def _branches(space: Space, pins: dict[str, Any], hinges: list[str]) -> Iterator[Branch]:
    """Every combination of the choices that blocks depend on."""
    if not hinges:
        held = _held(space, pins)
        yield Branch(pins, [p for key, p in held.items() if key not in pins])
        return
    key, *rest = hinges
    parameter = _held(space, pins).get(key)
    if parameter is None:
        yield from _branches(space, pins, rest)
        return
    for option in parameter.domain.options() or ():
        yield from _branches(space, {**pins, key: parameter.domain.decode(option)}, rest)


def _held(space: Space, pins: Mapping[str, Any]) -> dict[str, Parameter]:
    """Key -> its entry under `pins`: that of the innermost block that applies."""
    held: dict[str, Parameter] = {}
    for p in sorted(space.parameters, key=lambda p: len(p.conditions), reverse=True):
        if all(c.key in pins and pins[c.key] in c.values for c in p.conditions):
            held.setdefault(p.key, p)
    in_order = space.keys()
    return {key: held[key] for key in in_order if key in held}


def _run_caps(settings: Settings, branches: list[Branch]) -> list[int]:
    """The runs of each branch: equal shares, or its points where a whole grid is searched."""
    n, parts = settings.n_trials, len(branches)
    if settings.sampler["name"] == "grid" and n >= sum(b.points for b in branches):
        return [b.points for b in branches]
    if n < parts:
        raise UserError(
            f"The search space has {parts} branches, and W&B searches each as a sweep of its own: "
            f"n_trials={n} is too few. Use n_trials={parts} or more."
        )
    return [n // parts + (position < n % parts) for position in range(parts)]


def _word(value: Any) -> str:
    return re.sub(r"[^\w.-]+", "_", str(value))
