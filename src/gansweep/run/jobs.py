"""What tells the jobs of a multirun apart: in their headers, names and the table at its end."""

import json
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from gansweep.errors import COLUMNS
from gansweep.records.notation import aligned, number, short_names

SWEPT = "GANSWEEP_SWEPT"  # environment: the launchers train in other processes
LONGEST_STEM = 56  # characters; a hyphen and three digits follow
_given: list[str] = []  # the words of a multirun in this process, where they list all values
GROUPS = ("model", "data", "experiment", "term", "metrics", "callbacks", "tracker", "trainer")


def note_swept(hydra_config: DictConfig) -> None:
    """Tell the processes of a multirun which keys have several values."""
    given: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
    words = [str(word) for word in given]
    params = hydra_config.sweeper.get("params") or {}
    words += [f"{key}={value}" for key, value in params.items()]
    parsed = OverridesParser.create().parse_overrides(words)
    swept = [_key(str(one.input_line)) for one in parsed if one.is_sweep_override()]
    os.environ[SWEPT] = json.dumps(swept)
    _given[:] = [] if params else words


def words_left(number: int, words: Sequence[str] | None = None) -> list[list[str]]:
    """The overrides of the multiruns that together are the jobs after job `number`, from 0.

    words: of the whole multirun; by default those of this process's. The last of its words with
    several values changes fastest, as Hydra counts. Returns [] where nothing is left, and where a
    file lists the values.
    """
    parsed = OverridesParser.create().parse_overrides([*(_given if words is None else words)])
    typed = [str(one.input_line) for one in parsed]
    values = [
        [*map(str, one.sweep_string_iterator())] if one.is_sweep_override() else [""]
        for one in parsed
    ]
    places: list[int] = []
    for several in reversed(values):
        number, place = divmod(number, len(several))
        places.insert(0, place)

    def chosen(index: int, some: Sequence[str]) -> str:
        key = typed[index].partition("=")[0]
        return f"{key}={','.join(some)}" if len(values[index]) > 1 else typed[index]

    return [
        [
            *(chosen(k, [values[k][places[k]]]) for k in range(index)),
            chosen(index, values[index][places[index] + 1 :]),
            *typed[index + 1 :],
        ]
        for index in reversed(range(len(values)))
        if values[index][places[index] + 1 :]
    ]


def differing(words: Sequence[str]) -> list[str]:
    """Those of a job's overrides that are other ones in other jobs."""
    swept = json.loads(os.environ.get(SWEPT, "[]"))
    return [word for word in words if _key(word) in swept]


def stem(cfg: DictConfig, words: Sequence[str]) -> str:
    """The start of a job's directory name, such as "dcgan-seed1": the model and what differs.

    words: the job's overrides. The data are not named where they name the directory above.
    """
    above = {"model"} | ({"data"} if cfg.group is None else set())
    pairs = dict(word.lstrip("+").partition("=")[::2] for word in differing(words))
    names = short_names(pairs)
    parts = [str(cfg.choices.model)]
    for key, value in pairs.items():
        if key not in above:
            parts.append(_safe(value if key in GROUPS else f"{names[key]}{value}"))
    return "-".join(filter(None, parts))[:LONGEST_STEM].rstrip("-._")


def _key(word: str) -> str:
    return word.lstrip("+~").partition("=")[0]


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "_", text).strip("_.")


def jobs_table(outcomes: Sequence[Mapping[str, Any]]) -> list[str]:
    """The lines of the table at the end of a multirun, no wider than a terminal of 80 columns.

    outcomes: of each job; see `outcome_of` and `failure` in multirun.py. Its directory takes a
        line of its own where the columns leave no room for it.
    """
    objectives = {one["objective"] for one in outcomes if one.get("objective")}
    heading = objectives.pop() if len(objectives) == 1 else "objective"
    cells = [["job", "status", heading]]
    for one in outcomes:
        name = one.get("objective") if heading == "objective" else None
        value = number(one.get("value"))
        cells.append([str(one["job"]), one["status"], f"{name} {value}" if name else value])
    numbers = aligned(cells, right=[2])
    width = max(map(len, numbers))
    rest = [("what differs", "directory"), *((one["called"], one["directory"]) for one in outcomes)]
    widest = max(len(called) for called, _ in rest)
    lines = []
    for left, (called, directory) in zip(numbers, rest, strict=True):
        lines.append(f"{left:<{width}}  {called:<{widest}}  {directory}")
    if max(map(len, lines)) <= COLUMNS:
        return lines
    lines = []
    for left, (called, directory) in zip(numbers, rest, strict=True):
        lines += textwrap.wrap(
            f"{left:<{width}}  {called}",
            COLUMNS,
            subsequent_indent=" " * (width + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines.append(f"     {directory}")
    return lines
