"""The figures of a search and of the samples' quality in Chromium, against Python's own numbers."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from pages import OpenPage
from playwright.sync_api import Browser
from report_records import FID, PROTOCOLS, protocol, write_run
from report_sweeps import GOALS, write_trial
from scipy.stats import rankdata

from gansweep.judging.expected_best import expected_best
from gansweep.judging.ranking import pareto_front
from gansweep.report.page.page import write_report

pytestmark = pytest.mark.browser
COUNTS, CONFUSION, INTRA = "mode_counts_300", "confusion_300", "intra_fid_300"
NAMES = ["cat", "<dog>", "emu"]
Trials = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def trials() -> Trials:
    """FID falls with lr; beta does nothing."""
    rng = random.Random(2)
    found = {}
    for number in range(16):
        lr, beta = 10 ** rng.uniform(-4, -2), rng.uniform(0.5, 1)
        fid = 20 - 8 * math.log10(lr) + rng.random()
        seconds = 90 - fid + rng.uniform(0, 20)
        found[f"t{number:02d}"] = {"lr": lr, "beta": beta, "fid": fid, "seconds": seconds}
    return found


@pytest.fixture(scope="module")
def search(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, trials: Trials
) -> Iterator[OpenPage]:
    sweep = tmp_path_factory.mktemp("runs") / "search"
    for number, (key, one) in enumerate(trials.items()):
        times = {
            "started": f"2026-01-01T10:{number:02d}:00+00:00",
            "ended": f"2026-01-01T10:{number + 1:02d}:30+00:00",
        }
        params = {"x": "same", "lr": one["lr"], "beta": one["beta"]}
        seconds = one["seconds"]
        write_trial(sweep, key, one["fid"], params=params, goals=GOALS, seconds=seconds, **times)
    board = OpenPage(browser, write_report([sweep], sweep / "report.html"))
    board.show("search")
    yield board
    assert not board.problems
    board.close()


def figure(board: OpenPage, title: str) -> dict[str, Any]:
    """The figure of this title as it would be drawn now."""
    found: dict[str, Any] = board.page.evaluate(
        "async title => { const card = [...gansweep.figures.cards].find(c => c.title === title);"
        "const { data, layout, note, alt } = await card.compute(card);"
        "return { data, layout, note, alt, table: card.found ? card.found.table() : null }; }",
        title,
    )
    return found


def slice_of(board: OpenPage, title: str) -> list[dict[str, Any]]:
    """The dots of a figure of dots, as they would be drawn now."""
    found: list[dict[str, Any]] = board.page.evaluate(
        "async title => { const card = [...gansweep.figures.cards].find(c => c.title === title);"
        "return (await card.compute(card)).dots; }",
        title,
    )
    return found


def selected(board: OpenPage) -> set[str]:
    """The keys of the selected rows' trials."""
    names = board.page.evaluate(
        "gansweep.selected().map(id => gansweep.runs.get(gansweep.rows.get(id).runs[0]).name)"
    )
    return {name.split("/")[1] for name in names}


def drawn(board: OpenPage, title: str) -> None:
    card = f"[...gansweep.figures.cards].find(c => c.title === {json.dumps(title)})"
    board.page.evaluate(f"{card}.element.scrollIntoView({{block: 'center'}})")
    board.until(f"{card}.drawn && !{card}.dirty && !{card}.drawing")


