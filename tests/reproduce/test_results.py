"""results/TABLE.json: what it keeps, how it grows, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gansweep.errors import UserError
from gansweep.reproduce.judged import judged
from gansweep.reproduce.results import StoredRun, load_results, merged, save_results
from gansweep.reproduce.table import Expected, Published, Score
from gansweep.reproduce.table_file import load_table
from gansweep.reproduce.tables import (
    badge_words,
    csv_table,
    latex_table,
    markdown_table,
    published_text,
    text_table,
)
from gansweep.reproduce.words import sentences

TABLE = load_table("pacgan_2d")


def run(row: str, seed: int, modes: list[float], **changes: Any) -> StoredRun:
    stored: dict[str, Any] = {
        "budget": "paper",
        "row": row,
        "setting": "grid",
        "seed": seed,
        "address": f"{row}-{seed}",
        "words": ["model=gan"],
        "config": "0",
        "status": "finished",
        "reason": "",
        "kimg": 1.0,
        "seconds": 1800.0,
        "ended": "2026-11-29T00:00:00+00:00",
        "last": {"modes": modes} if modes else {},
        "best": {"modes": [25.0]} if modes else {},
        "protocols": {"modes": {"score": "modes"}},
        "versions": {"gansweep": "0.1.0"},
        "git_commit": None,
        "hardware": {"device": "a CPU"},
        "command": "gansweep train",
        "directory": "reproduce-pacgan_2d/r",
    }
    return {**stored, **changes}  # type: ignore[typeddict-item]


def found(runs: list[StoredRun], budget: str = "paper") -> Any:
    addresses = {one["address"]: f"{one['row']} / grid" for one in runs}
    return judged(TABLE, TABLE.budget(budget), runs, addresses)


GAN = [run("GAN", s, [m]) for s, m in enumerate([17.0, 18.0, 17.0, 17.5, 16.5, 17.3])]
PAC = [run("PacGAN2", s, [m]) for s, m in enumerate([23.0, 24.0, 23.5, 23.9, 24.4, 23.8])]


def with_run(**changes: Any) -> str:
    """A file whose one run has these changes."""
    return json.dumps({"schema": 1, "table": "pacgan_2d", "runs": [{**GAN[0], **changes}]})


def test_it_grows_by_seeds_and_keeps_what_was_scored_more_often(tmp_path: Path) -> None:
    path = tmp_path / "pacgan_2d.json"
    assert load_results(path) == []
    assert save_results(path, TABLE, merged([], GAN[:2]), {"0": {}})
    assert not save_results(path, TABLE, merged(load_results(path), GAN[:2]), {"0": {}})
    again = run("GAN", 1, [18.0, 18.5, 19.0])
    kept = merged(load_results(path), [again, GAN[2]])
    assert [(r["seed"], len(r["last"]["modes"])) for r in kept] == [(0, 1), (1, 3), (2, 1)]
    assert merged(kept, [GAN[1]]) == kept  # scored less often


def test_of_two_commands_that_end_at_once_each_adds_its_own(tmp_path: Path) -> None:
    """Both read the file before either wrote it."""
    path = tmp_path / "results" / "pacgan_2d.json"
    assert save_results(path, TABLE, merged([], GAN[:2]), {"0": {}})
    assert save_results(path, TABLE, merged([], PAC[:1]), {"1": {}})
    assert len(load_results(path)) == 3


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"schema": 2, "table": "pacgan_2d", "runs": []}', "has schema 2.*reads 1"),
        ('{"schema": 1, "table": "dirac_gan", "runs": []}', "results of the table 'dirac_gan'"),
        ('{"schema": 1, "table": "pacgan_2d", "runs": {}}', "runs is no list"),
        ('{"schema": 1, "table": "pacgan_2d", "runs": [{"seed": 1}]}', r"runs\[0\] lacks budget"),
        (with_run(seed="one"), r"runs\[0\].seed"),
        (with_run(last={"modes": 1}), r"runs\[0\].last"),
    ],
)
def test_a_damaged_file_and_anothers_are_refused(content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "pacgan_2d.json"
    path.write_text(content)
    with pytest.raises(UserError, match=said):
        load_results(path)


def test_each_verdict_is_a_sentence_with_its_test() -> None:
    text = "\n".join(sentences(found([*GAN, *PAC])))
    assert "GAN, grid of 25, modes: agrees with the paper within one standard deviation" in text
    assert "TOST p = " in text and "90 % interval" in text
    assert "our runs follow the paper's order GAN < PacGAN2 (permutation test, 36 of 36" in text


def test_lost_runs_are_counted_and_never_dropped() -> None:
    lost = run("GAN", 9, [], status="diverged", reason="the loss is nan")
    one = found([*GAN, lost])
    assert "Lost: GAN / grid (1 diverged of 7)." in sentences(one)[0]
    assert "7, 1 lost" in text_table(one, 80)


def test_what_diverged_is_no_agreement_and_ranks_below_all() -> None:
    """The seeds that are left are a selection."""
    lost = [run("GAN", 9 + k, [], status="diverged", reason="nan") for k in range(2)]
    text = "\n".join(sentences(found([*GAN, *lost, *PAC])))
    assert "GAN, grid of 25, modes: cannot tell: 2 runs of it have no score." in text
    assert "paper's order GAN < PacGAN2 (permutation test, 48 of 48" in text
    ends = [run("PacGAN2", 9 + k, [], status="diverged", reason="nan") for k in range(6)]
    text = "\n".join(sentences(found([*GAN, *PAC, *ends])))
    assert "cannot tell whether our runs follow" in text and "36 of 72" in text


def test_a_seed_counts_once_whatever_the_file_calls_its_cell() -> None:
    """One seed was trained by an older version, too, and the row had another name then."""
    older = [run("GAN", s, [16.0], address=f"old-{s}", ended="2026-01-01") for s in (0, 1)]
    renamed = [{**one, "row": "the GAN"} for one in GAN]
    runs = [*older, *renamed]
    addresses = dict.fromkeys((str(one["address"]) for one in runs), "GAN / grid")
    one = judged(TABLE, TABLE.budget("paper"), runs, addresses)  # type: ignore[arg-type]
    cell = next(c for c in one.cells if c.cell.name == "GAN / grid" and c.score.name == "modes")
    assert cell.last is not None and (cell.last.n, one.n) == (6, 6)
    assert cell.last.mean == pytest.approx(17.2167, abs=1e-4)
    assert (one.outdated, one.repeated) == (0, 2)
    assert sentences(one)[-1] == "2 runs in the file repeat a seed of a cell: each counts once."


def test_a_seed_that_was_lost_is_not_undone_by_a_second_training(tmp_path: Path) -> None:
    """Neither under its address nor under that of another version."""
    lost = run("GAN", 0, [], status="diverged", reason="nan", ended="2026-01-01")
    for kept in (merged([lost], [GAN[0]]), merged([GAN[0]], [lost])):
        assert [one["status"] for one in kept] == ["diverged"]
    runs = [{**lost, "address": "older"}, *GAN]
    addresses = dict.fromkeys((str(one["address"]) for one in runs), "GAN / grid")
    one = judged(TABLE, TABLE.budget("paper"), runs, addresses)  # type: ignore[arg-type]
    assert "Lost: GAN / grid (1 diverged of 6)." in sentences(one)[0]


def test_beside_a_run_without_a_score_nothing_is_told() -> None:
    """Its training ended well, but it could not be scored: the others are a selection still."""
    text = "\n".join(sentences(found([*GAN, run("GAN", 9, []), *PAC])))
    assert "GAN, grid of 25, modes: cannot tell: 1 run of it has no score." in text
    assert "PacGAN2, grid of 25, modes: agrees with the paper" in text


def test_a_failed_run_is_counted_until_it_has_run_again() -> None:
    failed = run("GAN", 9, [3.0], status="failed", reason="a bug")
    one = found([*GAN, failed, *PAC])
    text = "\n".join(sentences(one))
    assert "Lost: GAN / grid (1 failed of 7)." in text and "7, 1 lost" in text_table(one, 80)
    assert "GAN, grid of 25, modes: cannot tell: 1 run of it has no score." in text
    again = run("GAN", 9, [17.0])
    for runs in ([failed, again], [again, failed]):
        assert [kept["status"] for kept in merged([], runs)] == ["finished"]


def test_a_run_without_a_score_may_be_anywhere_in_an_order() -> None:
    runs = [*GAN[:3], *PAC[:3]]
    told = "our runs follow the paper's order GAN < PacGAN2"
    assert f": {told}" in "\n".join(sentences(found(runs)))
    text = "\n".join(sentences(found([*runs, run("PacGAN2", 9, [])])))
    assert f"cannot tell whether {told}" in text
    assert f": {told}" in "\n".join(sentences(found([*GAN, *PAC, run("PacGAN2", 9, [])])))


def test_an_order_that_unscored_runs_may_turn_round_is_not_told() -> None:
    """The one GAN with a score is above all of PacGAN2; were the others below, it would hold."""
    runs = [run("GAN", 0, [25.0]), *(run("GAN", s, []) for s in range(1, 6)), *PAC]
    one = found(runs)
    text = "\n".join(sentences(one))
    assert "we cannot tell whether our runs follow the paper's order GAN < PacGAN2" in text
    (pairs,) = [order.order for order in one.orders if "PacGAN2" in order.rows]
    assert pairs.p > 0.5, "its number is of the test that finds the opposite"


def test_values_of_several_protocols_get_no_verdict() -> None:
    other = {"modes": {"score": "modes", "weights_hash": "other"}}
    one = found([*GAN, *(run("PacGAN2", s, [23.5], protocols=other) for s in range(6))])
    text = "\n".join(sentences(one))
    assert "GAN, grid of 25, modes: cannot tell: the runs of its setting were measured" in text
    assert "measured under 2 protocols" in text and "order GAN" not in text
    assert badge_words(one) == "0 of 2 figures agree, 0 differ, 2 not decided"


def test_runs_that_count_no_more_are_told_where_none_counts() -> None:
    one = judged(TABLE, TABLE.budget("paper"), GAN, {})
    assert sentences(one) == [
        "No run of ours has ended under the budget 'paper' yet.",
        "6 runs in the file are of cells that have changed since, and not counted.",
    ]


def test_an_order_from_memory_is_a_remembered_one() -> None:
    table = replace(
        TABLE, known_from="memory", orders=(Expected("grid", "modes", ("GAN", "PacGAN2")),)
    )
    runs = [{**one, "budget": "small"} for one in (*GAN, *PAC)]
    names = {one["address"]: f"{one['row']} / grid" for one in runs}
    one = judged(table, TABLE.budget("small"), runs, names)  # type: ignore[arg-type]
    assert "our runs follow the remembered order GAN < PacGAN2" in "\n".join(sentences(one))
    assert badge_words(one) == "1 order: 1 as remembered"


def dirac(runs: list[StoredRun]) -> Any:
    table = load_table("dirac_gan")
    addresses = {one["address"]: f"{one['row']} / alternating" for one in runs}
    return judged(table, table.budget("paper"), runs, addresses)


def exact(row: str, seed: int, **changes: Any) -> StoredRun:
    """A run that meets the calculated factor of a step, 1."""
    values = {"last": {"contraction": [1.0]}, "best": {}}
    return run(row, seed, [], **{"setting": "alternating", **values, **changes})


def test_a_lost_run_is_no_agreement_with_a_calculated_figure() -> None:
    """Nor is what it measured before it was lost: that is of no last checkpoint."""
    lost = exact("GAN", 1, status="diverged")
    one = dirac([exact("GAN", 0), lost, exact("WGAN-GP 0.3", 0)])
    cell = next(c for c in one.cells if c.cell.row == "GAN" and c.score.name == "contraction")
    assert cell.last is not None and cell.last.n == 1
    text = "\n".join(sentences(one))
    assert "1 of 4 figures agree with the calculated ones" in text  # the GAN has three
    assert "GAN / alternating (factor a step)" in text.partition("Not tested, for runs ")[2]
    assert "Not in agreement" not in text and "the largest difference is 0.0e+00" in text
    assert badge_words(one) == "1 of 4 figures agree, 0 differ, 3 not decided"


def test_calculated_figures_of_several_protocols_are_not_far_from_them() -> None:
    other = {"contraction": {"score": "contraction", "n_fake": 5}}
    mine = {"contraction": {"score": "contraction"}}
    rows = [exact("GAN", 0, protocols=other), exact("WGAN-GP 0.3", 0, protocols=mine)]
    text = "\n".join(sentences(dirac(rows)))
    assert "0 of 2 figures agree with the calculated ones within their tolerance (0.001)." in text
    assert badge_words(dirac(rows)) == "0 of 2 figures agree, 0 differ, 2 not decided"


def test_a_cell_whose_runs_are_all_lost_is_shown_and_counted() -> None:
    """Also where the paper has no figure of it."""
    one = dirac([exact("R1 0.3", 0, status="diverged", last={}), exact("GAN", 0)])
    verdicts = [row.split(" | ") for row in markdown_table(one).splitlines() if "| R1 0.3 " in row]
    assert [row[-1] for row in verdicts] == ["lost |"] * 4
    assert badge_words(one) == "1 of 5 figures agree, 0 differ, 4 not decided"
    bare = found([run("GAN", 0, [], status="collapsed")])
    labels = load_table("sgan_labels")
    few = run("K + 1 classes, game", 0, [], setting="100", budget="small", status="diverged")
    name = {few["address"]: "K + 1 classes, game / 100"}
    rows = markdown_table(judged(labels, labels.budget("small"), [few], name)).splitlines()
    (lost,) = (row for row in rows if "| 1, 1 lost | lost |" in row)
    assert "K + 1 classes, game" in lost
    expected = {row for order in labels.orders for row in order.rows}
    assert all(any(f"| {row} | 50 labels" in line for line in rows) for row in expected)
    assert all(line.endswith("| 0 | no run yet |") for line in rows[2:] if line != lost)
    assert "GAN, grid of 25, modes: cannot tell: 1 run of it has no score." in sentences(bare)[1]


def test_an_order_names_the_rows_that_were_run_alone() -> None:
    orders = (Expected("grid", "modes", ("GAN", "PacGAN2", "PacGAN3")),)
    table = replace(TABLE, orders=orders)
    three = [run("PacGAN3", s, [m]) for s, m in enumerate([24.9, 24.6, 24.8, 24.7])]
    runs = [*GAN, *three]
    addresses = {one["address"]: f"{one['row']} / grid" for one in runs}
    one = judged(table, table.budget("paper"), runs, addresses)
    assert one.orders[-1].rows == ("GAN", "PacGAN3")
    assert "our runs follow the paper's order GAN < PacGAN3 (" in "\n".join(sentences(one))


@pytest.mark.parametrize(
    ("changes", "runs", "said"),
    [
        ({"runs": None}, GAN, "the number of the paper's runs is not known."),
        ({}, GAN[:1], "fewer than two runs of ours have a score."),
        ({"error": "none"}, GAN, "no error is published."),
    ],
)
def test_a_figure_that_is_not_tested_says_why(
    changes: dict[str, Any], runs: list[StoredRun], said: str
) -> None:
    table = replace(TABLE, **changes)
    addresses = {one["address"]: f"{one['row']} / grid" for one in runs}
    one = judged(table, table.budget("paper"), runs, addresses)
    assert f"1 figure not tested for equivalence: {said}" in sentences(one)


def test_a_tail_that_a_computer_calls_0_is_below_something() -> None:
    far = [run("GAN", s, [5.0 + s / 1e9]) for s in range(3)]
    (text,) = [line for line in sentences(found(far)) if "differs from the paper" in line]
    assert "t-test p < 0.0001)" in text


def test_values_of_several_protocols_are_named() -> None:
    """Another machine has trained another classifier; the seed of the noise differs anyway."""
    by = [{"score": "modes", "weights_hash": word, "floor": k} for k, word in enumerate("aab")]
    runs = [run("GAN", s, [17.0 + s], protocols={"modes": by[s]}) for s in range(3)]
    said = "modes, grid of 25: measured under 2 protocols, which differ in weights_hash; these"
    assert said in "\n".join(sentences(found(runs)))
    assert "protocols" not in "\n".join(sentences(found(runs[:2])))


def test_figures_from_memory_are_called_so_under_every_budget() -> None:
    table = load_table("goodfellow_mnist")
    few = run("adversarial nets", 0, [], budget="small", last={"parzen": [113.0]})
    name = {few["address"]: "adversarial nets / mnist"}
    lines = sentences(judged(table, table.budget("small"), [few], name))
    assert "The published figures are from memory: they are leads, and no verdict." in lines


def test_a_trend_names_the_rows_that_are_not_in_it() -> None:
    three = [run("PacGAN3", s, [m]) for s, m in enumerate([22.9, 23.6, 23.3, 23.7, 23.8, 23.1])]
    text = "\n".join(sentences(found([*GAN, *PAC, *three])))
    said = "tend to the paper's order GAN < PacGAN2 < PacGAN3, but PacGAN2 is not below PacGAN3 ("
    assert said in text


def test_a_cell_without_a_figure_says_why() -> None:
    """The table's other scores are in no run, other cells have none, and one has lost its runs."""
    lost = run("PacGAN2", 0, [], status="diverged", reason="the loss is nan")
    rows = csv_table(found([*GAN, lost])).splitlines()
    verdicts = {
        ",".join(row.split(",")[:3]): row.rsplit(",", 1)[1] for row in rows if ",last," in row
    }
    assert verdicts["GAN,grid,kl"] == "not measured"
    assert verdicts["PacGAN2,grid,modes"] == "lost"
    assert verdicts["PacGAN3,grid,modes"] == "no run yet"


