"""The page's sections on sweeps: their trials, their budget, and what the search found."""

from __future__ import annotations

from gansweep.judging.leaderboard import Board
from gansweep.judging.pareto import fronts
from gansweep.judging.trials import Sweep, spent_by_end, sweeps_of, trials_of
from gansweep.records.notation import duration, number, plural
from gansweep.report.figures import sweep as sweep_figures
from gansweep.report.figures.budget import expected_best_figures
from gansweep.report.figures.pareto import pareto_figures
from gansweep.report.figures.population import schedules
from gansweep.report.page.importance import hyperparameter_importance
from gansweep.report.page.section import Section
from gansweep.report.tables import Table, front_table


def sweep_sections(board: Board) -> list[Section]:
    """In the page's order; those with nothing to show are empty."""
    return [
        expected_best(board),
        pareto(board),
        population(board),
        *hyperparameters(board),
        outcomes(board),
    ]


def expected_best(board: Board) -> Section:
    """The best score expected of so many trials, with the reasons where it cannot be told."""
    better = "higher" if board.direction == "maximize" else "lower"
    drawn, notes = expected_best_figures(board)
    return Section(
        "budget",
        "Best score expected of a budget",
        "The best score that a search is expected to find, against what it spends: the mean over "
        "all ways to draw that many trials, with replacement, from those that were run, and the "
        "band that holds nine draws in ten. Variants are compared at equal tuning effort: at a "
        f"given budget the {better} curve wins, and where bands overlap luck may decide. A trial "
        "that was pruned counts with its last score, at the cost until then. One that failed, "
        "diverged or broke a constraint has spent its budget too: it counts with the worst value "
        "that any trial of its sweep ended with. Trials of a sampler that learns are drawn as if "
        "they were independent.",
        drawn,
        " ".join(notes) if drawn or notes else "",
    )


def pareto(board: Board) -> Section:
    """The front of each sweep with several objectives: of its confirmations, else its trials."""
    found = fronts(board)
    tables: list[Table] = []
    for sweep, trials, confirmed in found:
        front = confirmed or trials
        if front:
            tables.append(front_table(sweep, front, front is confirmed))
    return Section(
        "pareto",
        "Pareto front",
        "Each dot is a configuration. It is on the front, and drawn full, where no other is better "
        "in one objective without being worse in another: which of these to take is a choice, not "
        "a measurement. The grey stairs join the front of the two objectives shown. A diamond is "
        "the mean over fresh seeds, with the 95 % interval of each: no test tells here whether two "
        "differ, and luck may decide which is on the front.",
        pareto_figures(board),
        tables=tables,
    )


def population(board: Board) -> Section:
    """How the settings changed along each population's best member and the others."""
    drawn, notes = schedules(board)
    return Section(
        "schedules",
        "Schedules that the population found",
        "The thick line is the setting under which the weights of the best member were trained; a "
        "ring marks where another member took them over. The thin lines are the other members.",
        drawn,
        " ".join(notes),
    )


def hyperparameters(board: Board) -> list[Section]:
    """The trials' settings against their outcome, and which settings mattered.

    Nothing where no sweep is on the page, or nothing ranks its trials.
    """
    metric = board.trial_metric
    if not trials_of(board.runs) or metric is None:
        return []
    importance = hyperparameter_importance(board.runs, metric, board.direction, board.at)
    explained = (
        f"A random forest on {plural(importance.n_trials, 'trial')} explains "
        f"{importance.explained:.0%} of the ranks of trials it has not seen. "
        if importance.shares and importance.explained is not None
        else ""
    )
    note = importance.reason or explained + sweep_figures.remarks(board, importance)
    lines = sweep_figures.parallel_coordinates(board, metric)
    bars = sweep_figures.importance_bars(importance, metric, board.names)
    return [
        Section(
            "trials",
            "Trials of the sweep",
            "Each line is one trial on its way through its hyperparameters to its outcome on the "
            "right: blue is best, orange worst, dotted grey came to no outcome. Where blue lines "
            "meet, a value works.",
            [lines] if lines else [],
        ),
        Section(
            "importance",
            "Importance of hyperparameters",
            "How much worse a model predicts a trial's rank when this hyperparameter is exchanged "
            "for another trial's. It says that a parameter mattered within the searched ranges, "
            "not which value is best.",
            [bars] if bars else [],
            note,
        ),
    ]


def outcomes(board: Board) -> Section:
    """Each sweep's trials by how they ended, with their share of the images seen."""
    sweeps = [sweep for sweep in sweeps_of(board.runs) if sweep.trials]
    return Section(
        "outcomes",
        "What the budget went to",
        "Every trial by how it ended, over all its seeds, with its share of the images that the "
        "sweep has seen. What a failed trial took is lost; what a pruned one did not take is "
        "saved.",
        tables=[outcome_table(sweep, len(sweeps) > 1) for sweep in sweeps],
    )


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def outcome_table(sweep: Sweep, titled: bool) -> Table:
    """titled: whether the table names its sweep, where the page has several."""
    rows = [
        [
            spent.end,
            str(spent.count),
            number(spent.kimg),
            _percent(spent.share),
            duration(spent.seconds),
        ]
        for spent in spent_by_end(sweep)
    ]
    caption = f"{sweep.name}: {plural(len(sweep.trials), 'trial')} by their end"
    heads = ["ended", "how many", "kimg", "of the budget", "training time"]
    return Table(caption, heads, rows, titled=titled)
