"""The tables of conf/reproduce/ and of a user's own folder, read and checked."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

from gansweep.config.choices import conf_dir
from gansweep.config.options import check_record
from gansweep.config.ranges import Positive, Range
from gansweep.errors import UserError, nearest
from gansweep.metrics.protocol import CHOSEN_BY, DIRECTIONS, GAME, HELD_OUT, ON_REQUEST, QUICK
from gansweep.records.plain_values import DamagedError
from gansweep.records.stored_yaml import yaml_mapping
from gansweep.reproduce.table import (
    Budget,
    Cell,
    Departure,
    Expected,
    KnownFrom,
    Published,
    Score,
    Shows,
    Table,
)

HOME = "gansweep.reproduce.table_file"
SCORES = tuple(dict.fromkeys((*DIRECTIONS, *QUICK, *ON_REQUEST, *CHOSEN_BY, *HELD_OUT, *GAME)))
Seeds = Annotated[int, Range(1, 1_000)]
BUDGET_NAME = re.compile(r"\w[\w.-]*")


class ScoreOptions(TypedDict):
    score: str
    title: str
    factor: Positive
    decimals: Annotated[int, Range(0, 6)]
    tolerance: Positive
    direction: Literal["minimize", "maximize"]


class SettingOptions(TypedDict):
    title: str
    overrides: list[str]
    most: dict[str, Positive]


class CellOptions(TypedDict):
    overrides: list[str]
    published: Any


class RowOptions(TypedDict):
    overrides: list[str]
    not_run: str
    cells: Any


class BudgetOptions(TypedDict):
    share: Annotated[float, Range(0, 1, above=True, such_as=0.1)]
    seeds: Seeds
    shows: Shows
    says: str
    overrides: list[str]


class DepartureOptions(TypedDict):
    what: str
    why: str


class OrderOptions(TypedDict):
    setting: str
    score: str
    rows: list[str]


class PublishedOptions(TypedDict):
    error: Literal["se", "sd", "none"]
    runs: Seeds | None


class TableOptions(TypedDict):
    """The root of a file of conf/reproduce/."""

    title: str
    citation: str
    known_from: KnownFrom
    run_by: Literal["us", "others"]
    published: PublishedOptions
    rule: Literal["last", "best"]
    evaluation_seeds: Annotated[int, Range(0, 100)]
    evaluations: Annotated[int, Range(1, 10_000)]
    evaluation: dict[str, Any]
    overrides: list[str]
    scores: Any
    settings: Any
    rows: Any
    budgets: Any
    orders: list[Any]
    departures: list[Any]
    notes: list[str]


def table_names(config_dir: str | None = None) -> list[str]:
    """The tables of conf/reproduce/, and of the user's own folder."""
    found = {path.stem for folder in _folders(config_dir) for path in folder.glob("*.yaml")}
    return sorted(found)


