"""The kinds of runs whose numbers compare: sweeps, plain runs, translations, autoencoders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from gansweep.records.read import Run

# The word of the score by which a run is judged -> its kind, where it is no sampling game.
KINDS = {
    **dict.fromkeys(("l1", "cycle_l1", "psnr", "psnr_gain", "iou"), "translation"),
    **dict.fromkeys(("class_error", "label_agreement", "retrieval"), "autoencoder"),
    **dict.fromkeys(("auroc_reconstruction", "auroc_latent"), "autoencoder"),
}
GAME = "game"
SHOWN = 3  # names in a title; more are counted


@dataclass(frozen=True)
class Kind:
    """Runs whose numbers compare.

    key: unique among kinds, and the same whatever else is read.
    kind: "game", "translation" or "autoencoder".   sweep: whether they are runs of sweeps.
    """

    key: str
    kind: str
    sweep: bool
    data: str
    runs: list[Run]

    @property
    def names(self) -> list[str]:
        """The sweeps, or the groups of the runs."""
        sweeps = [run.sweep.name for run in self.runs if run.sweep]
        return list(dict.fromkeys(sweeps or [run.directory.parent.name for run in self.runs]))

    @property
    def title(self) -> str:
        """ "demo-digits", "runs, baselines and 2 more"."""
        more = len(self.names) - SHOWN
        return ", ".join(self.names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def kinds_of(runs: Sequence[Run]) -> list[Kind]:
    """The runs by kind, data and objective of their sweep; those with most finished runs first.

    A run without a result in the directory of a sweep belongs to the sweep.
    """
    words = {run.model: word for run in runs if (word := _word(run))}
    sweeps = {run.directory.parent: run.sweep for run in runs if run.sweep}
    groups: dict[str, list[Run]] = {}
    for run in runs:
        sweep = run.sweep or (None if run.result else sweeps.get(run.directory.parent))
        objectives = [dict(one) for one in sweep.objectives] if sweep else None
        parts = [_kind(run, words), run.data, objectives]
        groups.setdefault(json.dumps(parts, sort_keys=True, default=str), []).append(run)
    ordered = sorted(groups.items(), key=lambda group: -sum(run.complete for run in group[1]))
    return [
        Kind(key, _kind(found[0], words), any(run.sweep for run in found), found[0].data, found)
        for key, found in ordered
    ]


def _kind(run: Run, words: dict[str, str]) -> str:
    """words: of each model, for a run that has no score yet."""
    return KINDS.get(_word(run) or words.get(run.model, ""), GAME)


def _word(run: Run) -> str:
    """The word of the score by which the run is judged; "" where it has none yet."""
    return str(run.protocols.get(str(run.result.get("objective")), {}).get("score") or "")
