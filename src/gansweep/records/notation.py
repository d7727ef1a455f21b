"""The notation of numbers, durations and settings in reports."""

import math
import textwrap
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

# A relative difference below this is rounding: features are float32, which has seven digits.
ROUNDING = 1e-6


def number(value: float | None) -> str:
    """Four significant digits, or all digits before the point; a dash if there is no number."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if 1e4 <= abs(value) < 1e6 else f"{value:.4g}"


def mean_and_std(mean: float, std: float | None) -> str:
    """ "12.34 ± 0.41": with as many decimals as two significant digits of the spread need."""
    if not std:
        return number(mean) if std is None else f"{number(mean)} ± 0"
    decimals = 1 - math.floor(math.log10(abs(std)))
    spread = f"{std:.{decimals}f}" if 0 <= decimals <= 4 else f"{std:.2g}"
    return f"{rounded(mean, std)} ± {spread}"


def bracketed(low: float, high: float, std: float) -> str:
    """ "[-3.0, 15.0]": an interval, with the same number of decimals as `mean_and_std`.

    std: the spread that the interval was computed from, not 0.
    """
    return f"[{rounded(low, std)}, {rounded(high, std)}]"


def spread_words(value: float, std: float | None, interval: tuple[float, float] | None) -> str:
    """The error of one measurement: "1.61 to 1.70" if there is an interval, else "± 0.08".

    "± 0" if the error is only rounding, "" if no error was measured.
    """
    size = (interval[1] - interval[0]) / 4 if interval else std
    if size is None:
        return ""
    if size <= ROUNDING * abs(value):
        return "± 0"
    if interval:
        return " to ".join(rounded(bound, size) for bound in interval)
    return f"± {size:.2g}"


def rounded(value: float, std: float) -> str:
    """The value with the same number of decimals as `mean_and_std`.   std: not 0."""
    decimals = 1 - math.floor(math.log10(abs(std)))
    if 0 <= decimals <= 4:
        return f"{value:.{decimals}f}"
    # up to the spread's second digit, with at least four significant digits
    size = math.floor(math.log10(abs(value))) if value else 0
    return f"{value:.{max(4, size + decimals + 1)}g}"


def probability(p: float) -> str:
    """ "p = 0.012": two significant digits, and four beside 0.05, at which verdicts change."""
    digits = 4 if f"{p:.2g}" == "0.05" else 2
    return f"p = {p:.{digits}g}" if p >= 1e-4 else "p < 0.0001"


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


def clock(seconds: float) -> str:
    """As in 0:07, 12:30 or 1:00:00."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def setting(value: Any) -> str:
    """A value of the configuration as a user would type it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(setting(item) for item in value) + "]"
    return str(value)


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """The shortest dotted ending of each key that is different from all other keys' endings.

    "model.optimizer.generator.lr" and "model.optimizer.discriminator.lr" become "generator.lr"
    and "discriminator.lr". "weight" always keeps the part before it, as in "r1.weight".
    """
    wanted = list(dict.fromkeys(keys))
    endings: dict[str, list[str]] = {}  # of each key, from short to long
    for key in wanted:
        parts = key.split(".")
        shortest = 2 if parts[-1] == "weight" and len(parts) > 1 else 1
        endings[key] = [".".join(parts[-n:]) for n in range(shortest, len(parts) + 1)]
    shared = Counter(ending for found in endings.values() for ending in found)
    return {key: next((e for e in endings[key] if shared[e] == 1), key) for key in wanted}


def settings_text(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """ "generator.lr 0.0002, n_critic 5"."""
    return ", ".join(f"{names[key]} {setting(value)}" for key, value in settings.items())


def listing(words: Iterable[str], last: str) -> str:
    """ "0, 2 or 7": a list of at most eight words. A longer list ends with "N more"."""
    found = list(words)
    if len(found) > 8:
        found = [*found[:7], f"{len(found) - 7} more"]
    return f" {last} ".join(filter(None, [", ".join(found[:-1]), *found[-1:]]))


def aligned(
    rows: Iterable[Sequence[str]], right: Collection[int] = (), width: int = 80
) -> list[str]:
    """The rows as lines of columns, for a terminal or a file: no colours, no wider than `width`.

    right: the columns whose texts end at the same place, as numbers do.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for cells in rows:
        for number in range(len(table.columns), len(cells)):
            table.add_column(justify="right" if number in right else "left", no_wrap=True)
        table.add_row(*cells)
    console = Console(width=width, color_system=None, markup=False, emoji=False, highlight=False)
    with console.capture() as shown:
        console.print(table)
    return [line.rstrip() for line in shown.get().splitlines()]


def beside_names(
    names: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Collection[int] = (),
    width: int = 80,
) -> list[str]:
    """Each name with its values in columns behind it, within `width`; the first row is the heading.

    Nothing is cut: a long name stands above its values, and values that do not fit are wrapped.
    """
    values = aligned(rows, right, width=10_000)
    pairs = list(zip(names, values, strict=True))
    short = (n for n, line in pairs if len(n) <= width // 3 and len(n) + 2 + len(line) <= width)
    fits = max(map(len, short), default=4)
    lines = []
    for (name, line), cells in zip(pairs, rows, strict=True):
        beside = fits + 2 + len(line) <= width
        if len(name) > fits or not beside:
            lines.append(name)
            name = ""
        if beside:
            lines.append(f"{name:<{fits}}  {line}".rstrip())
        else:
            lines += _indented("  ".join(filter(None, cells)), width)
    return lines


def _indented(text: str, width: int) -> list[str]:
    indent = "    "
    return textwrap.wrap(text, width, initial_indent=indent, subsequent_indent=indent)
