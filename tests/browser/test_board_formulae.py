"""The page's own formulae give what judging and records give in Python."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pages import OpenPage
from places import TOP
from playwright.sync_api import Browser
from report_records import FID, write_run
from report_sweeps import write_confirmations, write_trial

from gansweep.judging.against import standings
from gansweep.judging.statistics import compare, holm, summarize
from gansweep.records import notation
from gansweep.records.read import load
from gansweep.report.page.page import write_report
from gansweep.report.page.payload import boards_of

pytestmark = pytest.mark.browser
NUMBERS = [
    *(0.0, 1.0, -3.0, 0.5, 2.5, 0.125, 0.00024, 2e-4, 1e-5, 9.9999e-5, 12345.5, 123456.5, 1e6),
    *(
        999999.4,
        12345678.0,
        1.005,
        1234.5,
        17.249999,
        1e-300,
        -0.00012345,
        99995.0,
        0.99995,
        15.625,
    ),
]


@pytest.fixture(scope="module")
def board(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    top = tmp_path_factory.mktemp("runs")
    write_run(top / "a")
    opened = OpenPage(browser, write_report([top], top / "report.html"))
    yield opened
    assert not opened.problems
    opened.close()


def test_numbers_are_written_as_in_records(board: OpenPage) -> None:
    rng = random.Random(1)
    numbers = NUMBERS + [
        rng.choice([-1, 1]) * rng.uniform(1, 10) * 10 ** rng.randint(-8, 8) for _ in range(2000)
    ]
    shown = board.page.evaluate("ns => ns.map(gansweep.format.number)", numbers)
    assert shown == [notation.number(n) for n in numbers]
    times = [abs(n) for n in numbers if abs(n) < 1e7]
    shown = board.page.evaluate("ns => ns.map(gansweep.format.duration)", times)
    assert shown == [notation.duration(n) for n in times]
    spreads = [abs(rng.gauss(0, 1)) * 10 ** rng.randint(-6, 4) for _ in numbers]
    pairs = [[n, s] for n, s in zip(numbers, spreads, strict=True) if n and s]
    shown = board.page.evaluate("ps => ps.map(p => gansweep.format.meanAndStd(...p))", pairs)
    assert shown == [notation.mean_and_std(n, s) for n, s in pairs]
    chances = [0.0, 1e-4, 0.0497, 0.05, 0.0503, 0.21, 1.0, *(rng.random() for _ in range(200))]
    shown = board.page.evaluate("ps => ps.map(gansweep.format.probability)", chances)
    assert shown == [notation.probability(p) for p in chances]


def test_the_error_of_a_measurement_is_written_as_in_records(board: OpenPage) -> None:
    cases = [(1.65, 0.08, None), (1.65, None, (1.61, 1.7)), (20.0, 1e-9, None), (3.0, None, None)]
    found = [
        board.page.evaluate(
            "gansweep.format.spread",
            {"value": value, **({"std": std} if std else {}),
             **({"low": bounds[0], "high": bounds[1]} if bounds else {})},
        )
        for value, std, bounds in cases
    ]  # fmt: skip
    assert found == [notation.spread_words(*case) for case in cases]


def test_settings_are_written_as_in_records(board: OpenPage) -> None:
    values = [True, False, None, 3, 2e-4, 0.25, 64.0, "adam", [0.5, 0.999], [], 20000.0]
    shown = board.page.evaluate("vs => vs.map(gansweep.format.setting)", values)
    assert shown == [notation.setting(value) for value in values]


def _scores(rng: random.Random, seeds: list[int]) -> dict[int, float]:
    spread = rng.choice([0.0, 1e-9, 0.3, 5.0])
    middle = rng.choice([0.0, 17.0, 300.0])
    return {seed: middle + rng.gauss(0, 1) * spread for seed in seeds}


def test_comparisons_of_two_configurations_are_those_of_judging(board: OpenPage) -> None:
    rng = random.Random(2)
    pairs = []
    for _ in range(300):
        seeds = list(range(rng.randint(1, 6)))
        other = seeds if rng.random() < 0.5 else [s + 100 for s in range(rng.randint(1, 6))]
        first = _scores(rng, seeds)
        shifted = {s: v + 2.0 for s, v in first.items()}
        pairs.append((first, shifted if rng.random() < 0.1 else _scores(rng, other)))
    found = board.page.evaluate(
        "pairs => gansweep.statistics.holm(pairs.map(p => gansweep.statistics.compare(...p)))",
        [[{str(k): v for k, v in one.items()} for one in pair] for pair in pairs],
    )
    tested = 0
    for shown, expected in zip(found, holm([compare(*pair) for pair in pairs]), strict=True):
        assert shown["difference"] == pytest.approx(expected.difference, abs=1e-9)
        assert (shown["error"] is None) == (expected.error is None)
        assert (shown["p"] is None) == (expected.p is None)
        assert shown["paired"] == expected.paired
        if expected.p is not None:
            tested += 1
            assert shown["p"] == pytest.approx(expected.p, rel=1e-8, abs=1e-15)
            assert shown["interval"] == pytest.approx(list(expected.interval or ()), rel=1e-8)
    assert tested > 100


def test_means_and_intervals_are_those_of_judging(board: OpenPage) -> None:
    rng = random.Random(3)
    lists = [list(_scores(rng, list(range(n))).values()) for n in range(1, 12) for _ in range(5)]
    found = board.page.evaluate("ls => ls.map(gansweep.statistics.summarize)", lists)
    for shown, values in zip(found, lists, strict=True):
        expected = summarize(values)
        assert expected
        assert shown["mean"] == pytest.approx(expected.mean)
        assert shown["std"] == pytest.approx(expected.std) if expected.std else not shown["std"]
        low, high = expected.interval or (None, None)
        assert [shown["low"], shown["high"]] == (
            [None, None] if low is None else pytest.approx([low, high], rel=1e-8)
        )


def _values(examples: dict[str, Any]) -> str:
    return f"(name => ({json.dumps(examples['run'])})[name] || [])"


def test_the_filter_follows_the_grammar_of_judging(board: OpenPage) -> None:
    examples = json.loads((TOP / "tests" / "support" / "filters.json").read_text())
    holds = f"texts => texts.filter(t => gansweep.filter.read(t).holds({_values(examples)}))"
    assert board.page.evaluate(holds, examples["holds"]) == examples["holds"]
    assert board.page.evaluate(holds, examples["fails"]) == []
    mistaken = """texts => texts.filter(text => {
        try { gansweep.filter.read(text); return false; }
        catch (error) { return error instanceof gansweep.filter.FilterError; }
    })"""
    assert board.page.evaluate(mistaken, examples["mistaken"]) == examples["mistaken"]


def test_quantiles_of_few_degrees_of_freedom_are_those_of_the_tables(board: OpenPage) -> None:
    """Two-sided 95 % of Student's t: 12.706, 4.303, 2.776, 2.045 for 1, 2, 4, 29."""
    found = board.page.evaluate(
        "ns => ns.map(n => gansweep.statistics.reach(n, 0.05))", [1, 2, 4, 29]
    )
    assert found == pytest.approx([12.7062, 4.30265, 2.77645, 2.04523], abs=1e-4)


