"""What edits of trained runs are worth, on held-out images: figures for the guide.

arithmetic: the share of results of "bold 7 - 7 + 3" that are a bold 3, against plain samples.
project, hole, denoise, colourise: the squared error on test images, pixels in [-1, 1], against that
of a constant (each picture's mean) or of the damaged picture; with --against, a trained translator
or autoencoder on the same damaged images.
detect: the shares of normal and of other test images above the threshold.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from gansweep.data.batch import joined
from gansweep.inference.editing.arithmetic import Work
from gansweep.inference.editing.codes import Space
from gansweep.inference.editing.edits import Arithmetic, Projection
from gansweep.inference.editing.expressions import read_expression
from gansweep.inference.editing.project import coded, problem_of, restored
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.pictures.judge import PREFIX, criterion_of, threshold_of
from gansweep.inference.pictures.translate import results
from gansweep.inference.request import Use

EXPRESSION = "bold 7 - 7 + 3"
FALSE_ALARMS = 0.05


def arithmetic(opened: Opened, options: argparse.Namespace) -> dict[str, float]:
    request = Arithmetic(opened.use, options.expression, tries=options.tries, pool=5000)
    work = Work(opened, request, read_expression(options.expression))
    return work.shares()


def repaired(opened: Opened, options: argparse.Namespace) -> dict[str, float]:
    """Also "damage": of doing nothing; "against": of the other run."""
    images = joined(list(opened.data.batches("test"))).images[: options.images]
    task = "none" if options.what == "project" else options.what
    request = Projection(opened.use, (), task=task, damage=True, steps=options.steps)
    problem = problem_of(images, request)
    space = Space(opened)
    made = restored(problem, space.pictures(coded(space, problem, request)), task)
    missing = None if problem.mask is None else problem.mask.expand_as(images) < 0.5
    constant = images.mean((2, 3), keepdim=True)
    nothing = constant if task == "none" else problem.seen
    found = {"error": error(made, images, missing)}
    found["nothing" if task != "none" else "constant"] = error(nothing, images, missing)
    if options.against:
        other = open_run(Use(options.against, accelerator="cpu"))
        source = problem.seen if missing is None else torch.where(missing, 128 / 127.5 - 1, images)
        found["against"] = error(results(other, "ab", source), images, missing)
    return found


def error(made: Tensor, images: Tensor, missing: Tensor | None) -> float:
    squares = (made.expand_as(images) - images).square()
    return float(squares.mean() if missing is None else squares[missing].mean())


def detect(opened: Opened, options: argparse.Namespace) -> dict[str, float]:
    data, module = opened.data, opened.module
    criterion = criterion_of(opened, options.criterion)
    threshold, _ = threshold_of(opened, criterion, FALSE_ALARMS)
    scores, labels = [], []
    for batch in data.batches("test"):
        scores.append(module.answers(batch)[PREFIX + criterion])
        assert batch.labels is not None
        labels.append(batch.labels)
    above, normal = torch.cat(scores) > threshold, torch.cat(labels) == data.normal_class
    return {"false alarms": float(above[normal].float().mean()),
            "found": float(above[~normal].float().mean())}  # fmt: skip


WHAT: dict[str, Callable[[Opened, argparse.Namespace], dict[str, float]]] = {
    "arithmetic": arithmetic,
    "detect": detect,
    **dict.fromkeys(("project", "hole", "denoise", "colourise"), repaired),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=WHAT)
    parser.add_argument("runs", type=Path, nargs="+", help="of several seeds")
    parser.add_argument("--against", type=Path, help="a trained translator or autoencoder")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--expression", default=EXPRESSION)
    parser.add_argument("--criterion", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for run in options.runs:
        found.append(WHAT[options.what](open_run(Use(run, accelerator="cpu")), options))
        print(run.name, ", ".join(f"{k} {v:.4f}" for k, v in found[-1].items()), flush=True)
    for key in found[0]:
        values = [one[key] for one in found]
        spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"{key}: {statistics.mean(values):.4f}{spread} over {len(values)} runs")


if __name__ == "__main__":
    main()
