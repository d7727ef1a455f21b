"""Tables as data: each file of conf/reproduce/ is read, and each mistake is named with its fix."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from gansweep.config.compose import compose
from gansweep.errors import UserError
from gansweep.reproduce.plan import planned_cells
from gansweep.reproduce.table_file import load_table, table_names

GOOD: dict[str, Any] = {
    "title": "Modes",
    "citation": "Somebody 2020",
    "known_from": "table",
    "published": {"error": "se", "runs": 10},
    "scores": {"modes": {"score": "modes", "title": "modes of 8"}},
    "settings": {"ring": {"overrides": ["data=ring"]}},
    "rows": {
        "GAN": {
            "cells": {"ring": {"overrides": ["model=gan"], "published": {"modes": [6.3, 0.5]}}}
        },
        "ALI": {"not_run": "It is not built.", "cells": {"ring": {"published": {"modes": 6.6}}}},
    },
    "budgets": {"small": {"share": 0.1, "seeds": 3, "shows": "order"}, "paper": {"seeds": 10}},
}


def write(folder: Path, content: Any) -> str:
    path = folder / "reproduce" / "mine.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False)
    )
    return str(folder)


def changed(path: str, value: Any) -> dict[str, Any]:
    """GOOD with the value at a dotted path; `...` removes it."""
    content = copy.deepcopy(GOOD)
    node, *rest = content, *path.split(".")
    for key in rest[:-1]:
        node = node[key]
    if value is ...:
        del node[rest[-1]]
    else:
        node[rest[-1]] = value
    return dict(content)


def test_a_folder_of_ones_own_adds_a_table(tmp_path: Path) -> None:
    table = load_table("mine", write(tmp_path, GOOD))
    assert "mine" in table_names(str(tmp_path))
    gan, ali = table.cells
    assert gan.overrides == ("data=ring", "model=gan")
    assert (gan.published["modes"].value, gan.published["modes"].error) == (6.3, 0.5)
    assert ali.published["modes"].error is None
    assert table.to_run() == [gan] == table.to_run(["ring"]) == table.to_run(["GAN / ring"])
    assert table.budget(None).name == "small"


def test_a_score_of_ones_own_says_which_way_is_better(tmp_path: Path) -> None:
    mine = {"score": "sliced", "direction": "maximize"}
    table = load_table("mine", write(tmp_path, changed("scores.modes", mine)))
    assert table.scores["modes"].direction == "maximize"
    write(tmp_path, changed("scores.modes", {"score": "sliced"}))
    with pytest.raises(UserError, match=r"'sliced', which is none.*direction: minimize, or max"):
        load_table("mine", str(tmp_path))
    write(tmp_path, changed("scores.modes", {"score": "modes", "direction": "minimize"}))
    with pytest.raises(UserError, match="gansweep knows that of its scores. Remove it"):
        load_table("mine", str(tmp_path))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("title", ..., "title is missing"),
        ("rows", ..., "rows is missing"),
        ("colour", "red", "There is no option 'colour'"),
        ("known_from", "tables", "Did you mean 'table'"),
        ("scores.modes.score", "mods", "Did you mean 'modes'"),
        (
            "scores.modes.facter",
            2,
            "Did you mean 'scores.modes.factor'|no option 'scores.modes.fac",
        ),
        ("scores", ["modes"], "scores is no mapping"),
        ("rows.GAN.cells", ..., "rows.GAN.cells is missing"),
        ("rows.GAN.cells.ring.overrides", [], None),
        ("rows.GAN.cells.ring.published", {"modez": 1}, "Did you mean 'modes'"),
        ("rows.GAN.cells.ring.published", {"modes": [1, 2, 3]}, "no figure"),
        ("rows.GAN.cells.ring.published", {"modes": "six"}, "no figure"),
        ("rows.GAN.cells", {"rin": {"overrides": ["model=gan"]}}, "Did you mean 'ring'"),
        ("settings.grid", {"overrides": ["data=grid"]}, "settings.grid is in no row"),
        ("settings.ring.most", {"modez": 8}, "settings.ring.most names.*Did you mean 'modes'"),
        ("settings.ring.most", {"modes": 0}, "settings.ring.most"),
        ("budgets.small.shows", "digits", "reproduces no digits"),
        ("budgets.small.share", 2, "budgets.small.share=2 is not"),
        ("budgets", {"1/10": {"share": 0.1, "shows": "order"}}, "budgets.1/10: its page is named"),
        ("settings.ring", {"title": "toy"}, None),
        ("settings.toy", {"title": "ring"}, "settings.ring and settings.toy have one title"),
        ("rows.GAN.cells.ring.published", {"modes": math.nan}, "no figure"),
        ("budgets.small.seeds", 0, "budgets.small.seeds=0 is not"),
        ("departures", [{"what": "less"}], r"departures\[0\] needs what: and why:"),
    ],
)
def test_a_mistake_is_named_with_its_place(
    path: str, value: Any, said: str | None, tmp_path: Path
) -> None:
    folder = write(tmp_path, changed(path, value))
    if said is None:  # the setting still has some
        load_table("mine", folder)
        return
    with pytest.raises(UserError, match=said) as error:
        load_table("mine", folder)
    assert "mine.yaml" in str(error.value)


def test_an_order_of_a_row_without_the_cell_is_refused(tmp_path: Path) -> None:
    content = changed("settings.grid", {"overrides": ["data=grid"]})
    content["rows"]["GAN"]["cells"]["grid"] = {}
    content["orders"] = [{"setting": "grid", "score": "modes", "rows": ["GAN", "ALI"]}]
    with pytest.raises(UserError, match=r"orders\[0\]: the row 'ALI' has no cell in .* 'grid'"):
        load_table("mine", write(tmp_path, content))


@pytest.mark.parametrize("name", table_names())
def test_the_kl_of_modes_ends_at_that_of_one_mode(name: str) -> None:
    """-ln of the rarest mode's share; in the demonstration one of seven is twice as likely."""
    table = load_table(name)
    words = {score.word: key for key, score in table.scores.items()}
    for setting in table.settings if "reverse_kl" in words else ():
        most = table.most[setting]
        modes = 8 if setting == "demonstration" else most[words["modes"]]
        limit = most[words["reverse_kl"]]
        assert math.log(modes) <= limit == pytest.approx(math.log(modes), abs=1e-6)


