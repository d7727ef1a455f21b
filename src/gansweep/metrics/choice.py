"""What a panel measures on a data set: which feature space, which scores, how many samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError, nearest
from gansweep.metrics.features.backbones import BACKBONES
from gansweep.metrics.features.classifier import unfit
from gansweep.metrics.measure import Measure
from gansweep.metrics.measures import MEASURES
from gansweep.metrics.protocol import QUICK

# their published tables are measured under Inception-v3, so the choice is not by their size
PUBLISHED_UNDER_INCEPTION = ("cifar10", "stl10", "celeba")
DEFAULT_COUNTS = {None: 2500, "classifier": 1000}  # of generated samples; 10,000 for the others
STACKED_COUNT = 26_000  # Srivastava et al. 2017 and all later papers
SAMPLES_PER_CLASS = 10  # at least, by default


def choose_backbone(data: DataSource, backbone: str) -> str | None:
    """ "classifier", "inception" and so on; None for points, which need no feature space.

    Raises: UserError for an unknown name.
    """
    known = ("auto", *BACKBONES)
    if backbone not in known:
        raise UserError(
            f"metrics.backbone has no choice '{backbone}'.{nearest(backbone, known)} "
            f"Choose one of: {', '.join(known)}."
        )
    if data.is_points:
        return None
    if backbone != "auto":
        return backbone
    if data.stacked_from is not None:
        return "classifier"
    grey_or_few = data.shape[0] == 1 or (data.n_classes or 0) <= 20
    small = max(data.shape[1:]) <= 32 and data.name not in PUBLISHED_UNDER_INCEPTION
    return "classifier" if small and grey_or_few and not unfit(data) else "inception"


def default_count(data: DataSource, backbone: str | None) -> int:
    """The number of generated samples if metrics.n_fake is null."""
    if data.stacked_from is not None:
        return STACKED_COUNT
    count = DEFAULT_COUNTS.get(backbone, 10_000)
    if backbone == "classifier":
        count = max(count, SAMPLES_PER_CLASS * (data.n_classes or 0))
    return count


def choose_scores(
    scores: Iterable[str] | str | None,
    own: Sequence[Measure],
    data: DataSource,
    backbone: str | None,
    conditional: bool,
    held_out: Split,
) -> tuple[str, ...]:
    """The words of the scores to measure.

    scores: words of `MEASURES`; None: the quick ones that fit; "all": every one that fits.
    own: measures of the user; their scores are always measured.
    backbone: None for points.   conditional: the generator follows labels.
    held_out: the split for measures that need held-out samples.
    Raises: UserError for unknown scores and for scores that do not fit the data.
    """
    own_words = [word for measure in own for word in measure.choices]
    for taken in {word for measure in MEASURES for word in measure.words} & set(own_words):
        raise UserError(f"metrics.own has a score '{taken}', a name of gansweep's: rename it.")
    words = f"it compares with {held_out} samples, and the data have none"
    unheld = "" if data.count(held_out) else words
    misfits = {
        word: (measure.needs_held_out and unheld) or measure.misfit(data, backbone, conditional)
        for measure in (*MEASURES, *own)
        for word in measure.choices
    }
    fitting = tuple(word for word, why in misfits.items() if not why)
    if scores == "all":
        return fitting
    if scores is None:
        scores = [word for word in fitting if word in QUICK]
    wanted = dict.fromkeys([*([scores] if isinstance(scores, str) else scores), *own_words])
    for word in wanted:
        if word not in misfits:
            raise UserError(
                f"metrics.scores has no score '{word}'.{nearest(word, misfits)} "
                f"Choose from: {', '.join(misfits)}; or set metrics.scores=all."
            )
        if misfits[word]:
            raise UserError(
                f"The score '{word}' cannot be measured on data={data.name} with "
                f"backbone={backbone or 'none'}: {misfits[word]}. These can: "
                f"{', '.join(fitting) or 'none'}. Set metrics.scores=[{','.join(fitting)}]."
            )
    return tuple(wanted)