def test_dragging_along_an_axis_selects_the_trials_that_cross_it_there(
    search: OpenPage, trials: Trials
) -> None:
    drawn(search, "All trials")
    plot = search.page.locator("#search .plot").first
    place = plot.bounding_box()
    assert place
    axes = search.page.evaluate(
        "[...gansweep.figures.cards].find(c => c.parallel).parallel.found.axes.map(a => a.title)"
    )
    assert axes == ["lr (log)", "beta", FID]
    # the axis of beta stands in the middle; its upper half, from a little below
    x = place["x"] + 16 + (place["width"] - 112) / 2
    search.page.mouse.move(x, place["y"] + 40)
    search.page.mouse.down()
    search.page.mouse.move(x, place["y"] + 180, steps=4)
    search.page.mouse.up()
    search.settle()
    low, _ = search.page.evaluate(
        "[...[...gansweep.figures.cards].find(c => c.parallel).parallel.brushes.values()][0]"
    )
    betas = [one["beta"] for one in trials.values()]
    edge = min(betas) + low * (max(betas) - min(betas))
    assert selected(search) == {key for key, one in trials.items() if one["beta"] >= edge}
    assert 0 < len(selected(search)) < len(trials)
    search.page.get_by_role("button", name="Clear", exact=True).click()
    search.settle()
    assert search.page.evaluate("gansweep.state.get('selected')") is None


def corner(board: OpenPage) -> tuple[float, float]:
    """The left upper corner of the parallel coordinates in the window."""
    left, top = board.page.evaluate(
        "(() => { const box = document.querySelector('#search .plot').getBoundingClientRect();"
        "return [box.left, box.top]; })()"
    )
    return left, top


def test_a_finger_on_an_axis_brushes_and_beside_it_scrolls(
    browser: Browser, search: OpenPage, trials: Trials
) -> None:
    phone = OpenPage(browser, search.page.url.partition("#")[0], width=360, touch=True)
    phone.show("search")
    drawn(phone, "All trials")
    x, y = corner(phone)
    top, chosen = phone.page.evaluate("scrollY"), selected(phone)
    between = x + 75
    phone.fingers(((between, y + 200), (between, y + 100)))
    phone.until(f"scrollY > {top}")
    assert selected(phone) == chosen
    drawn(phone, "All trials")
    before = -1.0
    while before != (before := phone.page.evaluate("scrollY")):  # until it rests
        phone.page.wait_for_timeout(100)
    x, y = corner(phone)
    axis = x + 16  # that of lr, on the left
    top = phone.page.evaluate("scrollY")
    phone.fingers(((axis, y + 40), (axis, y + 180)))
    low, high = phone.page.evaluate(
        "[...[...gansweep.figures.cards].find(c => c.parallel).parallel.brushes.values()][0]"
    )
    logs = {key: math.log(one["lr"]) for key, one in trials.items()}
    least, width = min(logs.values()), max(logs.values()) - min(logs.values())
    inside = {key for key, one in logs.items() if low <= (one - least) / width <= high}
    assert selected(phone) == inside
    assert 0 < len(selected(phone)) < len(trials)
    assert phone.page.evaluate("scrollY") >= top  # a scroll would go up
    assert not phone.problems
    phone.close()


def test_the_form_selects_as_the_mouse_does(search: OpenPage, trials: Trials) -> None:
    form = search.page.locator("#search .controls").first
    form.locator("select").first.select_option(label="lr (log)")
    form.locator("input").nth(0).fill("0.0003")
    form.locator("input").nth(1).fill("0.003")
    form.get_by_role("button", name="Select").click()
    search.settle()
    assert selected(search) == {k for k, one in trials.items() if 3e-4 < one["lr"] < 3e-3}
    assert 0 < len(selected(search)) < len(trials)
    form.get_by_role("button", name="Clear", exact=True).click()
    search.settle()


def test_importance_is_that_of_optuna(search: OpenPage, trials: Trials) -> None:
    study = optuna.create_study()
    ranks = rankdata([one["fid"] for one in trials.values()]) - 1
    ends = {
        name: (min(values), max(values))
        for name in ("lr", "beta")
        if (values := [one[name] for one in trials.values()])
    }
    spaces: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(low, high, log=high / low >= 5)
        for name, (low, high) in ends.items()
    }
    for one, rank in zip(trials.values(), ranks, strict=True):
        params = {name: one[name] for name in spaces}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=spaces, value=float(rank))
        )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, max_depth=8, seed=0)
    expected = optuna.importance.get_param_importances(study, evaluator=evaluator)
    (bars,) = figure(search, "Importance of hyperparameters")["data"]
    assert dict(zip(bars["y"], bars["x"], strict=True)) == pytest.approx(expected)
    assert bars["y"][0] == "lr" and bars["x"][0] > 0.8