def test_a_cell_that_nothing_describes_is_refused(tmp_path: Path) -> None:
    content = changed("settings.ring", None)
    del content["rows"]["GAN"]["cells"]["ring"]["overrides"]
    with pytest.raises(UserError, match="rows.GAN.cells.ring has no overrides"):
        load_table("mine", write(tmp_path, content))


@pytest.mark.parametrize("text", ["a: [", "- 1", "a: *b", "\0"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="mine.yaml cannot be read"):
        load_table("mine", write(tmp_path, text))


def test_a_share_is_one_of_the_largest_budget(tmp_path: Path) -> None:
    """As --minutes has it, whose budget is found again by its name."""
    full = {"overrides": ["model.n_critic=2"], "share": 0.5, "shows": "order"}
    budgets = {"small": {"share": 0.1, "shows": "order"}, "half": full}
    table = load_table("mine", write(tmp_path, changed("budgets", budgets)))
    assert table.largest.name == "half"
    assert table.budget("share-0.25").overrides == ("model.n_critic=2",)


def test_two_cells_of_the_same_run_are_refused(tmp_path: Path) -> None:
    """As the default beside an option that says the default."""
    table = load_table("mine", write(tmp_path, changed("rows.ALI", {
        "overrides": ["model=gan", "model.packing=1"], "cells": {"ring": {}},
    })))  # fmt: skip
    with pytest.raises(UserError, match="mine: 'GAN / ring' and 'ALI / ring' are the same run"):
        planned_cells(table, table.budget(None), compose)


def test_unknown_names_list_the_known(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Did you mean 'dirac_gan'.*The tables are: .*dirac_gan"):
        load_table("dirac_gam")
    table = load_table("mine", write(tmp_path, GOOD))
    with pytest.raises(
        UserError, match="no such row, .* Did you mean 'GAN'.*GAN; ALI. Its settings are: ring"
    ):
        table.to_run(["GNA"])
    with pytest.raises(UserError, match="the paper's figures alone. It is not built"):
        table.to_run(["GAN", "ALI"])
    with pytest.raises(UserError, match="no such budget. Did you mean 'small'"):
        table.budget("smal")
    with pytest.raises(UserError, match="no such budget"):
        table.budget("share-1.5")
    assert (table.budget("share-0.25").share, table.budget("share-0.25").shows) == (0.25, "order")


@pytest.mark.parametrize(
    ("only", "cells"),
    [
        (["GAN"], ["GAN / ring", "GAN / grid"]),
        (["ring"], ["GAN / ring", *(f"PacGAN{k} / ring" for k in (2, 3, 4))]),
        (["GAN / ring"], ["GAN / ring"]),
        (["GAN / ring of 8"], ["GAN / ring"]),  # as the printed table calls it
        (
            ["PacGAN2", "GAN / ring", "GAN"],
            ["GAN / ring", "GAN / grid", "PacGAN2 / ring", "PacGAN2 / grid"],
        ),
    ],
)
def test_a_part_of_a_table_is_named_as_it_is_shown(only: list[str], cells: list[str]) -> None:
    assert [cell.name for cell in load_table("pacgan_2d").to_run(only)] == cells


def test_a_rule_of_best_needs_scores_of_best_checkpoints(tmp_path: Path) -> None:
    write(tmp_path, {**GOOD, "rule": "best", "evaluation_seeds": 0})
    with pytest.raises(UserError, match="rule: best needs scores of the best checkpoint"):
        load_table("mine", str(tmp_path))
