"""The sections of the page, each with a text on how to read it."""

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

# Scores that only give the error of another score and are shown with that one.
COMMENTS = ("fid_error", "fid_infinity_residual")
MARKS = {
    "fifty_fifty": (
        0.5,
        "Accuracy of a new discriminator that separates held-out from generated images. At the "
        "dashed line, 0.5, it only guesses: it cannot separate them.",
    ),
    "memorisation": (
        0.5,
        "At the dashed line, 0.5, samples are as near to the training images as held-out images "
        "are. Near 1 they are copies. Near 0 they are far from all training images.",
    ),
}


def sections(board: Board, drawn: Sequence[Variant]) -> list[Section]:
    """Every section that is not empty, in the order of the page."""
    made = [
        learning_curves(board, drawn),
        *quality(board, drawn),
        *sweep_sections(board),
        mode_coverage(drawn),
        Section(
            "classes",
            "FID within classes",
            "FID between the real and the generated images of one class. A high bar is a class "
            "with worse samples than the others. A class without enough samples has no bar.",
            mode_figures.fid_of_classes(drawn),
        ),
        Section(
            "agreement",
            "Requested and seen classes",
            "The classes that the classifier of the data set sees in samples of each requested "
            "class, in percent, mean over seeds. On the diagonal the generator makes the "
            "requested class. A coloured cell off the diagonal: one class looks like another.",
            class_figures.confusions(drawn),
        ),
        *game(drawn),
        Section(
            "losses",
            "Losses",
            "Each loss has its own scale, so compare a curve only with its own past. A loss that "
            "grows without limit or drops to zero is a warning. A lower loss is not a better GAN.",
            figures.losses(drawn),
        ),
        Section(
            "throughput",
            "Speed and memory",
            "Mean over the runs of a configuration; a dot is one run. Compare only runs on the "
            "same hardware.",
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
        "The line is the mean over seeds. The band goes from the worst seed to the best. A wide "
        "band means that luck matters. A curve that gets worse at the end was trained too long.",
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
        note = (
            f"The dashed line, {number(mark)}, is the value of perfect samples for this number of "
            "samples."
        )
    return figures.curve(drawn, score, wide=score == board.metric, mark=mark, note=note)


def quality(board: Board, drawn: Sequence[Variant]) -> list[Section]:
    """The sections on the certainty of FID, and on fidelity and diversity."""
    return [
        Section(
            "certainty",
            "How far FID can be trusted",
            "The dot is FID for the number of samples in its name. Its bar is the 95 % interval of "
            "the mean FID for this number: the noise of sampling, not the bias. The ring is "
            "FID-infinity, the limit for infinitely many samples, with its 95 % interval if there "
            "are at least ten samples per dimension. The distance between the two is the bias of "
            "too few samples. It differs between generators.",
            fidelity_figures.fid_and_its_errors(board, drawn),
        ),
        Section(
            "fidelity",
            "Fidelity and diversity",
            "Higher: samples look more like real images. Further right: samples cover more of the "
            "real images. A small dot is one run, a large dot the mean of a configuration.",
            fidelity_figures.fidelity_against_diversity(board, drawn),
        ),
    ]


def mode_coverage(drawn: Sequence[Variant]) -> Section:
    """The section on mode coverage, for runs that counted modes."""
    return Section(
        "modes",
        "Mode coverage",
        "The distribution of a run's last samples over the modes of the data (classes, or "
        "components of a mixture), mean over seeds. The dashed line is an even distribution. "
        "Samples that belong to no mode are left out.",
        mode_figures.mode_counts(drawn),
    )


def game(drawn: Sequence[Variant]) -> list[Section]:
    """The sections on discriminator balance, critic gap, and the state of the game."""
    return [
        Section(
            "balance",
            "Discriminator balance",
            "The mean probability of being real that the discriminator gives to real images and to "
            "generated images. Both near 0.5: it cannot separate them. Far apart: it wins, and the "
            "generator may stop learning. Only losses whose output is a probability are shown.",
            game_figures.balance(drawn),
        ),
        Section(
            "critic",
            "Critic gap",
            "The mean critic score of real images minus that of generated images. A falling gap "
            "means that the two distributions come closer. Different losses have different scales.",
            _some(game_figures.critic_gap(drawn), game_figures.global_measure(drawn)),
        ),
        Section(
            "game",
            "The game",
            "How far the players are from an equilibrium, and their gradients. If a gradient "
            "vanishes while the samples are poor, learning has stopped. If it grows without limit, "
            "training is about to diverge.",
            [
                *_some(game_figures.duality_gap(drawn)),
                *game_figures.gradient_norms(drawn),
                *game_figures.overfitting(drawn),
                *_some(game_figures.spread(drawn)),
            ],
        ),
    ]