def test_a_reduced_budget_reproduces_no_digits() -> None:
    few = [run(r["row"], r["seed"], r["last"]["modes"], budget="small") for r in (*GAN, *PAC)]
    one = found(few, "small")
    text = "\n".join(sentences(one))
    assert "reproduces no digits" in text and "agrees" not in text
    assert {cell.agreement for cell in one.cells} == {None}
    assert "follow the paper's order" in text


def test_runs_of_cells_that_changed_are_not_counted() -> None:
    one = judged(TABLE, TABLE.budget("paper"), GAN, {})
    assert one.n == 0 and one.outdated == 6


@pytest.mark.parametrize(
    ("value", "error", "decimals", "shown"),
    [
        (78.5, 17.56, 0, "78.5 ± 17.56"),
        (95.6, 2.0, 1, "95.6 ± 2.0"),
        (93, 6.5, 0, "93 ± 6.5"),
        (225, None, 0, "225"),
        (0.5, None, 4, "0.5000"),
        (0.00005, 0.00001, 2, "0.00005 ± 0.00001"),
        (100.0, 10.0, 0, "100 ± 10"),
    ],
)
def test_a_published_figure_keeps_its_decimals(
    value: float, error: float | None, decimals: int, shown: str
) -> None:
    score = Score("modes", "modes", "modes", decimals=decimals)
    assert published_text(Published(value, error), score, TABLE) == shown


