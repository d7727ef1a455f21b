"""The sections of the page about sweeps: trials, budget and results of the search."""

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
    """The sections in the order of the page; some may be empty."""
    return [
        expected_best(board),
        pareto(board),
        population(board),
        *hyperparameters(board),
        outcomes(board),
    ]


def expected_best(board: Board) -> Section:
    """The section on the expected best score, with the reasons if it cannot be computed."""
    better = "higher" if board.direction == "maximize" else "lower"
    drawn, notes = expected_best_figures(board)
    return Section(
        "budget",
        "Best score expected of a budget",
        "The best score that a search is expected to find, over the budget that it spends: the "
        "mean over all ways to draw this many of the trials with replacement, and a band with "
        "nine of ten draws. This compares variants at equal tuning effort: at a given budget the "
        f"{better} curve wins; where bands overlap, luck may decide. A pruned trial counts with "
        "its last score and its cost until then. A trial that failed, diverged or broke a "
        "constraint has also used its budget: it counts with the worst final value of any trial "
        "of its sweep. Trials of a sampler that learns are treated as independent.",
        drawn,
        " ".join(notes) if drawn or notes else "",
    )


def pareto(board: Board) -> Section:
    """The section on Pareto fronts: of the confirmations if there are any, else of the trials."""
    found = fronts(board)
    tables: list[Table] = []
    for sweep, trials, confirmed in found:
        front = confirmed or trials
        if front:
            tables.append(front_table(sweep, front, front is confirmed))
    return Section(
        "pareto",
        "Pareto front",
        "Each dot is a configuration. A full dot is on the front: no other configuration is better "
        "in one objective without being worse in another. Which of these to take is a choice, not "
        "a measurement. The grey stairs connect the front of the two objectives in the figure. A "
        "diamond is the mean over fresh seeds with the 95 % intervals. There is no test here of "
        "whether two configurations differ, so luck may decide which is on the front.",
        pareto_figures(board),
        tables=tables,
    )


def population(board: Board) -> Section:
    """The section on the schedules of settings that populations found."""
    drawn, notes = schedules(board)
    return Section(
        "schedules",
        "Schedules that the population found",
        "The thick line is the setting with which the weights of the best member were trained. A "
        "ring marks where one member took over the weights of another. Thin lines are all members.",
        drawn,
        " ".join(notes),
    )


def hyperparameters(board: Board) -> list[Section]:
    """The sections on the trials' settings and outcomes, and on which settings mattered.

    None if the page has no sweep, or no score ranks its trials.
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
            "Each line is one trial: from left to right its hyperparameters, on the right its "
            "outcome. Blue is best, orange is worst, dotted grey has no outcome. A value at which "
            "blue lines meet works well.",
            [lines] if lines else [],
        ),
        Section(
            "importance",
            "Importance of hyperparameters",
            "How much worse a model predicts the rank of a trial if it gets this hyperparameter "
            "from another trial. This shows that a parameter mattered within the searched ranges, "
            "not which value is best.",
            [bars] if bars else [],
            note,
        ),
    ]


def outcomes(board: Board) -> Section:
    """The section on how the trials of each sweep ended, with their share of the images seen."""
    sweeps = [sweep for sweep in sweeps_of(board.runs) if sweep.trials]
    return Section(
        "outcomes",
        "What the budget went to",
        "How the trials ended, over all their seeds, with their share of the images that the sweep "
        "has seen. The images of a failed trial are lost. The images that a pruned trial did not "
        "use are saved.",
        tables=[outcome_table(sweep, len(sweeps) > 1) for sweep in sweeps],
    )


def _percent(share: float | None) -> str:
    if share is None:
        return "–"
    return f"{share:.1%}" if 0 < share < 0.01 else f"{share:.0%}"


def outcome_table(sweep: Sweep, titled: bool) -> Table:
    """The trials of a sweep by how they ended.   titled: show the caption with the sweep's name."""
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
