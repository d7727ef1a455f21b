"""The page's sections of figures, each with a sentence on how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gansweep.report import figures, sweep_figures
from gansweep.report.figures import Figure
from gansweep.report.importance import hyperparameter_importance, trials_of
from gansweep.report.notation import plural
from gansweep.report.palette import Variant
from gansweep.report.statistics import Board


@dataclass
class Section:
    """A heading, how to read what follows, and the figures. `note` stands below them."""

    anchor: str
    title: str
    reading: str
    figures: list[Figure] = field(default_factory=list)
    note: str = ""


def sections(board: Board, drawn: Sequence[Variant]) -> list[Section]:
    """Every section that has something to show, in the page's order."""
    made = [
        learning_curves(board, drawn),
        *hyperparameters(board),
        mode_coverage(board, drawn),
        Section(
            "balance",
            "Discriminator balance",
            "The mean probability of being real that the discriminator gives to real and to "
            "generated images. Both near 0.5: it cannot tell them apart. Far apart: it wins, and "
            "the generator may stop learning. Shown only for losses whose output is a probability.",
            figures.balance(drawn),
        ),
        Section(
            "critic",
            "Critic gap",
            "How much higher the critic scores real images than generated ones. A falling gap "
            "means the two distributions come closer; the scales of different losses differ.",
            _only(figures.critic_gap(drawn)),
        ),
        Section(
            "losses",
            "Losses",
            "Each loss has a scale of its own, so compare a curve with its own past: a loss that "
            "runs away or drops to zero is a warning, a lower loss is not a better GAN.",
            figures.losses(drawn),
        ),
        Section(
            "throughput",
            "Speed and memory",
            "Mean over the runs of a configuration; a dot is one run. Comparable only between "
            "runs on the same hardware.",
            figures.throughput(drawn),
        ),
    ]
    return [section for section in made if section.figures or section.note]


def _only(figure: Figure | None) -> list[Figure]:
    return [figure] if figure else []


def learning_curves(board: Board, drawn: Sequence[Variant]) -> Section:
    ordered = [score for score in board.scores if not score.startswith("mode_counts_")]
    found = [figures.curve(drawn, score, wide=score == board.metric) for score in ordered]
    return Section(
        "curves",
        "Learning curves",
        "The line is the mean over seeds, the band reaches from the worst seed to the best. "
        "A wide band means that luck matters; a curve that turns back has trained past its best.",
        [figure for figure in found if figure],
    )


def mode_coverage(board: Board, drawn: Sequence[Variant]) -> Section:
    return Section(
        "modes",
        "Mode coverage",
        "How a run's last samples spread over the data's modes, which are classes or components "
        "of a mixture: the mean over seeds. The dashed line is an even spread. Samples that "
        "resemble no mode are left out.",
        figures.mode_counts(drawn),
    )


def hyperparameters(board: Board) -> list[Section]:
    trials = trials_of(board.runs)
    if not trials or board.metric is None:
        return []
    importance = hyperparameter_importance(board.runs, board.metric, board.direction, board.at)
    explained = (
        f"A random forest on {plural(importance.n_trials, 'trial')} explains "
        f"{importance.explained:.0%} of the ranks of trials it has not seen. "
        if importance.shares and importance.explained is not None
        else ""
    )
    note = importance.reason or explained + sweep_figures.remarks(board, importance)
    return [
        Section(
            "trials",
            "Trials of the sweep",
            "Each line is one trial on its way through its hyperparameters to its outcome on the "
            "right: blue is best, orange worst, dotted grey came to no outcome. Where blue lines "
            "meet, a value works.",
            _only(sweep_figures.parallel_coordinates(board, board.metric)),
        ),
        Section(
            "importance",
            "Importance of hyperparameters",
            "How much worse a model predicts a trial's rank when this hyperparameter is exchanged "
            "for another trial's. It says that a parameter mattered within the searched ranges, "
            "not which value is best.",
            _only(sweep_figures.importance_bars(importance, board.metric, board.names)),
            note,
        ),
    ]
