"""What a run says of pictures: how strange they are, or of which class.

`gansweep detect` and `gansweep classify`.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.source import Split
from gansweep.errors import UserError, terminal_width, visible
from gansweep.inference import outputs
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.pictures.inputs import Picture, Reading, as_input
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.pictures.translating import Judging
from gansweep.records.notation import beside_names, plural

SHOWN = 20  # rows that are printed
PREFIX = "anomaly/"


def detect(request: Judging) -> int:
    """Run `gansweep detect`.   Returns: 0 all look normal, 1 some do not or were left out."""
    found = pictures_in(request.pictures)
    opened = open_run(request.use)
    path = _csv_path(opened, request, "detect")
    criterion = criterion_of(opened, request.criterion)
    threshold, above, n = threshold_of(opened, criterion, request.false_alarms)
    rows = []
    reading = Reading(found)
    for picture, answers in answered(opened, request, reading.good()):
        score = float(answers[PREFIX + criterion])
        rows.append((str(picture.found.path), f"{score:.6g}", _verdict(score, threshold)))
    reading.refuse_none()
    rows.sort(key=lambda row: -float(row[1]))
    _write_csv(path, ("file", criterion, "verdict"), rows, request.use.force)
    strange = sum(row[2] == "anomaly" for row in rows)
    print(f"read {opened.checkpoint}\nwrote {path}")
    print(
        f"threshold {threshold:.6g}: {above:,} of {n:,} normal held-out images are above it, "
        f"at most {100 * request.false_alarms:.4g}%"
    )
    _show(("file", criterion, "verdict"), rows)
    print(f"{plural(len(rows), 'picture')}: {strange} anomalous")
    return 1 if strange or reading.failed else 0


def _verdict(score: float, threshold: float) -> str:
    return "anomaly" if not score <= threshold else "normal"


def criterion_of(opened: Opened, asked: str) -> str:
    """The anomaly score to use.   Raises: UserError for a run that has none, or not this one."""
    answers = blank_answers(opened)
    known = [name.removeprefix(PREFIX) for name in answers if name.startswith(PREFIX)]
    if not known:
        raise UserError(
            f"model={opened.model} does not say how strange a picture is. Use a run of "
            "model=autoencoder, vae or aae with data=one_class, as 'gansweep train "
            "experiment=digits_anomaly' makes it."
        )
    own = [x.removeprefix("auroc_") for x in opened.module.judged_by if x.startswith("auroc_")]
    wanted = asked or (own or known)[0]
    if wanted not in known:
        raise UserError(f"criterion={wanted} is not known here. Choose {' or '.join(known)}.")
    return wanted


def threshold_of(opened: Opened, criterion: str, false_alarms: float) -> tuple[float, int, int]:
    """The score above which at most that share of normal held-out images is, how many are above
    it, and of how many.

    Of n scores it is the one at rank ceil((1 - share) * n). The validation split is used where
    there is one, else the test split.
    Raises: UserError where no normal image is held out.
    """
    data = opened.data
    splits: tuple[Split, ...] = ("validation", "test")
    split = next((one for one in splits if data.count(one)), None)
    if split is None:
        raise UserError(f"data={data.name} has no held-out images to take a threshold from.")
    scores = []
    device = opened.module.device
    for batch in data.batches(split):
        answers = opened.module.answers(batch.to(device))[PREFIX + criterion].float().cpu()
        if data.normal_class is not None and batch.labels is not None:
            answers = answers[batch.labels == data.normal_class]
        scores.append(answers)
    found = torch.cat(scores)
    if not len(found):
        raise UserError(
            f"No {split} image of data={data.name} is of its normal class, so there is nothing to "
            "take a threshold from. Train on data with more images of that class."
        )
    threshold = above_share(found, false_alarms)
    return threshold, int((found > threshold).sum()), len(found)


def above_share(scores: Tensor, share: float) -> float:
    """The least of the scores above which at most that share of them is."""
    n = len(scores)
    allowed = int(share * n + 1e-9)  # scores that may be above it
    return float(scores.sort().values[max(0, n - allowed - 1)])


def classify(request: Judging) -> int:
    """Run `gansweep classify`.   Returns: 0, or 1 where pictures were left out."""
    found = pictures_in(request.pictures)
    opened = open_run(request.use)
    path = _csv_path(opened, request, "classify")
    names = opened.data.class_names
    if names is None or "logits" not in blank_answers(opened):
        raise UserError(
            f"model={opened.model} does not say of which class a picture is. Use a run of "
            "model=sgan, sgan_feature_matching or acgan."
        )
    rows = []
    reading = Reading(found)
    for picture, answers in answered(opened, request, reading.good()):
        chances = answers["logits"].float().softmax(0)
        best = int(chances.argmax())
        others = [f"{chance:.4f}" for chance in chances.tolist()]
        rows.append((str(picture.found.path), names[best], f"{chances[best]:.4f}", *others))
    reading.refuse_none()
    _write_csv(path, ("file", "class", "probability", *names), rows, request.use.force)
    print(f"read {opened.checkpoint}\nwrote {path}")
    _show(("file", "class", "probability"), [row[:3] for row in rows])
    return 1 if reading.failed else 0


@torch.no_grad()
def answered(
    opened: Opened, request: Judging, pictures: Iterator[Picture]
) -> Iterator[tuple[Picture, dict[str, Tensor]]]:
    """Each picture with its row of the model's answers, on the CPU."""
    while batch := list(islice(pictures, request.batch_size)):
        answers = {k: v.cpu() for k, v in opened.module.answers(given(opened, batch)).items()}
        for row, picture in enumerate(batch):
            yield picture, {name: value[row] for name, value in answers.items()}


def given(opened: Opened, pictures: Sequence[Picture]) -> Batch:
    """Pictures as the model is asked about them, on its device: cut as those of the data, and their
    own sources where it takes some."""
    data, device = opened.data, opened.module.device
    images = as_input(pictures, tuple(data.shape), data.resize).to(device)
    if opened.module.source_shape is None:
        return Batch(images)
    source = as_input(pictures, opened.module.source_shape, data.resize).to(device)
    return Batch(images, source=source)


def blank_answers(opened: Opened) -> dict[str, Tensor]:
    """What the model says of two grey images: which answers it gives, without an image of data."""
    module = opened.module
    images = torch.zeros(2, *opened.data.shape, device=module.device)
    shape = module.source_shape
    source = None if shape is None else torch.zeros(2, *shape, device=module.device)
    return module.answers(Batch(images, source=source))


def _csv_path(opened: Opened, request: Judging, verb: str) -> Path:
    path = request.use.output or Path(f"{opened.stem}-{verb}.csv")
    outputs.refuse_existing(path, request.use.force)
    if opened.data.is_points:
        raise UserError(f"This run has points, and gansweep {verb} takes pictures.")
    return path


def _write_csv(path: Path, head: Sequence[str], rows: Sequence[Sequence[str]], force: bool) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([head, *rows])
    outputs.write_file(path, text.getvalue().encode(errors="backslashreplace"), force)


def _show(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    shown = [head, *rows[:SHOWN]]
    names = [visible(row[0]) for row in shown]
    for line in beside_names(names, [row[1:] for row in shown], width=terminal_width()):
        print(visible(line))
    if len(rows) > SHOWN:
        print(f"and {len(rows) - SHOWN} more")


VERBS: dict[str, Callable[[Judging], int]] = {"detect": detect, "classify": classify}
