"""Settings that are common to the runs with a finding, as a split by one setting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gansweep.judging.labels import settings_of, varied
from gansweep.records.notation import setting, short_names
from gansweep.records.read import Run

MOST = 2  # settings reported for one finding
LEAST_RUNS = 6  # with fewer runs a pattern may be chance
LEAST_GAIN = 0.25  # smallest information gain of a split, as a share of the entropy


@dataclass(frozen=True)
class Symptom:
    """The runs inside and outside of a split such as "model gan" or "generator.lr >= 0.001"."""

    setting: str
    inside: int
    ill_inside: int
    outside: int
    ill_outside: int


def symptoms(runs: Sequence[tuple[Run, bool]]) -> list[Symptom]:
    """The splits with the highest information gain; [] if no setting has enough.

    runs: each with True if it has the finding ("ill").
    """
    settings = [{"model": run.model, **settings_of(run), **run.params} for run, _ in runs]
    ill = [is_ill for _, is_ill in runs]
    if len(runs) < LEAST_RUNS or all(ill) or not any(ill):
        return []
    keys = varied(settings)
    names = short_names(keys)
    known = _entropy(sum(ill), len(ill))
    best = []
    for key in keys:
        values = [one.get(key) for one in settings]
        cuts = [(_gain(cut, ill), words, cut) for words, cut in _cuts(values)]
        if cuts:
            gain, words, cut = max(cuts, key=lambda found: found[0])
            if gain >= LEAST_GAIN * known:
                best.append((gain, _symptom(f"{names[key]} {words}", cut, ill)))
    best.sort(key=lambda found: -found[0])
    return _distinct([symptom for _, symptom in best])[:MOST]


def _cuts(values: Sequence[Any]) -> Iterator[tuple[str, list[bool]]]:
    """Splits: their name, and which runs are inside. By one value, or by a threshold of numbers."""
    distinct = list(dict.fromkeys(map(str, values)))
    numbers = sorted({v for v in values if isinstance(v, (int, float)) and v is not True})
    if len(numbers) == len(distinct) > 2:
        for number in numbers[1:]:
            yield f">= {setting(number)}", [value >= number for value in values]
        return
    for word in distinct:
        yield setting(next(v for v in values if str(v) == word)), [str(v) == word for v in values]


def _symptom(words: str, cut: Sequence[bool], ill: Sequence[bool]) -> Symptom:
    """The split with the larger share of ill runs inside."""
    inside = [one for one, within in zip(ill, cut, strict=True) if within]
    outside = [one for one, within in zip(ill, cut, strict=True) if not within]
    if sum(inside) * len(outside) < sum(outside) * len(inside):
        name, _, value = words.partition(" ")
        inverse = value.replace(">=", "<") if ">=" in value else f"other than {value}"
        words = f"{name} {inverse}"
        inside, outside = outside, inside
    return Symptom(words, len(inside), sum(inside), len(outside), sum(outside))


def _distinct(found: Sequence[Symptom]) -> list[Symptom]:
    """The first of all symptoms that split the runs in the same way."""
    kept: dict[tuple[int, int], Symptom] = {}
    for one in found:
        kept.setdefault((one.inside, one.ill_inside), one)
    return list(kept.values())


def _gain(cut: Sequence[bool], ill: Sequence[bool]) -> float:
    """The information gain of a split about which runs are ill, in bits."""
    sides: list[Callable[[bool], bool]] = [lambda within: within, lambda within: not within]
    left = 0.0
    for is_on in sides:
        side = [one for one, within in zip(ill, cut, strict=True) if is_on(within)]
        left += len(side) / len(ill) * _entropy(sum(side), len(side))
    return _entropy(sum(ill), len(ill)) - left


def _entropy(part: int, whole: int) -> float:
    if part in (0, whole):
        return 0.0
    share = part / whole
    return -share * math.log2(share) - (1 - share) * math.log2(1 - share)
