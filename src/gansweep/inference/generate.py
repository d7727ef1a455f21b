"""Generate pictures with a trained run: of one class, one value of a learnt code, or everything."""

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gansweep.callbacks.sheet import (
    POINTS_PER_IMAGE,
    Sheet,
    every_kind,
    grid,
    of_kind,
    point_map,
    sheet,
)
from gansweep.data.conditions import Conditions
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.request import Request, whole
from gansweep.inference.stream import Part, Stream
from gansweep.provenance.mark import COMPOSITE, MADE, prompt_of
from gansweep.records.sheets import MADE_ALONE
from gansweep.run.exported import is_export


def main(request: Request) -> int:
    """Run `gansweep generate`.   Returns: the exit code.   Raises: UserError."""
    use = request.use
    opened = open_run(use)
    if request.truncation is not None:
        opened.module.truncate(request.truncation)
    kind = kind_of(opened, request)
    path = use.output
    if path is None:
        ending = ".png" if request.form == "grid" else ""  # or a folder
        name = "-".join(filter(None, [opened.stem, request.label or request.code]))
        path = Path(f"{name}{ending}")
    outputs.refuse_existing(path, use.force)
    opened.keep_note_of_unmarked(f"{request.n} samples to {path}")
    WRITE[request.form](opened, request, kind, path)
    words = f"read {opened.checkpoint}\nwrote {path}"
    words += f", truncated to {opened.module.truncated}" if opened.module.truncated else ""
    print(words, file=sys.stderr if path == outputs.STDOUT else sys.stdout)
    return 0


def said(opened: Opened, request: Request) -> dict[str, Any]:
    """What was asked of all samples, for the mark."""
    asked = {"label": request.label, "code": request.code}
    return {"seed": request.seed, **asked, "truncation": opened.module.truncated}


def kind_of(opened: Opened, request: Request) -> int | None:
    """The class or the value of a code that was asked for; None for neither.

    Raises: UserError if the model cannot make it.
    """
    module = opened.module
    if request.label is not None:
        return opened.label_number(request.label)
    if request.code is None:
        return None
    if module.conditional or module.kinds is None:
        fix = "Use label=, which names a class" if module.conditional else "Leave code= out"
        raise UserError(
            f"code={request.code}: model={opened.model} has not learnt a code. {fix}, or train a "
            "model that learns one: gansweep train model=infogan."
        )
    return whole("code", request.code, 0, module.kinds - 1)


def write_grid(opened: Opened, request: Request, kind: int | None, path: Path) -> None:
    picture = drawn(opened, request, kind)
    layout = picture.layout
    source = MADE if layout.kind in MADE_ALONE else COMPOSITE
    gap = layout.columns if layout.kind == "anomalies" else 0  # an empty row
    shown = {"images": layout.count - gap}
    if opened.data.is_points:
        shown = {"points": POINTS_PER_IMAGE * request.n}
    prompt = prompt_of({**said(opened, request), **shown})
    form = "webp" if path.suffix.lower() == ".webp" else "png"
    content = marked(opened.marker(), picture.enlarged(), prompt, form, source)
    outputs.write_file(path, content, opened.use.force)


def drawn(opened: Opened, request: Request, kind: int | None) -> Sheet:
    """The requested picture: of samples where noise is enough, else as the run's own sheets are.

    Raises: UserError where it needs training data, and the run is an exported model.
    """
    module, data = opened.module, opened.data
    stream = Stream(opened, request.seed, kind)
    if stream.by_latents and not data.is_points:  # needs no image of the data
        if kind is None and module.kinds is not None and module.kinds <= request.n:
            blank = Conditions.blank(tuple(data.shape))
            return every_kind(module, data, blank, request.n, request.seed)
        parts = stream.parts(request.n, request.batch_size)
        return grid(torch.cat([part.images for part in parts]))
    if data.is_points:
        _refuse_map_without_data(opened)
    conditions = opened.conditions
    if kind is None:
        return sheet(module, data, conditions, request.n, request.seed)
    rng = torch.Generator().manual_seed(request.seed)
    if data.is_points:
        n = POINTS_PER_IMAGE * request.n
        made = of_kind(module, kind, conditions, n, rng)
        return point_map(conditions.draw(n, rng).images, made)
    return grid(of_kind(module, kind, conditions, request.n, rng))


def _refuse_map_without_data(opened: Opened) -> None:
    if is_export(opened.use.run):
        raise UserError(
            "A map shows points among those of the training data, and an exported model has none. "
            "Use -o points.npz for the points, or the run itself for a map."
        )


def write_folder(opened: Opened, request: Request, kind: int | None, path: Path) -> None:
    _refuse_points(opened, request)
    folder = outputs.Folder(path, opened.use.force)
    _write_pictures(opened, request, kind, folder.add, request.form)
    folder.tell_others()


def write_zip(opened: Opened, request: Request, kind: int | None, path: Path) -> None:
    _refuse_points(opened, request)
    prompt = prompt_of({**said(opened, request), "images": request.n})
    with outputs.zip_at(opened.archive(path, prompt)) as archive:
        _write_pictures(opened, request, kind, archive.add, "png")


def _write_pictures(
    opened: Opened,
    request: Request,
    kind: int | None,
    add: Callable[[str, bytes], None],
    form: str,
) -> None:
    marker = opened.marker()
    names = opened.data.class_names
    before = f"seed {request.seed}, image "
    rest = prompt_of({key: value for key, value in said(opened, request).items() if key != "seed"})
    after = f", {rest}" if rest else ""
    for part in _ahead(Stream(opened, request.seed, kind).parts(request.n, request.batch_size)):
        labels = None if part.labels is None or request.label else part.labels.tolist()
        for row, pixels in enumerate(part.pixels().numpy()):
            number = part.first + row
            label = f", label {names[labels[row]]}" if labels and names else ""
            content = marked(marker, pixels, f"{before}{number}{label}{after}", form)
            add(f"{number:06d}.{form}", content)


def _ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """The same parts; one is made while the one before is written."""
    with ThreadPoolExecutor(1) as maker:
        coming: Future[Part | None] = maker.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = maker.submit(next, parts, None)
            yield part


def write_npz(opened: Opened, request: Request, kind: int | None, path: Path) -> None:
    """ "images": (N, H, W, C) uint8, or "points": (N, D) float32; "labels": (N,) int64."""
    data = opened.data
    name, shape, kind_of_number = "points", tuple(data.shape), "f4"
    if not data.is_points:
        name, shape, kind_of_number = "images", (*data.shape[1:], data.shape[0]), "u1"
    labels = []
    place = opened.archive(path, prompt_of({**said(opened, request), name: request.n}))
    with outputs.npz_at(place, name, (request.n, *shape), kind_of_number) as archive:
        for part in _ahead(Stream(opened, request.seed, kind).parts(request.n, request.batch_size)):
            rows = part.images if data.is_points else part.pixels()
            archive.add(rows.numpy())
            labels += [] if part.labels is None else [part.labels.numpy()]
        if labels:
            archive.others["labels"] = np.concatenate(labels)


def _refuse_points(opened: Opened, request: Request) -> None:
    if opened.data.is_points:
        raise UserError(
            f"format={request.form} writes pictures, and this run makes points. Use -o FILE.npz "
            "for the points, or -o FILE.png for a map of them."
        )


WRITE = {
    "grid": write_grid,
    "png": write_folder,
    "webp": write_folder,
    "zip": write_zip,
    "npz": write_npz,
}
