"""Find the pictures that are most like one, by a run's codes: `gansweep retrieve`."""

from pathlib import Path

import torch
from torch import Tensor

from gansweep.callbacks.sheet import grid
from gansweep.data.batch import Batch, joined
from gansweep.errors import UserError, terminal_width, visible
from gansweep.inference import outputs
from gansweep.inference.encoding import of_picture
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.pictures.inputs import Reading, as_input, read_all
from gansweep.inference.pictures.judge import blank_answers
from gansweep.inference.pictures.picture_files import Found, pictures_in
from gansweep.inference.pictures.translating import Retrieval
from gansweep.records.notation import beside_names

AT_ONCE = 256


def main(request: Retrieval) -> int:
    """Run `gansweep retrieve`.   Returns: the exit code, 1 where some picture was left out.

    Raises: UserError. The sheet shows real pictures alone, so that it is not marked as
    machine-made.
    """
    among = pictures_in(request.among)
    opened = open_run(request.use)
    refuse_misfits(opened)
    path = request.use.output or Path(f"{opened.stem}-retrieve.png")
    outputs.refuse_existing(path, request.use.force)
    shape = tuple(opened.data.shape)
    asked = as_input(
        read_all([Found(request.picture, Path(request.picture.name))])[0], shape, opened.data.resize
    )
    names, images, failed = known(opened, among)
    codes = codes_of(opened, images)
    # by differences: sums of products would round small distances away
    exact = "donot_use_mm_for_euclid_dist"
    distances = torch.cdist(codes_of(opened, asked), codes, compute_mode=exact)[0]
    nearest = distances.topk(min(request.n, len(images)), largest=False)
    rows = [("place", "distance", "picture")]
    for place, (row, distance) in enumerate(
        zip(nearest.indices.tolist(), nearest.values.tolist(), strict=True), start=1
    ):
        rows.append((str(place), f"{distance:.4g}", names[row]))
    picture = grid(torch.cat([asked, images[nearest.indices]]), request.n + 1).enlarged()
    outputs.write_file(path, of_picture(picture, "png"), request.use.force)
    print(f"read {opened.checkpoint}\nwrote {path}: the picture, and behind it the nearest")
    names = [visible(row[2]) for row in rows]
    for line in beside_names(names, [row[:2] for row in rows], width=terminal_width()):
        print(visible(line))
    return 1 if failed else 0


def refuse_misfits(opened: Opened) -> None:
    """Raises: UserError for a run without codes of pictures."""
    if opened.data.is_points or opened.data.source_shape is not None:
        raise UserError("gansweep retrieve takes a run of pictures without sources.")
    if "codes" not in blank_answers(opened):
        raise UserError(
            f"model={opened.model} gives pictures no codes. Use a run of model=autoencoder, vae, "
            "aae or infogan, as 'gansweep train experiment=digits_retrieval' makes it."
        )


def known(opened: Opened, among: list[Found]) -> tuple[list[str], Tensor, int]:
    """The names and images (N, C, H, W) to search: those given, or the training images; and how
    many of those given cannot be read.

    Raises: UserError where none can.
    """
    if not among:
        images = joined(list(opened.data.batches("train"))).images
        return [f"training image {number}" for number in range(len(images))], images, 0
    reading = Reading(among)
    names: list[str] = []
    cut: list[Tensor] = []
    shape, resize = tuple(opened.data.shape), opened.data.resize
    for one in reading.good():  # photographs are large: one at a time is kept whole
        names.append(str(one.found.path))
        cut.append(as_input([one], shape, resize))
    reading.refuse_none()
    return names, torch.cat(cut), reading.failed


@torch.no_grad()
def codes_of(opened: Opened, images: Tensor) -> Tensor:
    """(N, L) on the CPU."""
    device = opened.module.device
    parts = [opened.module.answers(Batch(x.to(device)))["codes"] for x in images.split(AT_ONCE)]
    return torch.cat(parts).float().cpu()