def test_one_table_in_four_notations() -> None:
    one = found([*GAN, *PAC])
    assert "17.2 [16.7, 17.8] (6)" in text_table(one, 80)
    assert "grid,modes,17.3,0.8,last,17.2" in csv_table(one)
    assert r"\toprule" in latex_table(one) and r"\%" in latex_table(one)
    assert "| GAN | grid of 25 | modes | 17.3 ± 0.8 |" in markdown_table(one)


def test_a_name_cannot_break_the_latex() -> None:
    """A bracket behind the end of a line would be its option."""
    own = replace(TABLE.cells[0], row=r"[lr] $10^{-4}$ ~x\y < 1", setting="grid")
    table = replace(TABLE, cells=(own,), citation="One\nand two")
    one = judged(
        table, TABLE.budget("paper"), [run(own.row, 0, [17.0])], {f"{own.row}-0": own.name}
    )
    text = latex_table(one)
    assert (
        r"{[}lr] \$10\textasciicircum{}\{-4\}\$ \textasciitilde{}x\textbackslash{}y $<$ 1 &" in text
    )
    assert text.startswith("% One and two; budget paper\n")


def test_an_interval_ends_where_its_score_does() -> None:
    """Shares of 0.97 and 0.99, shown in per cent: 98 +- 12.7 by Student's t."""
    shares = {"last": {"high_quality": [0.97]}}, {"last": {"high_quality": [0.99]}}
    both = [run("GAN", seed, [17.0], **one) for seed, one in enumerate(shares)]
    (last,) = (
        one.last for one in found(both).cells if one.last and one.score.word == "high_quality"
    )
    assert last.interval == (pytest.approx(98 - 12.706, abs=1e-3), 100.0)


def test_an_interval_ends_at_the_number_of_modes() -> None:
    """19, 24 and 25 of 25 modes: 22.7 +- 8.0 by Student's t."""
    runs = [run("GAN", seed, [float(n)]) for seed, n in enumerate((19, 24, 25))]
    last = next(one.last for one in found(runs).cells if one.last and one.score.word == "modes")
    assert last.interval == (pytest.approx(22.667 - 7.985, abs=1e-3), 25.0)


def test_a_budget_without_runs_names_those_that_have_some() -> None:
    rows = [run("GAN", 0, [8.0], budget="small")]
    one = judged(TABLE, TABLE.budget("paper"), rows, {})
    assert sentences(one) == [
        "No run of ours has ended under the budget 'paper' yet.",
        "The file has runs of other budgets: --show --budget small.",
    ]
