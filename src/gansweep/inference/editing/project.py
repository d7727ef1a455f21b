"""Find the codes of real pictures, and repair damaged ones by what a generator has learnt.

Source: Zhu et al. 2016, arXiv:1609.03552 (projection by optimisation); Yeh et al. 2017,
arXiv:1607.07539 (repair by the prior of a trained GAN).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gansweep.callbacks.sheet import grid
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.editing import damage
from gansweep.inference.editing.codes import Codes, Space
from gansweep.inference.editing.edits import Projection
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.pictures.inputs import as_input, read_all
from gansweep.inference.pictures.picture_files import pictures_in
from gansweep.models.autoencoder import WithPrior
from gansweep.models.evaluating import evaluating, like_weights
from gansweep.models.gan import GAN
from gansweep.provenance.mark import COMPOSITE, prompt_of

TRIED = 512  # codes from which the nearest ones start
RATE = 0.1  # of Adam, in z
PRIOR = 0.003  # Yeh's lambda: weight of what the discriminator says
FEATURES = 0.1  # weight of the discriminator's features beside the pixels'
Loss = Callable[[Tensor], Tensor]


@dataclass
class Problem:
    """Pictures to find codes for.

    whole: (N, C, H, W) the pictures as given.   seen: what is known of them, before the repair.
    mask: (1, H, W), 0 where nothing is known; None where all is.
    """

    whole: Tensor
    seen: Tensor
    mask: Tensor | None


def main(request: Projection) -> int:
    """Run `gansweep project`.   Returns: the exit code.   Raises: UserError."""
    found = pictures_in(request.images)
    opened = open_run(request.use)
    path = request.use.output or Path(f"{opened.stem}-project.png")
    outputs.refuse_existing(path, request.use.force)
    codes_path = path.with_suffix(".npz")
    outputs.refuse_existing(codes_path, request.use.force)
    pictures, failed = read_all(found)
    space = Space(opened, request.space)
    problem = problem_of(as_input(pictures, opened.data.shape), request)
    codes = coded(space, problem, request)
    made = space.pictures(codes)
    repaired = restored(problem, made, request.task)
    opened.keep_note_of_unmarked(f"projections to {path} and {codes_path}")
    _write(opened, request, path, problem, made, repaired, codes)
    print(f"read {opened.checkpoint}\nwrote {path} and {codes_path}")
    print(told(problem, made, repaired, request))
    return 1 if failed else 0


def problem_of(images: Tensor, request: Projection) -> Problem:
    """What is seen of the pictures: `damage` damages whole ones first.   Raises: UserError."""
    if request.task == "hole":
        mask = damage.hole_mask(tuple(images.shape[1:]))
        return Problem(images, images * mask, mask)
    if request.task == "denoise" and request.damage:
        rng = torch.Generator().manual_seed(request.seed)
        noise = torch.randn(images.shape, generator=rng)
        return Problem(images, (images + request.sigma * noise).clamp(-1, 1), None)
    if request.task == "colourise":
        if images.shape[1] != 3:
            raise UserError(
                "task=colourise repairs colours, and this run makes grey pictures. Use a run on "
                "coloured data, or task=hole or task=denoise."
            )
        return Problem(images, damage.as_grey(images), None)
    return Problem(images, images, None)


def coded(space: Space, problem: Problem, request: Projection) -> Codes:
    """A code for each picture: of the encoder, where there is one and nothing is missing, or found
    by optimisation."""
    module = space.module
    if isinstance(module, WithPrior) and request.task in ("none", "denoise"):
        with torch.no_grad(), evaluating(module.to_sample_with()) as coder:
            said = coder.encoder(like_weights(problem.seen, coder))
            return Codes(module.code_of(said).float().cpu(), None)
    return optimised(space, problem, request)


def optimised(space: Space, problem: Problem, request: Projection) -> Codes:
    """The best of `restarts` codes for each picture, each from one of the nearest samples.

    Adam with a rate that falls to nothing by half a cosine; z of uniform noise stays in [-1, 1].
    """
    kind = space.opened.label_number(request.label)
    start = space.first(request.seed, TRIED, kind)
    score = loss_of(space, problem, request.task)
    chosen = _nearest(space, start, score, len(problem.seen), request.restarts)
    z = start.z[chosen].clone().requires_grad_(True)
    labels, noise = (None if x is None else x[chosen] for x in (start.labels, start.noise))
    tried = Codes(z, labels, noise)
    optimizer = torch.optim.Adam([z], lr=RATE)
    uniform = getattr(space.module, "latent_distribution", "") == "uniform"
    for step in range(request.steps):
        optimizer.param_groups[0]["lr"] = RATE * (1 + math.cos(math.pi * step / request.steps)) / 2
        loss = score(space.images(tried), request.restarts, tried)
        optimizer.zero_grad()
        loss.sum().backward(inputs=[z])
        optimizer.step()
        if uniform:
            z.data.clamp_(-1, 1)
    with torch.no_grad():
        final = score(space.images(tried), request.restarts, tried).view(-1, request.restarts)
    best = final.argmin(1).cpu() + request.restarts * torch.arange(len(final))
    kept = (None if x is None else x[best] for x in (labels, noise))
    return Codes(z.detach()[best].cpu(), *kept)


def _nearest(space: Space, start: Codes, score: Callable[..., Tensor], n: int, each: int) -> Tensor:
    """(n * each,): for each picture the numbers of the samples with the least loss."""
    made = space.pictures(start).to(space.module.device)
    with torch.no_grad():
        losses = torch.stack([score(made, 0, start, only=k) for k in range(n)])
    return losses.topk(min(each, len(start)), largest=False).indices.flatten().cpu()


def loss_of(space: Space, problem: Problem, task: str) -> Callable[..., Tensor]:
    """The loss of each sample against the picture it is to become: (M,) of (M, C, H, W).

    Called with the samples, how many in a row belong to one picture, their codes, and `only`, the
    one picture that all belong to.
    hole: the contextual loss and PRIOR times what the discriminator has against the sample
    (Yeh et al. 2017, Eqs. 4 to 6).   colourise: on the luminance.   else: pixels and features.
    """
    device = space.module.device
    seen = problem.seen.to(device)
    weights = None if problem.mask is None else damage.importance(problem.mask).to(device)

    def score(made: Tensor, each: int, codes: Codes, only: int | None = None) -> Tensor:
        wanted = seen[only : only + 1] if only is not None else seen.repeat_interleave(each, 0)
        if weights is not None:
            loss = damage.contextual_loss(made, wanted, weights)
        else:
            shown = damage.as_grey(made) if task == "colourise" else made
            loss = (shown - wanted).square().flatten(1).mean(1)
        if only is not None:
            return loss
        if task == "none":
            return loss + FEATURES * feature_distance(space, made, wanted)
        return loss + PRIOR * disbelief(space, made, codes.labels)

    return score


def disbelief(space: Space, made: Tensor, labels: Tensor | None) -> Tensor:
    """(N,): softplus(-logit), what the discriminator has against samples; 0 where it gives no logit
    of single samples.

    It is -log D(G(z)), which has Yeh's log(1 - D(G(z))) as its saturating form.
    """
    module = space.module
    if not isinstance(module, GAN) or module.judged_together > 1 or module.loss.kind != "logit":
        return made.new_zeros(len(made))
    with evaluating(module.discriminator):
        own = None if labels is None else labels.to(made.device)
        said = module.judge(module.as_judged(made), own, module.clock)
        return torch.nn.functional.softplus(-said)


def feature_distance(space: Space, made: Tensor, wanted: Tensor) -> Tensor:
    """(N,): squared distance of the discriminator's features, relative to those of the picture; 0
    where it has none of single samples without their classes."""
    module = space.module
    network = getattr(module, "discriminator", None)
    lacks = not hasattr(network, "features") or module.judged_together > 1 or module.conditional
    if lacks or not isinstance(module, GAN):
        return made.new_zeros(len(made))
    with evaluating(module.discriminator):
        seen = (module.as_judged(x) for x in (made, wanted))
        a, b = (module.features(x, module.clock).flatten(1) for x in seen)
    return (a - b.detach()).square().mean(1) / b.detach().square().mean(1).clamp(min=1e-6)


def restored(problem: Problem, made: Tensor, task: str) -> Tensor:
    """The repaired pictures: with a hole, what is seen stays and the rest is blended in."""
    if problem.mask is not None:
        pairs = zip(problem.seen, made, strict=True)
        return torch.stack([damage.blended(seen, one, problem.mask) for seen, one in pairs])
    if task == "colourise":
        # the colours of the sample with the luminance that is known
        return (made + problem.seen - damage.as_grey(made)).clamp(-1, 1)
    return made


def told(problem: Problem, made: Tensor, repaired: Tensor, request: Projection) -> str:
    """The errors, squared on the scale of black -1 and white 1, beside those of doing nothing."""
    whole, missing = problem.whole, None
    if problem.mask is not None:
        missing = problem.mask.expand_as(whole) < 0.5
    if request.task != "none" and not request.damage:
        shown = damage.as_grey(made) if request.task == "colourise" else made
        seen = None if missing is None else ~missing
        return f"squared error of what is seen {_error(shown, problem.seen, seen):.4f}"
    error = _error(repaired, whole, missing)
    if request.task == "none":
        constant = _error(whole.mean((2, 3), keepdim=True).expand_as(whole), whole, None)
        return f"squared error {error:.4f}; of each picture's mean colour {constant:.4f}"
    seen = problem.seen.expand_as(whole)
    return f"squared error {error:.4f}; of the damaged pictures {_error(seen, whole, missing):.4f}"


def _error(made: Tensor, whole: Tensor, among: Tensor | None) -> float:
    """The mean squared error.   among: the pixels that count; None: all."""
    squares = (made - whole).square()
    return float(squares.mean() if among is None else squares[among].mean())


def _write(
    opened: Opened,
    request: Projection,
    path: Path,
    problem: Problem,
    made: Tensor,
    repaired: Tensor,
    codes: Codes,
) -> None:
    """The pictures side by side, and the codes with their space, labels and noise maps."""
    columns = [problem.whole, *([] if request.task == "none" else [problem.seen, repaired]), made]
    shown = [one.expand_as(problem.whole) for one in columns]
    picture = grid(torch.stack(shown, 1).flatten(0, 1), len(shown)).enlarged()
    marker, force = opened.marker(), request.use.force
    prompt = prompt_of({"projection": request.task, "seed": request.seed, "label": request.label})
    content = marked(marker, picture, prompt, source_type=COMPOSITE)
    outputs.write_file(path, content, force)
    array = codes.z.numpy().astype(np.float32)
    place = opened.archive(path.with_suffix(".npz"), prompt)
    with outputs.npz_at(place, "codes", array.shape, "f4") as archive:
        archive.add(array)
        archive.others["space"] = np.array(request.space)
        if codes.labels is not None:
            archive.others["labels"] = codes.labels.numpy()
        if codes.noise is not None:
            archive.others["noise"] = codes.noise.numpy().astype(np.float32)