def test_the_expected_best_is_that_of_judging(search: OpenPage, trials: Trials) -> None:
    expected = expected_best([one["fid"] for one in trials.values()], "minimize")
    walk, band, mean = figure(search, f"Expected best {FID}")["data"]
    assert mean["y"] == pytest.approx(expected.mean)
    assert mean["x"] == list(range(1, 17))  # each trial saw 1 kimg
    assert band["y"] == pytest.approx(expected.low + expected.high[::-1])
    fids = [one["fid"] for one in trials.values()]
    assert walk["y"] == pytest.approx([min(fids[: k + 1]) for k in range(16)])


def test_a_click_on_a_trial_selects_it_in_all_figures(search: OpenPage, trials: Trials) -> None:
    search.set(selected=[])
    drawn(search, "lr")
    dots = slice_of(search, "lr")
    assert {dot["x"] for dot in dots} == {one["lr"] for one in trials.values()}
    assert not any(dot["own"] for dot in dots)
    worst = max(trials, key=lambda key: trials[key]["fid"])
    spot = search.page.evaluate(
        "([x, y]) => { const card = [...gansweep.figures.cards].find(c => c.title === 'lr');"
        "const box = card.plot.getBoundingClientRect();"
        "return [box.left + card.scales.x.to(x), box.top + card.scales.y.to(y)]; }",
        [trials[worst]["lr"], trials[worst]["fid"]],
    )
    search.page.mouse.move(*spot)
    told = search.page.locator("#search .figure", has_text="lr").locator(".readout p")
    assert f"{worst}: finished" in told.all_inner_texts()
    search.page.mouse.click(*spot)
    search.until("gansweep.selected().length === 1")
    assert selected(search) == {worst}
    colour = search.page.evaluate("gansweep.colour(gansweep.selected()[0])")
    for title in ("lr", "beta"):
        assert [dot["colour"] for dot in slice_of(search, title) if dot["own"]] == [colour]
    search.set(selected=None)


def test_a_contour_is_the_mean_weighted_by_a_gaussian(search: OpenPage) -> None:
    points = [{"x": 0.1, "y": 0.2, "value": 3.0}, {"x": 0.3, "y": 0.25, "value": 7.0}]
    found = search.page.evaluate("points => gansweep.kernelMean(points, 11)", points)
    for row, y in enumerate(k / 10 for k in range(11)):
        for column, x in enumerate(k / 10 for k in range(11)):
            squared = [(p["x"] - x) ** 2 + (p["y"] - y) ** 2 for p in points]
            weights = [math.exp(-one / (2 * 0.12**2)) for one in squared]
            total = sum(w * p["value"] for w, p in zip(weights, points, strict=True))
            if min(squared) > 0.24**2:
                assert found[row][column] is None
            else:
                assert found[row][column] == pytest.approx(total / sum(weights))
    drawn(search, "Two settings together")
    card = search.page.locator("#search .figure").filter(has_text="Two settings together")
    same = card.locator("select").nth(1)
    same.select_option(label="lr")
    search.settle()
    note = figure(search, "Two settings together")["note"]
    assert note == "Choose two different settings."
    same.select_option(label="beta")
    search.settle()


def test_the_stairs_join_the_front(search: OpenPage, trials: Trials) -> None:
    points = [(one["fid"], one["seconds"]) for one in trials.values()]
    front = sorted(points[i] for i in pareto_front(points, ["minimize", "minimize"]))
    stairs, dots = figure(search, f"seconds against {FID}")["data"]
    assert list(zip(stairs["x"], stairs["y"], strict=True)) == [pytest.approx(p) for p in front]
    assert stairs["line"]["shape"] == "hv"
    large = [size == 11 for size in dots["marker"]["size"]]
    assert large.count(True) == len(front)
    higher = search.page.evaluate(
        "gansweep.stairsOf([[0.5, 10], [0.9, 20], [0.7, 30]], ['maximize', 'minimize'])"
    )
    assert higher == [[0.5, 10], [0.9, 20]]


