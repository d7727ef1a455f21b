"""Go from one code to the next: `gansweep interpolate`."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansweep.callbacks.sheet import grid
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.editing.codes import Codes, Space, linear, spherical
from gansweep.inference.editing.edits import Interpolation
from gansweep.inference.editing.films import FILMS, film, frames_of
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.request import whole
from gansweep.inference.stream import as_pixels
from gansweep.provenance.mark import prompt_of

PATHS = {"linear": linear, "spherical": spherical}


def main(request: Interpolation) -> int:
    """Run `gansweep interpolate`.   Returns: the exit code.   Raises: UserError."""
    opened = open_run(request.use)
    path = request.use.output or Path(f"{opened.stem}-{request.between}.png")
    outputs.refuse_existing(path, request.use.force)
    images = between(opened, request)
    ends = {request.between: " ".join(request.ends), "seed": request.seed}
    prompt = prompt_of({**ends, "path": request.path, "space": request.space})
    marker, ending = opened.marker(), path.suffix.lower()
    if ending in FILMS:
        frames = [marker.drawn(frame) for frame in frames_of(as_pixels(images).numpy())]
        content = marker.file(film(frames, ending, request.seconds), prompt)
    else:
        content = marked(marker, grid(images, request.steps).enlarged(), prompt)
    opened.keep_note_of_unmarked(f"an interpolation to {path}")
    outputs.write_file(path, content, request.use.force)
    print(f"read {opened.checkpoint}\nwrote {path}")
    return 0


def between(opened: Opened, request: Interpolation) -> Tensor:
    """(legs * steps, C, H, W): from each end to the next."""
    space = Space(opened, request.space)
    steps = torch.linspace(0, 1, request.steps)
    if request.between == "labels":
        return _between_labels(space, request, steps)
    ends = _ends(space, request)
    made = []
    for first in range(len(ends) - 1):
        codes = PATHS[request.path](ends.z[first], ends.z[first + 1], steps)
        made.append(space.pictures(ends.with_codes(codes)))
    return torch.cat(made)


def _ends(space: Space, request: Interpolation) -> Codes:
    """The codes between which it goes; they share the label and the noise of the first."""
    opened = space.opened
    kind = opened.label_number(request.label)
    if request.between == "codes":
        assert request.codes is not None
        return space.samples(request.seed, [0], kind).with_codes(read_codes(request.codes, space))
    numbers = [whole(request.between, end, 0, 2**63 - 1) for end in request.ends]
    if request.between == "samples":
        return space.samples(request.seed, numbers, kind)
    parts = [space.samples(seed, [0], kind) for seed in numbers]
    return parts[0].with_codes(torch.cat([part.z for part in parts]))


def _between_labels(space: Space, request: Interpolation, steps: Tensor) -> Tensor:
    kinds = [space.opened.label_number(end) for end in request.ends]
    made = []
    for first, second in zip(kinds[:-1], kinds[1:], strict=True):
        assert first is not None and second is not None
        start = space.samples(request.seed, [0], first)
        if request.space == "w":
            end = space.samples(request.seed, [0], second)
            codes = PATHS[request.path](start.z[0], end.z[0], steps)
            made.append(space.pictures(start.with_codes(codes)))
            continue
        same = start.with_codes(start.z.expand(len(steps), -1))
        with space.between_labels(first, second, steps):
            made.append(space.pictures(same, len(steps)))
    return torch.cat(made)


def read_codes(path: Path, space: Space) -> Tensor:
    """(N, L) of an npz's array "codes", as `gansweep project` writes it.   Raises: UserError."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            codes = torch.from_numpy(arrays["codes"]).float()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"codes={path} cannot be read ({error}). Give an npz with an array 'codes' of "
            f"(N, {space.latent_dim}), as 'gansweep project' writes it."
        ) from error
    if codes.ndim != 2 or codes.shape[1] != space.latent_dim or len(codes) < 2:
        raise UserError(
            f"codes={path} has codes of {tuple(codes.shape)}, and this model takes "
            f"(N, {space.latent_dim}) with two rows or more."
        )
    return codes
