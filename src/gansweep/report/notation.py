"""How the report writes numbers, durations and settings."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any


def number(value: float | None) -> str:
    """Four significant digits; a dash where there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}"


def mean_and_std(mean: float, std: float | None) -> str:
    """ "12.34 ± 0.41": as many decimals as the spread's two leading digits need."""
    if std is None:
        return number(mean)
    if std == 0:
        return f"{number(mean)} ± 0"
    decimals = 1 - math.floor(math.log10(abs(std)))
    if not 0 <= decimals <= 4:
        return f"{mean:.4g} ± {std:.2g}"
    return f"{mean:.{decimals}f} ± {std:.{decimals}f}"


def duration(seconds: float | None) -> str:
    """ "48 s", "3 min 20 s", "2 h 05 min"."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.3g} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def setting(value: Any) -> str:
    """A value of the configuration as a person would type it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(setting(item) for item in value) + "]"
    return str(value)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The shortest dotted ending of each key that no other key shares.

    "model.optimizer.generator.lr" and "model.optimizer.discriminator.lr" become "generator.lr"
    and "discriminator.lr".
    """
    wanted = list(dict.fromkeys(keys))
    names = {}
    for key in wanted:
        parts = key.split(".")
        others = [other.split(".") for other in wanted if other != key]
        length = 1
        while length < len(parts) and any(o[-length:] == parts[-length:] for o in others):
            length += 1
        names[key] = ".".join(parts[-length:])
    return names


def settings_text(settings: dict[str, Any]) -> str:
    """ "generator.lr 0.0002, n_critic 5"."""
    names = short_names(settings)
    return ", ".join(f"{names[key]} {setting(value)}" for key, value in settings.items())