def test_a_click_on_the_front_picks_its_configuration(search: OpenPage, trials: Trials) -> None:
    title = f"seconds against {FID}"
    search.set(selected=[])
    drawn(search, title)
    best = min(trials, key=lambda key: trials[key]["fid"])
    spot = search.page.evaluate(
        "([title, x, y]) => { const { plot } = [...gansweep.figures.cards]"
        ".find(c => c.title === title); const { xaxis, yaxis } = plot._fullLayout;"
        "const box = plot.getBoundingClientRect();"
        "return [box.left + xaxis._offset + xaxis.d2p(x),"
        " box.top + yaxis._offset + yaxis.d2p(y)]; }",
        [title, trials[best]["fid"], trials[best]["seconds"]],
    )
    search.page.mouse.move(*spot)
    search.settle()
    search.page.mouse.click(*spot)
    search.until("gansweep.selected().length === 1")
    assert selected(search) == {best}
    dots = figure(search, title)["data"][1]
    colour = search.page.evaluate("gansweep.colour(gansweep.selected()[0])")
    assert [c for c in dots["marker"]["color"] if c == colour] == [colour]
    search.set(selected=None)


def test_the_timeline_gives_each_worker_a_lane(search: OpenPage) -> None:
    bars = figure(search, "Workers and trials")
    (finished,) = bars["data"]
    assert finished["base"] == list(range(16)) and set(finished["x"]) == {1.5}  # minutes
    assert "2 lanes were busy for 73 % of the time." in bars["note"]
    spans = [
        {"worker": "w10", "start": 0, "end": 9},
        {"worker": "w2", "start": 1, "end": 3},
        {"worker": "w2", "start": 4, "end": 5},
    ]
    assert search.page.evaluate("s => gansweep.lanesOf(s)", spans) == {
        "names": ["w2", "w10"],
        "lane": [1, 0, 0],
    }


def test_every_figure_of_the_search_is_drawn_and_saved(search: OpenPage) -> None:
    titles = search.page.evaluate("[...gansweep.figures.cards].map(c => c.title)")
    own = search.page.locator("#search .figure .title").all_inner_texts()
    for title in own:
        drawn(search, title)
    assert len(own) == 8 and set(own) <= set(titles)
    for kind in ("PNG", "SVG", "CSV"):
        for title in ("All trials", "beta"):
            with search.page.expect_download() as saved:
                search.page.get_by_role("button", name=f'Save "{title}" as {kind}').click()
            content = Path(saved.value.path()).read_bytes()
            assert len(content) > 200, (title, kind)
    assert search.page.evaluate("gansweep.faults.length") == 0


@pytest.fixture(scope="module")
def quality(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenPage]:
    """Two configurations with two seeds each, conditional, one of them with probabilities."""
    top = tmp_path_factory.mktemp("runs") / "quality"
    stated = {
        FID: PROTOCOLS[FID],
        COUNTS: protocol("mode_counts", None, n_fake=300, mode_names=NAMES),
        CONFUSION: protocol("confusion", None, n_fake=300, class_names=NAMES),
        INTRA: protocol("intra_fid_per_class", None),
        "precision_a": protocol("precision", "maximize"),
        "recall_a": protocol("recall", "maximize"),
    }
    for model in ("gan", "wgan"):
        for seed in range(2):
            scores = {FID: [9.0 + seed], "precision_a": [0.8 - seed / 5], "recall_a": [0.3]}
            record = write_run(
                top / f"{model}-{seed}", model=model, seed=seed, scores=scores, protocols=stated,
                images_per_second=100.0 + 50 * seed,
            )  # fmt: skip
            row: dict[str, Any] = {"kimg": 1.0, "seconds": 2.0}
            if model == "gan":
                row |= {"balance/real_mean": 0.8, "balance/fake_mean": 0.2 + seed / 5}
            else:
                row["critic/gap"] = 3.0
            counts = [8 + 4 * seed, 2 - 2 * seed, 0, 0, 2 * seed, 10 - 4 * seed, 0, 0, 0]
            row |= {COUNTS: [4 + seed, 4, 0], CONFUSION: counts, INTRA: [10.0 + seed, None, 4.0]}
            row |= {"overfit/r_v": -15.0, "grad_norm/generator": 3.0}
            record.append(row)
    board = OpenPage(browser, write_report([top], top / "report.html"))
    board.show("game")
    yield board
    assert not board.problems
    board.close()


