"""Go from one code to the next: `gansweep interpolate`."""

import zipfile
from collections.abc import Callable
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

Way = Callable[[Tensor, Tensor, Tensor], Tensor]
PATHS: dict[str, Way] = {"linear": linear, "spherical": spherical}


def main(request: Interpolation) -> int:
    """Run `gansweep interpolate`.   Returns: the exit code.   Raises: UserError."""
    opened = open_run(request.use)
    path = request.use.output or Path(f"{opened.stem}-{request.between}.png")
    outputs.refuse_existing(path, request.use.force)
    images = between(opened, request)
    ends = {request.between: " ".join(request.ends), "seed": request.seed}
    said = {**ends, "label": request.label, "path": request.path, "space": request.space}
    prompt = prompt_of(said)
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
    legs = range(len(ends) - 1)
    return torch.cat([_leg(space, ends, first, PATHS[request.path], steps) for first in legs])


def _leg(space: Space, ends: Codes, first: int, way: Way, steps: Tensor) -> Tensor:
    """(S, C, H, W) from one end to the next: with their noise maps, and from class to class."""
    second = first + 1
    z = way(ends.z[first], ends.z[second], steps)
    noise = None if ends.noise is None else way(ends.noise[first], ends.noise[second], steps)
    if ends.labels is None:
        return space.pictures(Codes(z, None, noise))
    a, b = int(ends.labels[first]), int(ends.labels[second])
    codes = Codes(z, torch.full((len(z),), a), noise)
    if a == b or space.name == "w":  # the class is in w already
        return space.pictures(codes)
    with space.between_labels(a, b, steps):
        return space.pictures(codes, len(steps))


def _ends(space: Space, request: Interpolation) -> Codes:
    """The codes between which it goes; those of a file have labels and noise of their own, others
    share those of the first."""
    opened = space.opened
    kind = opened.label_number(request.label)
    if request.between == "codes":
        assert request.codes is not None
        found = read_codes(request.codes, space, space.samples(request.seed, [0], kind))
        if kind is not None:
            found.labels = torch.full((len(found),), kind)
        return found
    numbers = [whole(request.between, end, 0, 2**63 - 1) for end in request.ends]
    if request.between == "samples":
        drawn = space.samples(request.seed, numbers, kind)
        return drawn.with_codes(drawn.z)
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


def read_codes(path: Path, space: Space, like: Codes) -> Codes:
    """Those of an npz, as `gansweep project` writes it: "codes" (N, L) and, where there are any,
    "space", "labels" (N,) and "noise" (N, ...).

    like: one code of the run; its label and noise are taken where the file has none.
    Raises: UserError for what is no such file, and for codes of another space or run.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            z = torch.from_numpy(arrays["codes"]).float()
            name = str(arrays["space"]) if "space" in arrays else space.name
            labels = torch.from_numpy(arrays["labels"]).long() if "labels" in arrays else None
            noise = torch.from_numpy(arrays["noise"]).float() if "noise" in arrays else None
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"codes={path} cannot be read ({error}). Give an npz with an array 'codes' of "
            f"(N, {space.latent_dim}), as 'gansweep project' writes it."
        ) from error
    if name != space.name:
        raise UserError(
            f"codes={path} has codes of {name}, and here they are read as {space.name}. Use "
            f"space={name}."
        )
    if z.ndim != 2 or z.shape[1] != space.latent_dim or len(z) < 2:
        raise UserError(
            f"codes={path} has codes of {tuple(z.shape)}, and this model takes "
            f"(N, {space.latent_dim}) with two rows or more."
        )
    for key, found, own in (("labels", labels, like.labels), ("noise", noise, like.noise)):
        if found is not None and (own is None or found.shape != (len(z), *own.shape[1:])):
            raise _of_another_run(path, key)
    n_classes = space.module.n_classes or 0
    if labels is not None and not 0 <= int(labels.min()) <= int(labels.max()) < n_classes:
        raise _of_another_run(path, "labels")
    rest = like.with_codes(z)
    return Codes(
        z, rest.labels if labels is None else labels, rest.noise if noise is None else noise
    )


def _of_another_run(path: Path, key: str) -> UserError:
    return UserError(
        f"codes={path} has {key} that do not fit this run: they are of another one. Name the run "
        "that its pictures were projected with, or project them anew."
    )
