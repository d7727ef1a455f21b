"""What edits of trained runs are worth on MNIST at 28x28, over the seeds: the guide's table.

The folder holds the runs that the rows name, EXPERIMENT-SEED, such as mnist_dcgan-0 to -2, made by
"gansweep train experiment=mnist_dcgan seed=0 name=mnist_dcgan-0". Rows without runs are left out.

arithmetic: the share of results that show what is left of the signs, against plain samples.
project, hole, denoise, colourise: the squared error on test images, pixels in [-1, 1], against that
of a constant (each picture's mean) or of the damaged picture; and of a trained network of the same
seed, on the same damaged images.
detect: the shares of normal and of other test images above the threshold.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from gansweep.data.batch import joined
from gansweep.inference.editing.arithmetic import TINT, Work
from gansweep.inference.editing.codes import Space
from gansweep.inference.editing.edits import Arithmetic, Projection
from gansweep.inference.editing.expressions import read_expression
from gansweep.inference.editing.project import coded, problem_of, restored
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.pictures.judge import PREFIX, criterion_of, threshold_of
from gansweep.inference.pictures.translate import results
from gansweep.inference.request import Use

FALSE_ALARMS = 0.05
Figures = dict[str, float]
Measure = Callable[[Opened, "Opened | None", argparse.Namespace], Figures]


def arithmetic(
    opened: Opened, other: Opened | None, options: argparse.Namespace, *, expression: str
) -> Figures:
    request = Arithmetic(opened.use, expression, tries=options.tries, pool=5000)
    return Work(opened, request, read_expression(expression)).shares()


def repaired(
    opened: Opened, other: Opened | None, options: argparse.Namespace, *, task: str
) -> Figures:
    """ "trained": of the other run, a network that was trained for this task."""
    images = joined(list(opened.data.batches("test"))).images
    if task == "colourise":  # of plain ones nothing is lost
        images = images[(images.amax(1) - images.amin(1)).flatten(1).mean(1) >= TINT]
    images = images[: options.images]
    request = Projection(opened.use, (), task=task, damage=True, steps=options.steps)
    problem = problem_of(images, request)
    space = Space(opened)
    made = restored(problem, space.pictures(coded(space, problem, request)), task)
    missing = None if problem.mask is None else problem.mask.expand_as(images) < 0.5
    constant = images.mean((2, 3), keepdim=True)
    nothing = constant if task == "none" else problem.seen
    found = {"error": error(made, images, missing)}
    found["constant" if task == "none" else "nothing"] = error(nothing, images, missing)
    if other is not None:
        source = problem.seen if missing is None else torch.where(missing, 128 / 127.5 - 1, images)
        found["trained"] = error(results(other, "ab", source), images, missing)
    return found


def error(made: Tensor, images: Tensor, missing: Tensor | None) -> float:
    squares = (made.expand_as(images) - images).square()
    return float(squares.mean() if missing is None else squares[missing].mean())


def detect(opened: Opened, other: Opened | None, options: argparse.Namespace) -> Figures:
    data, module = opened.data, opened.module
    criterion = criterion_of(opened, "")
    threshold, _ = threshold_of(opened, criterion, FALSE_ALARMS)
    scores, labels = [], []
    for batch in data.batches("test"):
        scores.append(module.answers(batch)[PREFIX + criterion])
        assert batch.labels is not None
        labels.append(batch.labels)
    above, normal = torch.cat(scores) > threshold, torch.cat(labels) == data.normal_class
    return {"found": float(above[~normal].float().mean()),
            "false alarms": float(above[normal].float().mean())}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """What is measured, on the runs of which experiment, beside those of which other one."""

    name: str
    measure: Measure
    runs: str
    against: str = ""

    def pairs(self, folder: Path) -> Iterator[tuple[Path, Path | None]]:
        """The runs of every seed, each with the other run of its seed, where there is one."""
        for run in sorted(folder.glob(f"{self.runs}-[0-9]*")):
            other = folder / f"{self.against}-{run.name.rpartition('-')[2]}"
            yield run, other if self.against and other.exists() else None


EXPRESSIONS = {
    "bold 7 - 7 + 3": "mnist_dcgan",
    "7 tinted - 7 + 3": "mnist_tinted_dcgan",
    "tinted 7 - plain 7 + plain 3": "mnist_tinted_dcgan",
}
ROWS = [
    *(
        Row(f'arithmetic "{text}"', partial(arithmetic, expression=text), runs)
        for text, runs in EXPRESSIONS.items()
    ),
    Row("project", partial(repaired, task="none"), "mnist_dcgan"),
    Row("hole", partial(repaired, task="hole"), "mnist_dcgan", "mnist_context_encoder"),
    Row("denoise", partial(repaired, task="denoise"), "mnist_dcgan", "mnist_denoising"),
    Row(
        "colourise",
        partial(repaired, task="colourise"),
        *("mnist_tinted_dcgan", "mnist_tinted_colourisation"),
    ),
    Row("detect 0", detect, "mnist_anomaly_0"),
    Row("detect 3", detect, "mnist_anomaly_3"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of the runs")
    parser.add_argument("--only", default="", help="rows whose name begins so")
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--tries", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in ROWS:
        if not row.name.startswith(options.only):
            continue
        found = []
        for run, against in row.pairs(options.folder):
            other = None if against is None else opened_at(against)
            found.append(row.measure(opened_at(run), other, options))
            print(f"  {run.name}:", ", ".join(f"{k} {v:.4f}" for k, v in found[-1].items()))
        print(f"{row.name}: {summary(found) if found else f'no runs {row.runs}-SEED'}", flush=True)


def opened_at(run: Path) -> Opened:
    return open_run(Use(run, accelerator="cpu"))


def summary(found: list[Figures]) -> str:
    """Mean and standard deviation over the seeds of what every run has."""
    said = []
    for key in found[0]:
        values = [one[key] for one in found if key in one]
        spread = f" +- {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        said.append(f"{key} {statistics.mean(values):.4f}{spread}")
    return f"{', '.join(said)} ({len(found)} seeds)"


if __name__ == "__main__":
    main()