def cards(board: OpenPage, heading: str) -> list[str]:
    """The titles of the figures below a heading of the game."""
    return board.page.evaluate(
        "heading => { const h = [...document.querySelectorAll('#game h3')]"
        ".find(one => one.textContent === heading);"
        "return h ? [...h.nextSibling.nextSibling.querySelectorAll('.title')]"
        ".map(t => t.textContent) : []; }",
        heading,
    )


def test_balance_is_shown_for_probabilities_and_the_gap_for_critics(quality: OpenPage) -> None:
    assert cards(quality, "Discriminator balance") == ["gan"]
    assert cards(quality, "Critic") == ["Critic gap"]
    ends = quality.page.evaluate(
        "(async () => { const card = [...gansweep.figures.cards].find(c => c.title === 'gan');"
        "const { hover } = await card.compute(card);"
        "return hover.lines.map(l => [l.name, l.y.at(-1), l.n]); })()"
    )
    assert ends[0] == ["real: D(x)", pytest.approx(0.8, rel=1e-4), 2]
    assert ends[1] == ["generated: D(G(z))", pytest.approx(0.3, rel=1e-4), 2]
    quality.set(logx=True)
    quality.until("[...gansweep.figures.cards].find(c => c.title === 'gan').scales.x.log")
    quality.set(logx=False)
    gap = quality.page.evaluate(
        "(async () => { const card = [...gansweep.figures.cards].find(c => c.title ==="
        " 'Critic gap'); return (await card.compute(card)).hover.lines.map(l => l.name); })()"
    )
    assert gap == ["wgan"]


def test_a_division_by_almost_0_does_not_flatten_the_rest(quality: OpenPage) -> None:
    title = "Overfitting of the discriminator: r_v"
    assert "come from a division by almost 0" in figure(quality, title)["note"]


def test_shares_of_modes_and_classes_are_means_over_seeds(quality: OpenPage) -> None:
    assert cards(quality, "Mode coverage") == ["gan", "wgan"]
    shares = quality.page.evaluate("gansweep.quality.modeShares([[4, 4, 0], [5, 4, 0]])")
    assert shares == pytest.approx([(1 / 2 + 5 / 9) / 2, (1 / 2 + 4 / 9) / 2, 0])
    table = quality.page.evaluate(
        "gansweep.quality.confusionOf([[8, 2, 0, 10], [12, 0, 2, 6], [20, 0, 0, 0]])"
    )
    mean = [(0.8 + 1 + 1) / 3, 0.2 / 3]
    assert table == [pytest.approx(mean), pytest.approx([0.125, 0.875])]
    worst = quality.page.evaluate(
        "gansweep.quality.worstOf([[0.9, 0.1], [0.125, 0.875]], ['cat', 'dog'])"
    )
    # Python rounds a half to the even digit, and so does the page
    assert worst == "Most often confused: dog seen as cat in 12%; cat seen as dog in 10%."
    ranks = quality.page.evaluate("gansweep.quality.rankShares([[1, 3, 0, 4]], [0, 3])")
    assert ranks == [2, 0]


def test_classes_are_drawn_with_their_names_and_gaps(quality: OpenPage) -> None:
    bars = figure(quality, INTRA)
    assert [trace["y"] for trace in bars["data"]] == [[10.5, None, 4.0]] * 2
    assert bars["data"][0]["x"] == ["cat", "&lt;dog&gt;", "emu"]
    assert cards(quality, "Requested and seen classes") == ["gan", "wgan"]
    speed = figure(quality, "Images per second")
    bars, dots = (trace["x"] for trace in speed["data"])
    assert (bars, dots) == ([125.0, 125.0], [100.0, 150.0] * 2)


