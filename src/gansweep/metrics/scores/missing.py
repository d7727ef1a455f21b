"""The missing modes of a generator, in words. Imports no torch, so that the report starts fast."""

from __future__ import annotations

from collections.abc import Sequence

from gansweep.records.notation import listing

NAMED = 5


def missing_words(names: Sequence[str] | None, counts: Sequence[float], n: int) -> str:
    """ "no 8 and no 9 among 2,500 samples"; "" if no mode is missing.

    names: of the modes; None if they have only numbers.
    counts: good samples of each mode among the n samples.
    Of more than six missing modes the first five are named, then "and 412 more of 1,000 modes".
    """
    if names is None:
        names = [f"mode {k}" for k in range(len(counts))]
    missing = [f"no {name}" for name, count in zip(names, counts, strict=True) if not count]
    if not missing:
        return ""
    if len(missing) == len(counts):
        listed = f"none of the {len(counts):,} modes"
    elif len(missing) > NAMED + 1:  # "and 1 more" would be longer than its name
        listed = ", ".join(missing[:NAMED])
        listed += f" and {len(missing) - NAMED:,} more of {len(counts):,} modes"
    else:
        listed = listing(missing, "and")
    return f"{listed} among {n:,} samples"