def test_rows_are_tested_where_compare_tests_them(browser: Browser, tmp_path: Path) -> None:
    for key, values in (("t0", [9.0, 10.0, 11.5]), ("t1", [7.0, 7.5, 8.0]), ("t2", [5.0, 6.0])):
        write_trial(tmp_path, key, 10.0)
        write_confirmations(tmp_path, key, values)
    write_trial(tmp_path, "t2", 4.0, name="lost", role="confirm", seed=103, status="diverged")
    for key in ("t3", "t4"):
        write_trial(tmp_path, key, 12.0)
    (shown,) = boards_of(load([tmp_path]))
    opened = OpenPage(browser, write_report([tmp_path], tmp_path / "report.html"))
    script = """([base, score]) => Object.fromEntries(
        [...gansweep.baseline.against(gansweep.board, base, score)]
            .map(([id, one]) => [id, one.p]))"""
    rows = list(shown.rows.values())
    for key, first in shown.rows.items():
        found = opened.page.evaluate(script, [key, FID])
        order = [first, *(row for row in rows if row is not first)]
        told = {
            row.key: one.against
            for row, one in zip(order, standings(shown.board, order, FID), strict=True)
        }
        expected = {id: one.p for id, row in shown.rows.items() if (one := told[row.key])}
        assert found == pytest.approx(expected), first.name
        if first.flaw:
            assert set(found.values()) == {None}
    opened.close()
