"""`gansweep evaluate`: score trained runs again, under a chosen protocol."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gansweep.cli.arguments import USE, Parser, paths_and_options, paths_of
from gansweep.cli.candidates import Directories, Options
from gansweep.config import permissions
from gansweep.errors import UserError
from gansweep.run.quick_imports import quick_imports

if TYPE_CHECKING:
    from omegaconf import DictConfig

HELP = """Usage: gansweep evaluate PATH [PATH ...] [metrics=CHOICE] [KEY=VALUE ...]

Score the trained runs at or below each PATH, under the protocol you choose.
The scores are added to each run's record (evaluations.jsonl), and 'gansweep
report' shows them in columns of their own.

  gansweep evaluate runs/digits/dcgan-001                every score that fits
  gansweep evaluate runs/demo-digits metrics.split=test  against the test images
  gansweep evaluate runs/cifar10 metrics=inception_50k   as papers report them
  gansweep evaluate runs metrics.scores=[fid,kid] metrics.n_fake=5000

  metrics=CHOICE         a file of conf/metrics/ (default: full)
  metrics.KEY=VALUE      an option in it: n_fake, n_real, split, scores,
                         backbone, noise_seed, ...
  checkpoint=best|last   which weights (default: best, by the run's objective)
  accelerator=auto       auto, cpu or cuda
  extra_packages=[NAME]  packages of yours whose classes the runs may use
"""


def parser() -> Parser:
    made = Parser("evaluate", HELP)
    made.add_words(Options(USE, groups={"metrics": "full"}, paths=Directories()))
    return made


def main(words: list[str]) -> int:
    """Run the verb; 1 where some run could not be scored. A UserError is left to the caller."""
    _, words = parser().read(words)
    paths, given = paths_and_options(
        "evaluate",
        words,
        {**USE, "metrics": (), "metrics.": ()},
        ", which keeps a run's model and data",
    )
    paths = paths_of("evaluate", paths)
    from gansweep.records.find import find_records

    records = find_records(paths)
    options = {key: value for key, value in given if key in ("checkpoint", "accelerator")}
    chosen = [f"{key}={value}" for key, value in given if key.lstrip("+~").startswith("metrics")]
    metrics = _metrics(chosen)
    for key, value in given:
        if key == permissions.OPTION:
            permissions.allow_packages(permissions.packages_in(value))
    with quick_imports():
        from gansweep.run.evaluate import Evaluation, evaluate

    failed = evaluate(Evaluation(metrics, **options), records)
    print(f"next: {shlex.join(['gansweep', 'report', *map(str, paths)])}")
    return 1 if failed else 0


def _metrics(overrides: Sequence[str]) -> DictConfig:
    """The chosen protocol. Raises: UserError for a mistaken option, and for metrics=none."""
    from gansweep.config.compose import compose

    chosen = any(word.split("=")[0] == "metrics" for word in overrides)
    metrics: DictConfig = compose([*([] if chosen else ["metrics=full"]), *overrides]).metrics
    if metrics.get("_target_") is None:
        raise UserError("metrics=none measures nothing: choose metrics=full or another.")
    return metrics
