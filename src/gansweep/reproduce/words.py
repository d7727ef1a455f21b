"""What a table's results mean, in sentences: each verdict with its test."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

from gansweep.judging.agreement import Equivalence
from gansweep.records.notation import duration, listing, plural, probability
from gansweep.reproduce.judged import CellRuns, CellScore, ColumnOrder, Judged

SHOWN = {  # by what a budget shows
    "order": "reproduces no digits; it can show an order at most",
    "trend": "reproduces no digits; it can show a trend at most",
    "nothing": "cannot be compared with the paper's figures",
}
ORDERS = {
    "same": "our runs follow the {whose} order",
    "trend": "our runs tend to the {whose} order",
    "opposite": "our runs are in the opposite order",
    "cannot tell": "we cannot tell whether our runs follow the {whose} order",
}
WHOSE = {"ours": "expected", "memory": "remembered"}  # by where the order is known from


def sentences(found: Judged) -> list[str]:
    """The verdict on a table under a budget, one thought a sentence; in the order of importance."""
    table, budget = found.table, found.budget
    if not found.n:
        none = f"No run of ours has ended under the budget '{budget.name}' yet."
        return [none, *_elsewhere(found), *_not_counted(found)]
    lines = [_spent(found)]
    if budget.shows != "digits":
        part = "" if budget.share == 1 else f", {budget.share:.4g} of the table's images,"
        lines.append(f"This budget{part} {SHOWN[budget.shows]}.")
    if table.known_from == "memory":
        lines.append(_from_memory(found))
    elif budget.shows == "digits":
        lines += _agreements(found)
    if budget.shows in ("digits", "order"):
        lines += [_order(one, found) for one in found.orders]
        if len(found.orders) > 1:
            lines.append(
                "Each order is tested at 5 % in either direction, without correction for their "
                "number."
            )
    lines += [
        f"{score.score}, {table.settings[setting]}: measured under {len(score.groups)} protocols, "
        f"which differ in {listing(score.differing, 'and')}; these values do not belong beside "
        "each other."
        for setting, score in found.mixed
    ]
    return [*lines, *_not_counted(found)]


def _elsewhere(found: Judged) -> Iterator[str]:
    if found.elsewhere:
        shown = listing([f"--show --budget {name}" for name in found.elsewhere], "and")
        yield f"The file has runs of other budgets: {shown}."


def _not_counted(found: Judged) -> Iterator[str]:
    if found.outdated:
        yield (
            f"{plural(found.outdated, 'run')} in the file {'are' if found.outdated > 1 else 'is'} "
            "of cells that have changed since, and not counted."
        )
    if found.repeated:
        yield (
            f"{plural(found.repeated, 'run')} in the file "
            f"{'repeat' if found.repeated > 1 else 'repeats'} a seed of a cell: each counts once."
        )


def _from_memory(found: Judged) -> str:
    if any(one.published for one in found.cells):
        return "The published figures are from memory: they are leads, and no verdict."
    return "The paper's figures are not known, and what it shows is from memory."


def _spent(found: Judged) -> str:
    lost = [f"{one.cell.name} ({_ends(one)} of {one.n})" for one in found.runs if one.n > one.done]
    seconds = sum(one.seconds for one in found.runs)
    text = f"{plural(found.n, 'run')}, {duration(seconds)} of training."
    return f"{text} Lost: {listing(lost, 'and')}." if lost else text


def _ends(one: CellRuns) -> str:
    return ", ".join(f"{count} {word}" for word, count in one.ends.items() if count)


def _agreements(found: Judged) -> Iterator[str]:
    tested = [one for one in found.cells if one.agreement is not None]
    exact = [one for one in tested if one.score.tolerance is not None]
    if exact:
        yield _exactly(exact)
    for one in tested:
        if one.score.tolerance is None:
            assert one.agreement is not None
            yield f"{_name(one, found)}: {_equivalence(one.agreement)}"
    untested = [one for one in found.cells if one.published and one.last and not one.agreement]
    if untested:
        why = Counter(_why_untested(one, found) for one in untested)
        reasons = [word if len(why) == 1 else f"{word} ({count})" for word, count in why.items()]
        said = listing(reasons, "and")
        yield f"{plural(len(untested), 'figure')} not tested for equivalence: {said}."


def _why_untested(one: CellScore, found: Judged) -> str:
    assert one.published is not None
    if found.table.error == "none" or one.published.error is None:
        return "no error is published"
    if found.table.runs is None:
        return "the number of the paper's runs is not known"
    if one.published.error == 0:
        return "the published error is 0"
    return "fewer than two runs of ours have a score"


def _exactly(exact: list[CellScore]) -> str:
    """About figures that were calculated: how many of ours are as near as they must be."""
    names = {
        verdict: [f"{o.cell.name} ({o.score.title})" for o in exact if _verdict(o) == verdict]
        for verdict in ("agrees", "differs", "cannot tell")
    }
    text = (
        f"{len(names['agrees'])} of {plural(len(exact), 'figure')} agree with the calculated ones "
        f"within their tolerance ({exact[0].score.tolerance:g})"
    )
    differences = [
        (abs(o.agreement.difference), o)
        for o in exact
        if o.agreement and not math.isnan(o.agreement.difference)
    ]
    if differences:
        largest, worst = max(differences, key=lambda pair: pair[0])
        where = f"{worst.cell.name}, {worst.score.title}"
        text += f"; the largest difference is {largest:.1e} ({where})"
    text += "."
    if names["differs"]:
        text += f" Not in agreement: {listing(names['differs'], 'and')}."
    if names["cannot tell"]:
        text += (
            " Not tested, for runs without a score or several protocols: "
            f"{listing(names['cannot tell'], 'and')}."
        )
    return text


def _verdict(one: CellScore) -> str | None:
    return None if one.agreement is None else one.agreement.verdict


def _equivalence(one: Equivalence) -> str:
    if one.lost:
        has = "have" if one.lost > 1 else "has"
        return f"cannot tell: {plural(one.lost, 'run')} of it {has} no score."
    if one.mixed:
        return "cannot tell: the runs of its setting were measured under several protocols."
    assert one.p is not None and one.differs_p is not None and one.interval is not None
    low, high = one.interval
    distance = f"difference {one.difference:+.3g}, 90 % interval {low:.3g} to {high:.3g}"
    bound = f"one standard deviation of the paper's runs, {one.margin:.3g}"
    if one.verdict == "agrees":
        return f"agrees with the paper within {bound} ({distance}; TOST {probability(one.p)})."
    if one.verdict == "differs":
        return f"differs from the paper ({distance}; t-test {probability(one.differs_p)})."
    return (
        f"cannot tell: it may differ by more than {bound} ({distance}; TOST {probability(one.p)})."
    )


def _order(one: ColumnOrder, found: Judged) -> str:
    order, table = one.order, found.table
    p = min(order.p, order.opposite_p) if order.verdict == "opposite" else order.p
    where = f"{one.score.title}, {table.settings[one.setting]}"
    verdict = ORDERS[order.verdict].format(whose=WHOSE.get(table.known_from, "paper's"))
    not_below = [f"{one.rows[low]} is not below {one.rows[high]}" for low, high in order.reversed]
    but = f", but {listing(not_below, 'and')}" if order.verdict == "trend" else ""
    return (
        f"{where}: {verdict} {_ascending(one)}{but} (permutation test, "
        f"{order.statistic:g} of {order.pairs} pairs of runs in it, {probability(p)})."
    )


def _ascending(one: ColumnOrder) -> str:
    """ "GAN < PacGAN2 = PacGAN3"."""
    signs = [" = " if a == b else " < " for a, b in itertools.pairwise(one.places)]
    return one.rows[0] + "".join(s + row for s, row in zip(signs, one.rows[1:], strict=True))


def _name(one: CellScore, found: Judged) -> str:
    return f"{one.cell.row}, {found.table.settings[one.cell.setting]}, {one.score.title}"
