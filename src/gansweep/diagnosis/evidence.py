"""The data from which a run is diagnosed, from its record or while it trains."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gansweep.diagnosis.curves import LATE, LEAST, Points, clocks, late, level
from gansweep.metrics.protocol import scores_called
from gansweep.records.record import TRACKED, RunRecord

if TYPE_CHECKING:
    from gansweep.records.read import Run

# Shares of the budget. In runs that end well, the discriminator is usually far ahead in the first
# fifth, and modes are missing or samples are unlike the data in the first half.
BEGUN = 0.2
SETTLED = 0.5


@dataclass(frozen=True)
class Evidence:
    """One run's numbers and settings.

    curves: column of the history -> (kimg, value), oldest first; a value may be nan.
    protocols: full name of each score -> its protocol.
    objective: the full name of the score that chooses the best checkpoint, or None.
    counts: (clock, samples in each mode) of the score mode_counts, oldest first. The newest
        evaluations are enough.
    config: the resolved configuration, as in config.yaml.
    game: what the model declared (`Adversarial.declared`), as in result.json; empty for records
        of older versions.
    status, reason: of result.json; "running" while it trains.
    command: trains the run again; "" for a training loop of its own.   directory: of its record.
        has_checkpoint: whether it can be continued. All are for the remedies.
    """

    curves: Mapping[str, Points]
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    objective: str | None = None
    counts: Sequence[tuple[float, Sequence[float]]] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    game: Mapping[str, Any] = field(default_factory=dict)
    status: str = "running"
    reason: str = ""
    command: str = "gansweep train"
    directory: str = ""
    has_checkpoint: bool = True

    @property
    def kimg(self) -> float:
        """The clock of the newest number."""
        return max((points[-1][0] for points in self.curves.values() if points), default=0.0)

    @property
    def budget_kimg(self) -> float:
        return float(self.config.get("budget_kimg") or self.kimg)

    @property
    def begun(self) -> bool:
        return self.kimg >= BEGUN * self.budget_kimg

    @property
    def settled(self) -> bool:
        return self.kimg >= SETTLED * self.budget_kimg

    def score(self, word: str) -> str | None:
        """The full name of the score called `word`: the objective, else the most often measured.

        Scores with the same word and another protocol are other numbers and are not mixed in.
        """
        names = [name for name in scores_called(self.protocols, word) if self.curves.get(name)]
        if self.objective in names:
            return self.objective
        return max(names, key=lambda name: len(self.curves[name]), default=None)

    def late(
        self, name: str | None, share: float = LATE, least: int = LEAST
    ) -> list[tuple[float, float]]:
        """`curves.late` of a column; empty for a column that the run does not have."""
        return late(self.curves.get(name or "", ()), share, least)

    def level(self, name: str | None, least: int = LEAST) -> float:
        """The median of the late part of a column; nan if there are too few points."""
        return level(self.late(name, least=least))

    def late_clocks(self, names: Iterable[str]) -> tuple[float, float]:
        """The first and the last clock of the late part of the first of these columns that has one.

        Raises: StopIteration if none has.
        """
        return clocks(next(filter(None, map(self.late, names))))

    def better(self, name: str) -> int:
        """1 if a higher value of the score is better, else -1."""
        return 1 if self.protocols.get(name, {}).get("direction") == "maximize" else -1

    def columns(self, *names: str | None) -> tuple[str, ...]:
        """The names for which the run has a curve."""
        return tuple(name for name in names if name is not None and self.curves.get(name))

    def setting(self, key: str) -> Any:
        """A value of the configuration by its dotted key; None if there is none."""
        node: Any = self.config
        for part in key.split("."):
            node = node.get(part) if isinstance(node, Mapping) else None
        return node

    @property
    def loss(self) -> Mapping[str, Any]:
        """What the game's loss declared (`Loss.declared`); empty without a loss."""
        declared = self.game.get("loss")
        return declared if isinstance(declared, Mapping) else {}

    def takes(self, *terms: str) -> bool:
        """Whether options can add all of these terms to the game (`Adversarial.takes`)."""
        return set(terms) <= self._terms("takes")

    def uses(self, *terms: str) -> bool:
        """Whether the game uses one of these terms, so that a new loss must work with it."""
        return bool(set(terms) & self._terms("uses"))

    def _terms(self, key: str) -> set[str]:
        listed = self.game.get(key)
        return {str(term) for term in listed} if isinstance(listed, (list, tuple)) else set()

    @property
    def is_points(self) -> bool:
        """Whether the data are points; their networks are in `model.points`."""
        shape = self.game.get("sample_shape")
        if isinstance(shape, Sequence):
            return len(shape) == 1
        return any("max_sigmas" in protocol for protocol in self.protocols.values())

    def network(self, player: str) -> str:
        """The dotted key of a player's network, in `model.points` for points."""
        return f"model.points.{player}" if self.is_points else f"model.{player}"


def evidence_of(run: Run) -> Evidence:
    """The evidence from a run's record, for `diagnose(evidence_of(run))`."""
    curves: dict[str, Points] = {}
    counted: list[list[tuple[float, list[float]]]] = [[]]
    for name, curve in run.curves.items():
        kinds = set(map(type, curve.values))
        if kinds == {float}:  # as most are
            curves[name] = list(zip(curve.kimg, curve.values, strict=True))
            continue
        pairs = list(zip(curve.kimg, curve.values, strict=True))
        lists = [(k, v) for k, v in pairs if isinstance(v, list) and None not in v]
        numbers = [(k, v) for k, v in pairs if not isinstance(v, list)]
        if len(numbers) == len(pairs):
            curves[name] = [(kimg, float("nan") if v is None else float(v)) for kimg, v in pairs]
        elif lists and run.protocols.get(name, {}).get("score") == "mode_counts":
            counted.append(lists)
    protocols = dict(run.protocols)
    for evaluation in run.evaluations:
        for name, entry in evaluation.scores.items():
            if name not in curves and isinstance(entry.get("value"), (int, float)):
                curves[name] = [(evaluation.kimg, float(entry["value"]))]
                protocols[name] = evaluation.protocols.get(name, {})
    objective, game = run.result.get("objective"), run.result.get("game")
    record = RunRecord(run.directory)
    return Evidence(
        curves=curves,
        protocols=protocols,
        objective=objective if objective in curves else None,
        counts=max(counted, key=len),
        config=run.config,
        game=game if isinstance(game, dict) else {},
        status=run.status,
        reason=run.reason,
        command="" if TRACKED in run.result else _command(run),
        directory=str(run.directory),
        has_checkpoint=record.last.exists() or record.previous.exists(),
    )


def _command(run: Run) -> str:
    """The run's command; one with its last settings where no single command trains it again.

    If the record has no overrides yet, the command has the model and the data only; "" if it will
    have none, as the settings were changed in Python.
    """
    if run.result.get("command"):
        return str(run.result["command"])
    overrides, folder = run.result.get("overrides") or (), run.result.get("config_dir")
    if run.result.get("no_command") and not overrides:
        return ""
    words = [word for word in overrides if word.partition("=")[0] not in ("group", "name")]
    words = words or [f"model={run.model}", f"data={run.data}"]
    return shlex.join(["gansweep", "train", *(["--config-dir", folder] if folder else []), *words])
