"""Score a run's last and best checkpoints with several seeds of the noise of evaluation.

The spread over these seeds is that of measuring; the spread over the runs' own seeds is that of
training. Scores of the run itself are left alone: its best checkpoint was chosen by them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import open_dict

from gansweep.errors import UserError, tell
from gansweep.metrics.protocol import HELD_OUT
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config
from gansweep.records.writer import newest

if TYPE_CHECKING:
    from gansweep.run.evaluate import Evaluation

CHECKPOINTS = ("last", "best")
FIRST_NOISE = 1_000_001  # seeds of evaluation, apart from those that a run's own scores use
Measured = dict[str, dict[int, float]]  # full name -> seed of the noise -> value


Options = Mapping[str, Any]


def missing(record: RunRecord, seeds: int, options: Options) -> list[tuple[str, int]]:
    """(checkpoint, seed of the noise) of each scoring with these options that the record lacks."""
    known = {(which, seed) for which in CHECKPOINTS for seed in _noises(record, which, options)}
    wanted = [(c, FIRST_NOISE + i) for i in range(seeds) for c in CHECKPOINTS]
    if (
        wanted
        and all((c, FIRST_NOISE) in known for c in CHECKPOINTS)
        and _is_exact(record, options)
    ):
        return []
    return [one for one in wanted if one not in known]


def score_again(record: RunRecord, seeds: int, options: Options) -> None:
    """Add the scorings that the record lacks to its evaluations; says why one could not be made.

    options: of the metrics, in the place of the run's own.

    Where no score depends on noise, as those of held-out samples, one seed is enough.
    """
    for which, seed in missing(record, seeds, options):
        if seed > FIRST_NOISE and _is_exact(record, options):
            return
        from gansweep.run.evaluate import keep

        writer = newest(record.directory)
        try:
            found = _evaluation(record, which, seed, options).score(record)
        except (UserError, ValueError) as error:
            tell(f"gansweep: {record.directory} was not scored: {error}")
            return
        keep(
            record,
            found,
            writer,
            note={"noise_seed": seed, "asked": which, "options": dict(options)},
        )


def _evaluation(record: RunRecord, which: str, seed: int, options: Options) -> Evaluation:
    """The run's own way of measuring, with these options and another seed of the noise, on the
    device that it was trained on."""
    from gansweep.run.evaluate import Evaluation

    cfg = read_config(record)
    with open_dict(cfg):
        cfg.metrics.merge_with({**options, "noise_seed": seed})
    return Evaluation(cfg.metrics, which, str(cfg.trainer.accelerator))


def values_of(record: RunRecord, which: str, options: Options) -> tuple[Measured, dict[str, Any]]:
    """(the scores of a checkpoint under each seed of the noise, their protocols)."""
    found: Measured = {}
    protocols: dict[str, Any] = {}
    for seed, row in _noises(record, which, options).items():
        protocols |= row.get("protocols") or {}
        for name, entry in (row.get("scores") or {}).items():
            value = entry.get("value") if isinstance(entry, Mapping) else None
            if isinstance(value, (int, float)):
                found.setdefault(name, {})[seed] = float(value)
    return found, protocols


def _noises(record: RunRecord, which: str, options: Options) -> dict[int, dict[str, Any]]:
    """Seed of the noise -> the latest evaluation of that checkpoint with it, for a table."""
    return {seed: row for asked, seed, row in _ours(record, options) if asked == which}


def _ours(record: RunRecord, options: Options) -> Iterator[tuple[str, int, dict[str, Any]]]:
    clock = (record.result() or {}).get("kimg")
    for row in record.evaluations():
        note = row.get("note")
        if not isinstance(note, Mapping) or not isinstance(note.get("noise_seed"), int):
            continue
        if note.get("asked") == "last" and row.get("kimg") != clock:
            continue  # it was continued since
        if note.get("options", options) != options:
            continue  # of a table that measures otherwise
        yield str(note.get("asked")), note["noise_seed"], row


def _is_exact(record: RunRecord, options: Options) -> bool:
    """Whether no score of the first evaluation depends on noise."""
    row = _noises(record, "last", options).get(FIRST_NOISE)
    protocols = [] if row is None else list((row.get("protocols") or {}).values())
    return bool(protocols) and all(p.get("score") in HELD_OUT for p in protocols)


def differences(record: RunRecord, stored: Mapping[str, Any], options: Options) -> Iterator[str]:
    """Score the checkpoints again as the stored values were; a line for each that differs.

    stored: a run of results/TABLE.json.   options: as of `score_again`.
    """
    for which in CHECKPOINTS:
        lists: Mapping[str, list[float]] = stored[which]
        for place in range(max(map(len, lists.values()), default=0)):
            again = _evaluation(record, which, FIRST_NOISE + place, options)
            scores = again.score(record).scores.values()
            now = {str(score.protocol["score"]): score.value for score in scores}
            for word, values in lists.items():
                value = now.get(word)
                if place < len(values) and not _same(value, values[place]):
                    yield f"{word} of the {which} checkpoint: {values[place]} stored, {value} now"


def _same(now: Any, before: float) -> bool:
    return isinstance(now, (int, float)) and math.isclose(now, before, rel_tol=1e-4, abs_tol=1e-6)
