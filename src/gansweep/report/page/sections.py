"""The page's sections of figures, each with a sentence on how to read it."""

from __future__ import annotations

from collections.abc import Sequence

from gansweep.judging.leaderboard import Board
from gansweep.records.notation import number
from gansweep.report.figures import classes as class_figures
from gansweep.report.figures import fidelity as fidelity_figures
from gansweep.report.figures import figures
from gansweep.report.figures import game as game_figures
from gansweep.report.figures import modes as mode_figures
from gansweep.report.figures.figures import Figure
from gansweep.report.figures.palette import Variant
from gansweep.report.page.section import Section
from gansweep.report.page.sweep_sections import sweep_sections

# Scores that only say how sure another one is, which shows them beside itself.
COMMENTS = ("fid_error", "fid_infinity_residual")
MARKS = {
    "fifty_fifty": (
        0.5,
        "Accuracy of a fresh discriminator on held-out images against generated ones. The dashed "
        "line, 0.5, is a guess: it cannot tell them apart.",
    ),
    "memorisation": (
        0.5,
        "The dashed line, 0.5: samples lie as near to the training images as held-out images do. "
        "Towards 1 they are copies, towards 0 they are far from all of them.",
    ),
}


def sections(board: Board, drawn: Sequence[Variant]) -> list[Section]:
    """Every section that has something to show, in the page's order."""
    made = [
        learning_curves(board, drawn),
        *quality(board, drawn),
        *sweep_sections(board),
        mode_coverage(drawn),
        Section(
            "classes",
            "FID within classes",
            "FID between the real and the generated images of one class: a class that is drawn "
            "worse than the others stands out. A class without enough samples has no bar.",
            mode_figures.fid_of_classes(drawn),
        ),
        Section(
            "agreement",
            "Asked and seen classes",
            "What the data's own classifier sees in samples that were asked to be of a class, in "
            "percent of those asked for: the mean over seeds. A full diagonal: the generator "
            "obeys. A coloured cell off it: one class is drawn like another.",
            class_figures.confusions(drawn),
        ),
        *game(drawn),
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
    return [section for section in made if not section.empty]


def _some(*found: Figure | None) -> list[Figure]:
    return [figure for figure in found if figure]


def learning_curves(board: Board, drawn: Sequence[Variant]) -> Section:
    return Section(
        "curves",
        "Learning curves",
        "The line is the mean over seeds, the band reaches from the worst seed to the best. "
        "A wide band means that luck matters; a curve that turns back has trained past its best.",
        _some(*(_learning_curve(board, drawn, score) for score in board.scores)),
    )


def _learning_curve(board: Board, drawn: Sequence[Variant], score: str) -> Figure | None:
    protocol = next((p for run in board.runs if (p := run.protocols.get(score))), {})
    word = protocol.get("score")
    if word in COMMENTS:
        return None
    mark, note = MARKS.get(str(word), (None, ""))
    if protocol.get("floor") is not None:
        mark = float(protocol["floor"])
        note = f"The dashed line, {number(mark)}, is what perfect samples give at this number."
    return figures.curve(drawn, score, wide=score == board.metric, mark=mark, note=note)


def quality(board: Board, drawn: Sequence[Variant]) -> list[Section]:
    """How far FID can be trusted, and fidelity against diversity."""
    return [
        Section(
            "certainty",
            "How far FID can be trusted",
            "The dot is FID at the number of samples in its name. Its bar is the 95 % interval of "
            "the mean FID of so many samples: the noise of drawing them, not their bias. The ring "
            "is FID-infinity, what endless samples would give, with its 95 % interval where there "
            "are ten samples for each dimension. The distance between the two is the bias of too "
            "few samples, and it is not the same for every generator.",
            fidelity_figures.fid_and_its_errors(board, drawn),
        ),
        Section(
            "fidelity",
            "Fidelity and diversity",
            "Further up, the samples look more like real images; further to the right, they cover "
            "more of them. A dot is one run, the large one the mean of a configuration.",
            fidelity_figures.fidelity_against_diversity(board, drawn),
        ),
    ]


def mode_coverage(drawn: Sequence[Variant]) -> Section:
    """How the samples spread over the data's modes, where a run counted them."""
    return Section(
        "modes",
        "Mode coverage",
        "How a run's last samples spread over the data's modes, which are classes or components "
        "of a mixture: the mean over seeds. The dashed line is an even spread. Samples that "
        "resemble no mode are left out.",
        mode_figures.mode_counts(drawn),
    )


def game(drawn: Sequence[Variant]) -> list[Section]:
    """Balance of discriminators, gap of critics, and what tells an equilibrium or a lost game."""
    return [
        Section(
            "balance",
            "Discriminator balance",
            "The mean probability of being real that the discriminator gives to real and to "
            "generated images. Both near 0.5: it cannot tell them apart. Far apart: it wins, and "
            "the generator may stop learning. Shown only for losses whose output is a probability.",
            game_figures.balance(drawn),
        ),
        Section(
            "critic",
            "Critic gap",
            "How much higher the critic scores real images than generated ones. A falling gap "
            "means the two distributions come closer; the scales of different losses differ.",
            _some(game_figures.critic_gap(drawn), game_figures.global_measure(drawn)),
        ),
        Section(
            "game",
            "The game",
            "How far the players are from an equilibrium, and what still moves them. A gradient "
            "that vanishes while the samples are poor has stopped the learning; one that grows "
            "without end is on its way to diverge.",
            [
                *_some(game_figures.duality_gap(drawn)),
                *game_figures.gradient_norms(drawn),
                *game_figures.overfitting(drawn),
                *_some(game_figures.spread(drawn)),
            ],
        ),
    ]
