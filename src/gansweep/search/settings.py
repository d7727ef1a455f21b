"""The settings of a sweep: sweep.yaml, and which of them contradict each other."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from omegaconf import OmegaConf
from yaml import YAMLError

from gansweep.config.old_names import new_target
from gansweep.config.options import check_record
from gansweep.config.ranges import Count, CountOrNone, Kimg, Positive, Range, Seed, Share
from gansweep.config.signatures import fields
from gansweep.errors import UserError
from gansweep.judging.constraints import Constraint
from gansweep.judging.objective import COSTS, Objective
from gansweep.records.find import why_without
from gansweep.records.plain_values import DamagedError, plain
from gansweep.records.record import replace_atomically
from gansweep.records.stored_yaml import yaml_text
from gansweep.search.pruning import LEAST_SEEDS, PrunerName
from gansweep.search.samplers import SamplerName

SWEEP = "gansweep.search.settings.SweepOptions"
SETTINGS = "gansweep.search.settings.Settings"
WARM_UP = "gansweep.engine.warm_up"
OLD_WARM_UP = "gansweep.sweep.warm"  # what older sweeps have stored for it
ObjectiveDirection = Literal["auto", "minimize", "maximize"]


class ObjectiveOptions(TypedDict):
    metric: str | list[str]
    direction: ObjectiveDirection | list[ObjectiveDirection]
    at: Literal["last", "best"]


class SamplerOptions(TypedDict):
    name: SamplerName
    seed: Seed
    startup_trials: CountOrNone


class PrunerOptions(TypedDict):
    name: PrunerName
    warmup_fraction: Annotated[float, Range(0, 1, below=True, such_as=0.2)]
    startup_trials: CountOrNone
    reduction_factor: Annotated[int, Range(2, 1_000)]


class ConfirmOptions(TypedDict):
    top: Annotated[int, Range(0, 10_000)]
    per: str
    seeds: Annotated[int, Range(1, 1_000)]
    n_fake: Count | None


class PopulationOptions(TypedDict):
    every_kimg: Kimg
    share: Annotated[float, Range(0, 0.5, above=True, such_as=0.25)]
    factors: list[Positive]
    resample: Share


class SweepOptions(TypedDict):
    """conf/sweep/: the options of a search. The space has its own grammar."""

    n_trials: Count | None
    overrides: list[str] | str | None
    space: Any
    objective: ObjectiveOptions
    sampler: SamplerOptions
    pruner: PrunerOptions
    confirm: ConfirmOptions
    max_retries: Annotated[int, Range(0, 1_000)]
    seeds: Annotated[int, Range(1, 1_000)]
    constraints: list[str] | str
    enqueue: Any
    population: PopulationOptions
    stop_after_alike: Annotated[int, Range(0, 10_000)]


UNKNOWN_COMMAND = "gansweep sweep ..."
COMMANDS = (["gansweep", "sweep"], ["gansweep", "reproduce"])  # how one begins


@dataclass
class Settings:
    """Everything that a worker must know, wherever it is started."""

    name: str
    n_trials: int
    budget_kimg: float  # of a full-length trial; pruning steps are measured against it
    base_seed: int  # the trials' seed: a confirmation takes others
    space: dict[str, Any]
    overrides: list[str]  # of every trial
    objective: dict[str, Any]
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    confirm: dict[str, Any]
    max_retries: int
    runs_dir: str
    storage: str = "journal"
    seeds: int = 1  # runs of each trial; its value is their mean
    constraints: list[str] = field(default_factory=list)
    enqueue: list[Any] = field(default_factory=list)
    population: dict[str, Any] = field(default_factory=dict)
    stop_after_alike: int = 3
    uses_gpus: bool = True  # if there are any
    launcher: dict[str, Any] = field(default_factory=dict)
    evaluation_kimg: float | None = None  # between two scores of a trial; None: not known
    config_dir: str | None = None
    command: str = UNKNOWN_COMMAND  # that began it, or continued it last
    folder: str | None = None  # where it was given, and relative paths of the options begin
    target: str = "gansweep.engine.child.train_trial"  # what runs a trial, by its dotted path
    preload: list[str] = field(default_factory=lambda: [WARM_UP])
    points: list[Any] = field(default_factory=list)  # runs listed one by one: see search/listed.py

    def __post_init__(self) -> None:
        self.limits  # noqa: B018  # reads the words, and refuses the unreadable
        objectives, pruner = self.objectives, self.pruner["name"]
        if self.seeds > 1 and "seed" in self.space:
            raise UserError(
                f"sweep.seeds={self.seeds} runs every trial with seeds of its own, and the search "
                "space names 'seed' too. Remove one of the two."
            )
        if self.compares_seeds and self.seeds < LEAST_SEEDS:
            raise UserError(
                f"sweep.pruner.name=wilcoxon compares trials seed by seed, and sweep.seeds="
                f"{self.seeds} are too few for its test to stop any. Use sweep.seeds={LEAST_SEEDS} "
                "or more, or another pruner."
            )
        if pruner != "none" and len(objectives) > 1:
            raise UserError(
                f"sweep.pruner.name={pruner} compares trials by one score, and this sweep has "
                f"{len(objectives)} objectives. Use sweep.pruner.name=none."
            )
        if pruner not in ("none", "wilcoxon") and objectives[0].metric in COSTS:
            raise UserError(
                f"sweep.pruner.name={pruner} compares scores while trials run, and "
                f"'{objectives[0].metric}' is known at their end. Use sweep.pruner.name=none."
            )

    @property
    def objectives(self) -> list[Objective]:
        """What the sweep optimises; most have one."""
        return Objective.parse_all(self.objective)

    @property
    def limits(self) -> list[Constraint]:
        """What a winner must meet."""
        return [Constraint.parse(text) for text in self.constraints]

    @property
    def generations(self) -> int:
        """The parts that the budget of a population's member is cut into; 1 for other searches."""
        if self.sampler["name"] != "population":
            return 1
        return math.ceil(self.budget_kimg / float(self.population["every_kimg"]) - 1e-9)

    @property
    def compares_seeds(self) -> bool:
        """Whether the pruner looks at the final values of the seeds, not at the runs' curves."""
        return bool(self.pruner["name"] == "wilcoxon")

    def to_continue(self, directory: Path) -> str:
        """The command that continues the sweep in `directory`, as it is to be given here: also from
        another folder, and where the directory was moved."""
        folder = Path(self.folder) if self.folder else Path.cwd()
        go = "" if folder == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
        began, place = folder / self.runs_dir / self.name, directory.resolve()
        if self.command == UNKNOWN_COMMAND or began.resolve() == place:
            return go + self.command
        words = [f"runs_dir={place.parent}"]  # of two the last one counts
        if place.name != self.name:
            words.append(f"name={place.name}")
        return f"{go}{self.command} {shlex.join(words)}"

    def identity(self) -> dict[str, Any]:
        """What may not change between two runs of the command that continue one sweep."""
        objectives = self.objectives
        population = self.population if self.sampler["name"] == "population" else {}
        return {
            **({} if self.seeds == 1 else {"seeds": self.seeds}),
            **{f"population.{key}": value for key, value in population.items()},
            **({"constraints": ", ".join(map(str, self.limits))} if self.constraints else {}),
            "objective.metric": " ".join(o.metric for o in objectives),
            "objective.direction": " ".join(o.direction for o in objectives),
            "objective.at": objectives[0].at,
            "sampler.name": self.sampler["name"],
            "sampler.seed": self.sampler["seed"],
            "overrides": " ".join(sorted(self.overrides)),
        }

    def save(self, directory: Path) -> None:
        text = OmegaConf.to_yaml(OmegaConf.create(asdict(self)))
        replace_atomically(directory / "sweep.yaml", text.encode())

    @classmethod
    def load(cls, directory: Path) -> Settings:
        """Raises: UserError if there is no sweep, or none that can be read."""
        path, declared = directory / "sweep.yaml", SweepOptions.__annotations__
        try:
            loaded = OmegaConf.create(yaml_text(path))
            content: Any = plain(OmegaConf.to_container(loaded, resolve=False))
            kinds = fields(SETTINGS)
            check_record(f"{path}: ", {k: v for k, v in content.items() if k in declared}, SWEEP)
            kept = {key: value for key, value in content.items() if key in kinds}
            for key, value in kept.items():
                if not kinds[key].takes(value):
                    raise DamagedError(f"{key} is not {kinds[key]}")
            kept["command"] = _command(kept.get("command", ""))
            return cls(**{**kept, **_renewed(kept)})
        except UserError:
            raise
        except (FileNotFoundError, NotADirectoryError):
            lacks = why_without(Path(directory), "sweep.yaml")
            raise UserError(
                f"{directory} holds no sweep: {lacks}. Give the directory that `gansweep sweep` "
                "names when it starts."
            ) from None
        except OSError as error:
            raise UserError(
                f"{path} cannot be read ({error.strerror}). Correct the permissions."
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError, YAMLError) as error:
            reason = str(error) if isinstance(error, DamagedError) else type(error).__name__
            raise UserError(
                f"{path} is damaged ({reason}). Move it away and give the command "
                "that began the sweep again: it writes the file again and continues."
            ) from error

    def step(self, kimg: float) -> int:
        """Optuna's step for a score at `kimg`: images seen, rounded down to the evaluation that was
        due, so that trials of different batch sizes can be compared."""
        due = min(self.evaluation_kimg or 0.0, self.budget_kimg) * 1000
        images, grain = kimg * 1000, max(1, int(self.budget_kimg * 10), int(due))
        return max(1, int(images / grain + 1e-6) * grain)


def merged_identity(settings: Settings, space: Mapping[str, str]) -> dict[str, Any]:
    """The identity of a study: the settings that may not change, and every entry of the space."""
    return {**settings.identity(), **{f"space {key}": text for key, text in space.items()}}


def _renewed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What runs the trials, by the names of today."""
    preload = [WARM_UP if p == OLD_WARM_UP else p for p in kept.get("preload", [WARM_UP])]
    target = {"target": new_target(kept["target"])} if "target" in kept else {}
    return {**target, "preload": preload}


def _command(text: str) -> str:
    """The command that began the sweep, quoted so that it is safe to copy into a shell."""
    try:
        words = shlex.split(text)
    except ValueError:
        words = []
    return shlex.join(words) if words[:2] in COMMANDS else UNKNOWN_COMMAND
