"""Figures of the game between the players: balance, gradients, overfitting."""

from __future__ import annotations

from collections.abc import Sequence

from gansweep.records.notation import number
from gansweep.report.figures.figures import Figure, axes, banded, columns, curve, label_end, level
from gansweep.report.figures.palette import Variant

RATIOS = (-1.0, 2.0)  # r_t is in [-1, 1], and r_v in [0, 1] except for noise


def balance(variants: Sequence[Variant]) -> list[Figure]:
    """D(x) and D(G(z)) of each variant whose discriminator outputs probabilities."""
    figures = []
    for variant in variants:
        real = banded(variant, "balance/real_mean", name="real: D(x)")
        fake = banded(variant, "balance/fake_mean", name="generated: D(G(z))")
        if not (real and fake):
            continue
        real[-1]["line"] = {**real[-1]["line"], "dash": "solid"}
        fake[-1]["line"] = {**fake[-1]["line"], "dash": "dot"}
        layout = axes("probability of being real")
        layout["yaxis"]["range"] = [0, 1]
        layout["shapes"] = [level(0.5)]
        above = 7 if real[-1]["y"][-1] >= fake[-1]["y"][-1] else -7
        layout["annotations"] = [
            label_end(real[-1], "real", above),
            label_end(fake[-1], "generated", -above),
        ]
        # the labels are in the margin, right of the last point
        layout["xaxis"]["range"] = [0, max(real[-1]["x"][-1], fake[-1]["x"][-1])]
        layout["margin"] = {"l": 52, "r": 78, "t": 10, "b": 42}
        figures.append(
            Figure(
                title=variant.row.name,
                alt=f"{variant.row.name}: mean D(x) ends at {number(real[-1]['y'][-1])} and mean "
                f"D(G(z)) at {number(fake[-1]['y'][-1])}; a line marks 0.5.",
                data=[*real, *fake],
                layout=layout,
                height=240,
                variant=variant.index,
            )
        )
    return figures


def critic_gap(variants: Sequence[Variant]) -> Figure | None:
    return curve(variants, "critic/gap", "Critic gap", unit="real mean − generated mean")


def global_measure(variants: Sequence[Variant]) -> Figure | None:
    note = "Real energy + |γ real energy − generated energy|: it falls as BEGAN converges."
    return curve(variants, "critic/global_measure", "BEGAN's global measure", note=note)


def gradient_norms(variants: Sequence[Variant]) -> list[Figure]:
    """The 2-norm of each player's gradient, one figure per player."""
    names = columns(variants, "grad_norm/")
    found = [curve(variants, c, f"{c[10:]}: gradient norm", unit="2-norm") for c in names]
    return [figure for figure in found if figure]


def duality_gap(variants: Sequence[Variant]) -> Figure | None:
    note = "The dashed line is 0: neither player can improve by changing alone."
    return curve(variants, "game/duality_gap", "Duality gap", mark=0.0, note=note)


def overfitting(variants: Sequence[Variant]) -> list[Figure]:
    """ADA's two measures of how much a discriminator has memorised the training images."""
    found = [
        curve(
            variants,
            "overfit/r_t",
            "Overfitting of the discriminator: r_t",
            mark=0.6,
            note="Mean sign of D on training images. The dashed line, 0.6, is ADA's target for its "
            "augmentation.",
        ),
        curve(
            variants,
            "overfit/r_v",
            "Overfitting of the discriminator: r_v",
            mark=0.5,
            note="(D of training − D of held-out images) / (D of training − D of generated images)."
            " 0: held-out images look as real as training images. 1: they look generated. The "
            "dashed line, 0.5, is ADA's target.",
        ),
    ]
    figures = [figure for figure in found if figure]
    for figure in figures:
        values = [value for trace in figure.data for value in trace["y"]]
        if min(values) < RATIOS[0] or max(values) > RATIOS[1]:
            figure.layout["yaxis"]["range"] = list(RATIOS)
            figure.note += " Values outside the figure come from a division by almost 0."
    return figures


def spread(variants: Sequence[Variant]) -> Figure | None:
    note = (
        "Standard deviation over the batch, mean over pixels. Near 0: the generator makes the same "
        "picture from all noise."
    )
    return curve(variants, "spread/fakes", "Variety within a generated batch", note=note)
