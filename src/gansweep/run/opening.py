"""What a run prints when it starts."""

import os
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from gansweep.config.permissions import is_package_option
from gansweep.records.notation import listing, number
from gansweep.records.record import ENDED_WELL, RunRecord
from gansweep.run.early import GPUS

PERIODIC = {  # callback -> what it makes, and whether it needs a choice of scores
    "quality": ("scores", True),
    "samples": ("samples", False),
    "neighbours": ("nearest neighbours", True),
}
WIDTH = 80
OVERFIT = (
    "it learns from one batch only. memorised/distance (in the bar: to batch) must fall to half of "
    "its first value or less, and the samples must come to resemble that batch, while the "
    "discriminator wins. If not, look at the networks, the losses and the learning rates."
)


def nothing_left(record: RunRecord, budget_kimg: float) -> bool:
    """Whether a run has ended well and has seen all images of its budget."""
    result = record.result() or {}
    return result.get("status") in ENDED_WELL and (result.get("kimg") or 0.0) >= budget_kimg


def headline(cfg: DictConfig, place: Path) -> str:
    """ "dcgan on digits, 100 kimg, on the CPU (2 cores), into runs/digits".

    place: the run's directory, or the group's for a run without a name.
    """
    device = device_words(cfg.trainer.accelerator)
    budget = f"{number(cfg.budget_kimg)} kimg"
    return f"{cfg.choices.model} on {cfg.choices.data}, {budget}, on {device}, into {place}"


def device_words(accelerator: str) -> str:
    """The device of trainer.accelerator, as the driver and the operating system name it."""
    found = [_model(file) for file in sorted(GPUS.glob("*/information"))]
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if accelerator == "cpu" or (accelerator == "auto" and (hidden or not found)):
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        return f"the CPU ({cores} cores)"
    return found[0] if found else "a GPU"


def _model(file: Path) -> str:
    lines = file.read_text().splitlines()
    return next((x.partition(":")[2].strip() for x in lines if x.startswith("Model:")), "a GPU")


def opening(
    cfg: DictConfig,
    overrides: Sequence[str] | None,
    parameters: Mapping[str, int],
    kimg: float,
    scheduled: Mapping[str, tuple[float, float]],
    init: str = "",
) -> str:
    """The settings that were changed, the sizes of the networks, and the next moments.

    overrides: as typed; None if they are not known.   parameters: of each player.
    kimg: seen so far.
    scheduled: each setting that follows a schedule, now and at the end of the budget.
    init: which weights of another run it starts with.
    """
    changed = [w for w in overrides or () if not is_package_option(w) and "searchpath" not in w]
    sizes = ", ".join(f"{name} {count:,}" for name, count in parameters.items())
    lines = {
        "to see": OVERFIT if cfg.get("one_batch") else "",
        "changed": " ".join(changed) or ("" if overrides is None else "nothing: all defaults"),
        "parameters": sizes,
        "starts with": init,
        "scheduled": ", ".join(
            f"{name} {now:.4g} to {end:.4g}" for name, (now, end) in scheduled.items()
        ),
        "next": _next_moments(cfg, kimg),
    }
    return "\n".join(
        textwrap.fill(
            f"  {name:<12}{text}",
            WIDTH,
            subsequent_indent=" " * 14,
            break_long_words=False,
            break_on_hyphens=False,  # a path stays whole
        )
        for name, text in lines.items()
        if text
    )


def _next_moments(cfg: DictConfig, kimg: float) -> str:
    """ "scores and samples at 10 kimg, a checkpoint every 30 s"."""
    at: dict[float, list[str]] = {}
    for name, (words, needs_scores) in PERIODIC.items():
        every = (cfg.callbacks.get(name) or {}).get("every_kimg")
        if every and (cfg.metrics.get("_target_") or not needs_scores):
            moment = min((kimg // every + 1) * every, cfg.budget_kimg)
            at.setdefault(moment, []).append(words)
    parts = [f"{listing(at[moment], 'and')} at {number(moment)} kimg" for moment in sorted(at)]
    seconds = (cfg.callbacks.get("checkpoint") or {}).get("every_seconds")
    return ", ".join([*parts, *([f"a checkpoint every {seconds:g} s"] if seconds else [])])