def load_table(name: str, config_dir: str | None = None) -> Table:
    """Raises: UserError for a name that there is not, and for a file with a mistake."""
    known = table_names(config_dir)
    if name not in known:
        raise UserError(
            f"there is no table '{name}'.{nearest(name, known)} The tables are: "
            f"{', '.join(known)}. One of your own is --config-dir DIR with DIR/reproduce/NAME.yaml."
        )
    paths = (folder / f"{name}.yaml" for folder in _folders(config_dir))
    path = next(path for path in paths if path.is_file())
    try:
        content = yaml_mapping(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    except DamagedError as error:
        raise UserError(f"{path} cannot be read: {error}. Correct it.") from error
    try:
        return _table(name, content)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _folders(config_dir: str | None) -> Iterator[Path]:
    if config_dir is not None:
        yield Path(config_dir) / "reproduce"
    yield conf_dir() / "reproduce"


def _table(name: str, content: Mapping[str, Any]) -> Table:
    """Raises: UserError for the first mistake."""
    check_record("", content, f"{HOME}.TableOptions")
    needed = ("title", "citation", "known_from", "scores", "settings", "rows", "budgets")
    for key in needed:
        if not content.get(key):
            raise UserError(f"{key} is missing, which every table needs.")
    published = {"error": "none", "runs": None, **(content.get("published") or {})}
    scores = {k: _score(k, node) for k, node in _nodes("scores", content["scores"], ScoreOptions)}
    settings = dict(_nodes("settings", content["settings"], SettingOptions))
    _refuse_equal_titles(settings)
    rows = dict(_nodes("rows", content["rows"], RowOptions))
    shared = content.get("overrides") or []
    cells = [c for row, node in rows.items() for c in _cells(row, node, settings, scores, shared)]
    _refuse_unused(settings, cells)
    if content.get("rule") == "best" and content.get("evaluation_seeds") == 0:
        raise UserError(
            "rule: best needs scores of the best checkpoint, and with evaluation_seeds: 0 those of "
            "the training are all. Give evaluation_seeds, or rule: last."
        )
    for key, node in settings.items():
        _refuse_unknown_scores(f"settings.{key}.most", node.get("most", {}), scores)
    return Table(
        name=name,
        title=content["title"],
        citation=content["citation"],
        known_from=content["known_from"],
        run_by_us=content.get("run_by", "us") == "us",
        error=published["error"],
        runs=published["runs"],
        rule=content.get("rule", "last"),
        evaluation_seeds=int(content.get("evaluation_seeds", 1)),
        evaluations=int(content.get("evaluations", 1)),
        scores=scores,
        settings={key: node.get("title", key) for key, node in settings.items()},
        most={key: node["most"] for key, node in settings.items() if "most" in node},
        cells=tuple(cells),
        budgets={k: _budget(k, n) for k, n in _nodes("budgets", content["budgets"], BudgetOptions)},
        evaluation=dict(content.get("evaluation") or {}),
        orders=tuple(_orders(content.get("orders") or [], settings, scores, rows)),
        departures=tuple(_departures(content.get("departures") or [])),
        notes=tuple(content.get("notes") or ()),
        not_run={row: node["not_run"] for row, node in rows.items() if node.get("not_run")},
    )


def _nodes(where: str, content: Any, kind: type) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, node) of each entry of a mapping, checked."""
    if not isinstance(content, Mapping):
        raise UserError(f"{where} is no mapping of names: write {where}: {{NAME: {{...}}}}.")
    for name, node in content.items():
        node = {} if node is None else node
        if not isinstance(node, Mapping):
            raise UserError(f"{where}.{name} is no mapping of {', '.join(kind.__annotations__)}.")
        check_record(f"{where}.{name}.", node, f"{HOME}.{kind.__name__}")
        yield str(name), node


def _score(name: str, node: Mapping[str, Any]) -> Score:
    word, own = str(node.get("score", name)), node.get("direction")
    if word not in SCORES and own is None:
        raise UserError(
            f"scores.{name} names the score '{word}', which is none.{nearest(word, SCORES)} Scores "
            f"are: {', '.join(SCORES)}. One of your own, of metrics.own, says which way is better: "
            "direction: minimize, or maximize."
        )
    if word in SCORES and own is not None:
        raise UserError(
            f"scores.{name} gives '{word}' a direction, which is for a score of your own: gansweep "
            "knows that of its scores. Remove it."
        )
    given = {key: node[key] for key in ("factor", "decimals", "tolerance") if key in node}
    return Score(name, word, str(node.get("title", name)), better=own, **given)


def _cells(
    row: str,
    node: Mapping[str, Any],
    settings: Mapping[str, Mapping[str, Any]],
    scores: Mapping[str, Score],
    shared: list[str],
) -> Iterator[Cell]:
    if not node.get("cells"):
        raise UserError(f"rows.{row}.cells is missing: name the settings that the row has.")
    for setting, cell in _nodes(f"rows.{row}.cells", node["cells"], CellOptions):
        where = f"rows.{row}.cells.{setting}"
        if setting not in settings:
            raise UserError(
                f"{where}: there is no such setting.{nearest(setting, settings)} There are: "
                f"{', '.join(settings)}."
            )
        own = [*settings[setting].get("overrides", ()), *node.get("overrides", ())]
        own += cell.get("overrides", ())
        if not (shared or own or node.get("not_run")):
            raise UserError(
                f"{where} has no overrides, so nothing says what is trained. Give some to the "
                "cell, its row, its setting or the table, or give the row a reason under not_run."
            )
        published = _figures(where, cell.get("published") or {}, scores)
        yield Cell(row, setting, (*shared, *own), published)


def _figures(where: str, content: Any, scores: Mapping[str, Score]) -> dict[str, Published]:
    if not isinstance(content, Mapping):
        raise UserError(f"{where}.published is no mapping of SCORE: VALUE or [VALUE, ERROR].")
    found = {}
    _refuse_unknown_scores(f"{where}.published", content, scores)
    for name, figure in content.items():
        numbers = figure if isinstance(figure, list) else [figure]
        is_number = [isinstance(n, (int, float)) and not isinstance(n, bool) for n in numbers]
        if len(numbers) not in (1, 2) or not (all(is_number) and all(map(math.isfinite, numbers))):
            raise UserError(
                f"{where}.published.{name}={figure} is no figure: give VALUE, or [VALUE, ERROR]."
            )
        found[str(name)] = Published(*map(float, numbers))
    return found


def _refuse_unknown_scores(
    where: str, names: Mapping[str, Any], scores: Mapping[str, Score]
) -> None:
    for name in names:
        if name not in scores:
            raise UserError(
                f"{where} names the score '{name}', which the table lacks."
                f"{nearest(str(name), scores)} It has: {', '.join(scores)}."
            )


def _refuse_unused(settings: Mapping[str, Any], cells: list[Cell]) -> None:
    unused = [name for name in settings if name not in {cell.setting for cell in cells}]
    if unused:
        raise UserError(f"settings.{unused[0]} is in no row: remove it, or give a row its cell.")


def _refuse_equal_titles(settings: Mapping[str, Mapping[str, Any]]) -> None:
    found: dict[str, str] = {}
    for key, node in settings.items():
        other = found.setdefault(str(node.get("title", key)), key)
        if other != key:
            raise UserError(
                f"settings.{other} and settings.{key} have one title, so that nobody can tell them "
                "apart: give each its own."
            )


def _budget(name: str, node: Mapping[str, Any]) -> Budget:
    if not BUDGET_NAME.fullmatch(name):
        raise UserError(
            f"budgets.{name}: its page is named after it. Use letters, digits, '.', '-' and '_'."
        )
    share, shows = float(node.get("share", 1.0)), node.get("shows", "digits")
    if share < 1 and shows == "digits":
        raise UserError(
            f"budgets.{name} has a share of {share:g} of the paper's budget and shows: digits. A "
            "reduced budget reproduces no digits: say order, trend or nothing."
        )
    overrides = tuple(node.get("overrides", ()))
    return Budget(name, share, int(node.get("seeds", 1)), shows, node.get("says", ""), overrides)


def _orders(content: list[Any], *known: Mapping[str, Any]) -> Iterator[Expected]:
    """known: the settings, the scores, the rows."""
    for number, node in enumerate(content):
        where = f"orders[{number}]"
        if not isinstance(node, Mapping) or node.keys() != OrderOptions.__annotations__.keys():
            raise UserError(f"{where} needs setting:, score: and rows:, and no more.")
        check_record(f"{where}.", node, f"{HOME}.OrderOptions")
        named = ([node["setting"]], [node["score"]], node["rows"])
        for words, names in zip(named, known, strict=True):
            for word in words:
                if word not in names:
                    raise UserError(
                        f"{where} names '{word}', which the table lacks.{nearest(word, names)} "
                        f"There are: {', '.join(names)}."
                    )
        for row in node["rows"]:
            if node["setting"] not in map(str, known[-1][row]["cells"]):
                raise UserError(
                    f"{where}: the row '{row}' has no cell in the setting '{node['setting']}'. "
                    "Give it one, or leave it out of the order."
                )
        yield Expected(node["setting"], node["score"], tuple(node["rows"]))


def _departures(content: list[Any]) -> Iterator[Departure]:
    for number, node in enumerate(content):
        if not isinstance(node, Mapping) or not node.get("what") or not node.get("why"):
            raise UserError(f"departures[{number}] needs what: and why:.")
        check_record(f"departures[{number}].", node, f"{HOME}.DepartureOptions")
        yield Departure(node["what"], node["why"])