def test_a_row_has_one_colour_in_every_figure(quality: OpenPage) -> None:
    rows = quality.page.evaluate("gansweep.selected()")
    colours = quality.page.evaluate("gansweep.selected().map(gansweep.colour)")
    assert len(set(colours)) == 2
    shown = figure(quality, INTRA)["data"]
    assert [(t["meta"], t["marker"]["color"]) for t in shown] == list(
        zip(rows, colours, strict=True)
    )
    dots = slice_of(quality, "Precision against recall")
    assert {(dot["row"], dot["colour"]) for dot in dots} == set(zip(rows, colours, strict=True))
    means = [(dot["x"], dot["y"]) for dot in dots if dot["own"]]
    assert means == [(pytest.approx(0.3), pytest.approx(0.7))] * 2 and len(dots) == 6
    lines = quality.page.evaluate(
        "(async () => { const card = [...gansweep.figures.cards].find(c => c.title ==="
        " 'generator: gradient norm');"
        "return (await card.compute(card)).hover.lines.map(l => [l.row, l.colour]); })()"
    )
    assert lines == [list(pair) for pair in zip(rows, colours, strict=True)]


def test_every_figure_of_the_game_is_drawn_and_follows_the_selection(quality: OpenPage) -> None:
    titles = quality.page.locator("#game .figure .title").all_inner_texts()
    for place in range(len(titles)):
        quality.page.evaluate(
            f"document.querySelectorAll('#game .figure')[{place}].scrollIntoView()"
        )
        quality.settle()
    quality.until(
        "[...gansweep.figures.cards].every(c => c.drawn || c.element.hidden"
        " || !c.element.closest('#game'))"
    )
    first = quality.page.evaluate("gansweep.selected()")[0]
    quality.set(selected=[first])
    assert len(cards(quality, "Mode coverage")) == 1
    assert len(figure(quality, INTRA)["data"]) == 1
    quality.set(selected=None)
    assert quality.page.evaluate("gansweep.faults.length") == 0


def test_a_population_is_a_family_tree(browser: Browser, tmp_path: Path) -> None:
    schedules = {
        "t0": [{"kimg": 0, "params": {"lr": 0.1, "n": 1}, "from": None}],
        "t1": [
            {"kimg": 0, "params": {"lr": 0.2, "n": 2}, "from": None},
            {"kimg": 20, "params": {"lr": 0.4, "n": 1}, "from": "t0"},
        ],
    }
    for (key, schedule), fid in zip(schedules.items(), (9.0, 5.0), strict=True):
        params = schedule[-1]["params"]
        write_trial(tmp_path / "pbt", key, fid, params=params, schedule=schedule, kimg=50.0)
    board = OpenPage(browser, write_report([tmp_path / "pbt"], tmp_path / "report.html"))
    board.show("search")
    drawn(board, "Family tree")
    tree = figure(board, "Family tree")
    lanes = [(trace["x"], trace["y"][0], trace["line"]["width"]) for trace in tree["data"]]
    # the way of the best weights is thick
    assert lanes == [([0, 50], 0, 11), ([0, 20], 1, 6), ([20, 50], 1, 11)]
    (arrow,) = tree["layout"]["annotations"]
    assert (arrow["x"], arrow["ay"], arrow["y"]) == (20, 0, 1)
    before = [trace["line"]["color"] for trace in tree["data"]]
    choice = board.page.locator("#search .figure").filter(has_text="Family tree").locator("select")
    choice.select_option(label="n")
    board.settle()
    after = [trace["line"]["color"] for trace in figure(board, "Family tree")["data"]]
    assert after != before and after[0] == after[2]
    best, rings = figure(board, "lr over training")["data"][-2:]
    assert (best["x"], best["y"]) == ([0, 20, 20, 50], [0.1, 0.1, 0.4, 0.4])
    assert (rings["x"], rings["y"]) == ([20], [0.4])
    assert not board.problems
    board.close()
