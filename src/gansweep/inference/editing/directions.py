"""Directions in which the samples of a run change, found without labels: `gansweep directions`."""

from pathlib import Path

import torch
from torch import Tensor, nn

from gansweep.callbacks.sheet import grid
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.editing.codes import Space
from gansweep.inference.editing.edits import Directions
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened, open_run
from gansweep.layers import equalized
from gansweep.layers.style import Generator as StyleGenerator
from gansweep.provenance.mark import prompt_of

MANY = 10_000  # codes of which principal components are taken


def main(request: Directions) -> int:
    """Run `gansweep directions`.   Returns: the exit code.   Raises: UserError."""
    opened = open_run(request.use)
    path = request.use.output or Path(f"{opened.stem}-{request.method}.png")
    outputs.refuse_existing(path, request.use.force)
    space = space_of(opened)
    found, strengths = (sefa if request.method == "sefa" else pca)(space, request.n)
    images = moved(space, found, request)
    opened.keep_note_of_unmarked(f"directions to {path}")
    prompt = prompt_of({"directions": request.method, "seed": request.seed, "label": request.label})
    picture = grid(images, request.steps).enlarged()
    content = marked(opened.marker(), picture, prompt)
    outputs.write_file(path, content, request.use.force)
    print(f"read {opened.checkpoint}\nwrote {path}: a row for each direction,")
    print(
        f"-{request.reach:g} to {request.reach:g} in {space.name}; strengths {_listed(strengths)}"
    )
    return 0


def space_of(opened: Opened) -> Space:
    """Where a run's directions are: in w of a generator with styles, else in z.

    Raises: UserError for a model without codes.
    """
    styled = isinstance(getattr(opened.module, "generator", None), StyleGenerator)
    return Space(opened, "w" if styled else "z")


def _listed(strengths: Tensor) -> str:
    return ", ".join(f"{one:.3g}" for one in strengths.tolist())


def moved(space: Space, directions: Tensor, request: Directions) -> Tensor:
    """(samples * n * steps, C, H, W): each sample along each direction."""
    kind = space.opened.label_number(request.label)
    start = space.first(request.seed, request.samples, kind)
    steps = torch.linspace(-request.reach, request.reach, request.steps)
    made = []
    for row in range(request.samples):
        own = space.samples(request.seed, [row], kind) if request.samples > 1 else start
        for direction in directions:
            made.append(space.pictures(own.with_codes(own.z + steps[:, None] * direction)))
    return torch.cat(made)


def sefa(space: Space, n: int) -> tuple[Tensor, Tensor]:
    """Unit directions (n, L) along which the first layer's output changes most, and how much.

    They are the eigenvectors of A^T A with the largest eigenvalues, where A maps a code to the
    first layer; of a generator with styles, all the affine maps of w in a column.
    Source: Shen and Zhou 2021, arXiv:2007.06600, Eq. 7.   Departure: the rows of A are not
    normalised, so that the eigenvalue is how far a unit step moves the layer.
    """
    return eigenvectors(first_weights(space), n)


def eigenvectors(weights: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Of A^T A for A (M, L): (n, L) unit vectors, and the roots of their eigenvalues, falling."""
    a = weights.double()
    values, vectors = torch.linalg.eigh(a.T @ a)
    order = values.argsort(descending=True)[:n]
    return vectors[:, order].T.float(), values[order].clamp(min=0).sqrt().float()


def first_weights(space: Space) -> Tensor:
    """(M, L) of the first layer on a code.   Raises: UserError where there is no such layer."""
    generator = space.generator
    if isinstance(generator, StyleGenerator):
        styles = [
            part.weight.detach().cpu() * part.scale
            for name, part in generator.synthesis.named_modules()
            if name.endswith("style") and isinstance(part, equalized.Linear)
        ]
        if styles:
            return torch.cat([w.flatten(1) for w in styles])
    for part in generator.modules():
        if isinstance(part, nn.Linear | nn.ConvTranspose2d):
            weight = part.weight.detach().cpu()
            # a transposed convolution has its inputs first
            rows = weight.flatten(1).T if isinstance(part, nn.ConvTranspose2d) else weight
            if rows.shape[1] >= space.latent_dim:  # z comes before what else enters
                return rows[:, : space.latent_dim]
            break
    raise UserError(
        f"model={space.opened.model}: no linear layer takes the code first, so its weights give no "
        "directions. Use a run of model=dcgan, cgan, gan, vae or stylegan2."
    )


def pca(space: Space, n: int) -> tuple[Tensor, Tensor]:
    """The first principal components of w, (n, L) unit vectors, and w's deviations along them.

    Source: Harkonen et al. 2020 (GANSpace), arXiv:2004.02546, Section 2.1.
    Raises: UserError for a model without w, whose z is alike in all directions.
    """
    if space.name != "w":
        raise UserError(
            f"method=pca: model={space.opened.model} has no w, and its z is alike in all "
            "directions. Use method=sefa, or a run of model=stylegan2."
        )
    return components(space.first(0, MANY).z, n)


def components(codes: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """(n, L) principal components of codes (N, L), and the standard deviations along them."""
    centred = codes.double() - codes.double().mean(0)
    _, spreads, directions = torch.linalg.svd(centred, full_matrices=False)
    deviations = spreads[:n] / max(1, len(codes) - 1) ** 0.5
    return directions[:n].float(), deviations.float()
