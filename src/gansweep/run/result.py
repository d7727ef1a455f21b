"""The content of a run's result.json: how it ended, its scores, its speed and its origin."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gansweep.callbacks.journal import Journal
from gansweep.callbacks.throughput import peak_memory_mib
from gansweep.judging.labels import assignments, seedless_label, settings_digest
from gansweep.models.adversarial import Adversarial
from gansweep.records.address import REVISIONS
from gansweep.run.devices import numerics
from gansweep.run.origin import hardware, now, origin
from gansweep.terms.schedules import value_at

UNKNOWN_WORDS = (
    "Its settings were set or changed in Python, so no command is known that makes them. They are "
    "in its config.yaml."
)


@dataclass
class Account:
    """What result.json states in addition to the journal.

    accelerator, devices: what it trains on.   started: when this process started or continued it.
    sweep: the sweep's facts about this run; None outside a sweep.
    overrides, config_dir: what its configuration was composed from; None if it is not known.
    images_before: images that the model had seen when this process started.
    revisions: of the networks, as of the version that began the run.
    init: what the run took of another one's weights, as `begin_with` returns it.
    compile: what trainer.compile=auto found, as `compiling.decide` returns it.
    """

    cfg: DictConfig
    model: Adversarial
    accelerator: str
    devices: int
    started: str
    sweep: dict[str, Any] | None
    overrides: Sequence[str] | None
    config_dir: str | Path | None
    images_before: int = 0
    init: dict[str, Any] | None = None
    compile: dict[str, Any] | None = None
    revisions: Mapping[str, int] = field(default_factory=lambda: dict(REVISIONS))

    def result(self, directory: Path, journal: Journal, status: str, reason: str) -> dict[str, Any]:
        """The current content of the result.json in the run's `directory`.

        status, reason: how the run ended, or "running" and "".
        """
        trained = self.model.images_seen - self.images_before
        no_command = why_no_command((self.sweep or {}).get("schedule") or ())
        if self.overrides is None:
            no_command = no_command or UNKNOWN_WORDS
        result = {
            "status": status,
            "reason": reason,
            "stopped_by": journal.stopped_by,
            "group": directory.parent.name,
            "name": directory.name,
            "model": self.cfg.choices.model,
            "data": self.cfg.choices.data,
            "seed": self.cfg.seed,
            "budget_kimg": self.cfg.budget_kimg,
            "kimg": self.model.images_seen / 1000,
            "objective": journal.objective,
            "best": journal.best,
            "last": journal.last,
            "protocols": journal.protocols,
            "seconds": round(journal.seconds, 3),
            "images_per_second": round(trained / journal.training_seconds, 1),
            "peak_memory_mib": round(peak_memory_mib(self.model.device), 1),
            "parameters": self.parameters(),
            "hardware": hardware(self.accelerator, self.devices),
            "numerics": numerics(
                self.cfg.trainer.precision, self.accelerator, self.model.players.values()
            ),
            "game": self.model.declared(),
            "command": "" if no_command else self._command(),
            "no_command": no_command,
            "config_dir": None if self.config_dir is None else str(self.config_dir),
            "overrides": list(self.overrides or ()),
            "started": self.started,
            "ended": now(),
            "revisions": self.revisions,
            **origin(),
        }
        beside = {"init": self.init, "sweep": self.sweep, "compile": self.compile}
        return result | {key: value for key, value in beside.items() if value is not None}

    def parameters(self) -> dict[str, int]:
        """The number of parameters of each player."""
        return {
            name: sum(p.numel() for p in net.parameters())
            for name, net in self.model.players.items()
        }

    def label(self) -> str:
        """What a tracker calls the run: the same for the runs of every seed."""
        if self.sweep is not None:
            params = self.sweep["params"]
        elif self.overrides is not None:
            params = assignments(self.overrides)
        else:
            settings: Any = OmegaConf.to_container(self.cfg, resolve=False)  # ${seed} stays
            params = {"settings": settings_digest(settings)}
        return seedless_label(str(self.cfg.choices.model), str(self.cfg.choices.data), params)

    def scheduled(self) -> dict[str, tuple[float, float]]:
        """Each setting that follows a schedule: its value now and at the end of the budget."""
        model, clock = self.model, self.model.clock
        end = replace(clock, images_seen=int(clock.budget_kimg * 1000))
        found, later = model.scheduled(clock), model.scheduled(end)
        if model.lr_schedule is not None:
            found["lr times"] = value_at(model.lr_schedule, clock)
            later["lr times"] = value_at(model.lr_schedule, end)
        return {name: (value, later[name]) for name, value in found.items()}

    def _command(self) -> str:
        """The command that trains this run again from the start, in a new directory."""
        folder = [] if self.config_dir is None else ["--config-dir", str(self.config_dir)]
        places = ("name",) if self.sweep is None else ("name", "group")
        words = [w for w in self.overrides or () if w.split("=")[0] not in places]
        return shlex.join(["gansweep", "train", *folder, *words])


def why_no_command(schedule: Sequence[Mapping[str, Any]]) -> str:
    """Why no single command trains a run again; "" if one does.

    schedule: of a member of a population, or of a run that confirms one. Each part has its first
        kimg, its settings, and the run whose weights were taken over.
    """
    taken = [f"those of {s['from']} at {s['kimg']:g} kimg" for s in schedule if s["from"]]
    changes = [f"{s['kimg']:g}" for s in schedule[1:]]
    reasons = [f"its settings changed at {_listed(changes)} kimg"] if changes else []
    reasons += [f"its weights were replaced by {_listed(taken)}"] if taken else []
    if not reasons:
        return ""
    return (
        f"No single command trains this run again: {', and '.join(reasons)}. The settings of each "
        "part are in its result.json, in the schedule of its sweep."
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
