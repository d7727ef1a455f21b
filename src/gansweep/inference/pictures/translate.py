"""Turn pictures into others with a trained run: `gansweep translate`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.pictures.inputs import Picture, Reading, as_input, whole_picture
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.inference.pictures.tiles import through
from gansweep.inference.pictures.translating import Translation
from gansweep.inference.stream import as_pixels
from gansweep.layers.translation import ResNet
from gansweep.layers.unet import UNet
from gansweep.models.autoencoder import Coding
from gansweep.models.context_encoder import ContextEncoder
from gansweep.models.cyclegan import BothWays, CycleGAN
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.pix2pix import Pix2Pix
from gansweep.models.translation import Translator
from gansweep.provenance.mark import COMPOSITE, prompt_of
from gansweep.records.notation import plural

TRANSLATE = "cyclegan, pix2pix, context_encoder or autoencoder (vae and aae reconstruct)"


def main(request: Translation) -> int:
    """Run `gansweep translate`.   Returns: the exit code, 1 where some picture was left out."""
    use = request.use
    found = pictures_in(request.pictures, use.output)
    assert use.output is not None
    for one in found:
        outputs.refuse_existing(use.output / _name(one.name, request.form), use.force)
    opened = open_run(use)
    refuse_misfits(opened, request)
    opened.keep_note_of_unmarked(f"{plural(len(found), 'translation')} to {use.output}")
    folder = outputs.Folder(use.output, force=True)  # each name was looked at above
    marker = opened.marker()
    read = Reading(found)
    for picture, made in translated(opened, request, read.good()):
        prompt = prompt_of({"translation of": picture.found.name, "direction": request.direction})
        # part of the picture is kept, or its content is: a composite in either case
        parent = picture.found.path.read_bytes() if marker.signer else None
        content = marked(marker, made, prompt, request.form, COMPOSITE, parent)
        folder.add(str(_name(picture.found.name, request.form)), content)
    print(f"read {opened.checkpoint}\nwrote {plural(folder.written, 'picture')} to {use.output}")
    read.refuse_none()
    return 1 if read.failed else 0


def _name(name: Path, form: str) -> Path:
    return name.with_suffix(f".{form}")


def refuse_misfits(opened: Opened, request: Translation) -> None:
    """Raises: UserError for a model that cannot do what is asked."""
    module = opened.module
    if opened.data.is_points or not isinstance(module, (Translator, Coding)):
        raise UserError(
            f"model={opened.model} makes no image of another one. Use a run of model={TRANSLATE}."
        )
    if request.direction == "ba" and not isinstance(module, CycleGAN):
        raise UserError(
            f"direction=ba: model={opened.model} goes one way only. Use direction=ab, or a run of "
            "model=cyclegan."
        )
    if request.size == "own" and network_of(opened, request.direction) is None:
        raise UserError(
            f"size=own: the network of model={opened.model} takes the size it was trained on only. "
            "Use size=network, or a run of model=cyclegan or model=pix2pix."
        )


def network_of(opened: Opened, direction: str) -> torch.nn.Module | None:
    """The network of convolutions that takes any size; None where there is none."""
    module = opened.module
    if isinstance(module, CycleGAN):
        both = module.sampler()
        assert isinstance(both, BothWays)
        network = both.ba if direction == "ba" else both.ab
        return network if isinstance(network, ResNet) else None
    if isinstance(module, Pix2Pix):
        network = module.sampler()
        return network if isinstance(network, UNet) else None
    return None


def translated(
    opened: Opened, request: Translation, pictures: Iterator[Picture]
) -> Iterator[tuple[Picture, np.ndarray]]:
    """Each picture with its result, (H, W, C) uint8."""
    if request.size == "own":
        for picture in pictures:
            yield picture, as_pixels(at_its_size(opened, request, picture)[None])[0].numpy()
        return
    shape = input_shape(opened, request.direction)
    waiting: list[Picture] = []

    def made() -> Iterator[tuple[Picture, np.ndarray]]:
        pixels = as_pixels(results(opened, request.direction, as_input(waiting, shape))).numpy()
        yield from zip(waiting, pixels, strict=True)

    for picture in pictures:
        waiting.append(picture)
        if len(waiting) == request.batch_size:
            yield from made()
            waiting = []
    if waiting:
        yield from made()


def input_shape(opened: Opened, direction: str) -> tuple[int, ...]:
    """(C, H, W) of what goes in."""
    shape = tuple(opened.data.shape)
    return shape if direction == "ba" else opened.module.source_shape or shape


@torch.no_grad()
def results(opened: Opened, direction: str, images: Tensor) -> Tensor:
    """(N, C', H, W) of the network's size -> (N, C, H, W), both in [-1, 1], on the CPU."""
    module = opened.module
    given = images.to(module.device)
    if direction == "ba":
        with evaluating(module.sampler()) as both:
            assert isinstance(both, BothWays)
            return both.ba(like_weights(given, both)).float().cpu()
    if isinstance(module, ContextEncoder):
        rows, columns = module.hole
        given = given.clone()
        given[..., rows, columns] = 128 / 127.5 - 1  # the hole of the task
    if isinstance(module, Translator):
        return module.translate(like_weights(given, module.sampler()), None).float().cpu()
    # `images` says what is wanted, which nobody knows here: only its shape is used
    wanted = (
        given if module.source_shape is None else given.new_zeros(len(given), *opened.data.shape)
    )
    source = None if module.source_shape is None else given
    return module.answers(Batch(wanted, source=source))["images"].float().cpu()


@torch.no_grad()
def at_its_size(opened: Opened, request: Translation, picture: Picture) -> Tensor:
    """(C, H, W) of a picture of any size."""
    network = network_of(opened, request.direction)
    assert network is not None
    image = whole_picture(picture, input_shape(opened, request.direction)[0])
    with evaluating(network):
        own = like_weights(image, network)
        return through(network, own, halved(network), request.tile).float().cpu()


def halved(network: torch.nn.Module) -> int:
    """What the sides of a picture must be multiples of: two to the number of halvings."""
    strides = [
        layer.stride[0]
        for layer in network.modules()
        if isinstance(layer, torch.nn.Conv2d) and layer.stride[0] > 1
    ]
    return 2 ** len(strides)
