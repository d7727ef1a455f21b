"""`launcher.slots_per_gpu=auto`: how many trials share a GPU, by its memory and by short trials."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gansweep.engine.failures import end_of
from gansweep.engine.lease.gpus import GpuShare, take_gpus
from gansweep.errors import UserError
from gansweep.search.settings import Settings

MOST = 16
GAIN = 1.1  # of images a second, for twice as many trials to be worth it
MEMORY_SHARE = 0.9  # of the GPU's free memory; the rest is for trials larger than the tried one
CONTEXT_MIB = 700  # of CUDA in every process, beside its tensors
SECONDS = 8
# what a short trial has not: its words take the place of the sweep's own
SHORT = {
    **{"callbacks": "none", "metrics": "none", "tracker": "none", "group": "tried"},
    **{"budget_kimg": "1000000", "+trainer.max_time": f"00:00:00:{SECONDS:02}"},
}
INSTEAD = "Give a number, as launcher.slots_per_gpu=1."


@dataclass(frozen=True)
class Tried:
    """Short trials that ran at the same time on one GPU."""

    trials: int
    images_per_second: float  # of all together
    mib: float  # of the GPU's memory, each

    def __str__(self) -> str:
        together = f"{self.trials} together" if self.trials > 1 else "alone"
        return f"{together} {self.images_per_second:,.0f} images/s"


def best(try_out: Callable[[int], Tried | None], free_mib: float) -> list[Tried]:
    """Twice as many trials as before, while they fit and gain; the last one is the best.

    try_out: runs so many at once; None if they failed.   free_mib: the GPU's free memory.
    """
    found: list[Tried] = []
    trials = 1
    while trials <= MOST:
        if found and trials * found[-1].mib > MEMORY_SHARE * free_mib:
            break
        tried = try_out(trials)
        if tried is None:
            break
        if found and tried.images_per_second < GAIN * found[-1].images_per_second:
            break
        found.append(tried)
        trials *= 2
    return found


def fill_in(settings: Settings) -> list[str]:
    """Put the number in the place of "auto"; what was found, in words.

    A sweep that is continued keeps its number.   Raises: UserError where nothing can be tried.
    """
    directory = Path(settings.runs_dir) / settings.name
    share = GpuShare.of(settings.launcher)
    gpus = share.usable_gpus() if settings.uses_gpus else []
    if (directory / "sweep.yaml").exists():
        slots = Settings.load(directory).launcher.get("slots_per_gpu", 1)
        settings.launcher["slots_per_gpu"] = slots
        return [f"slots_per_gpu=auto: {slots}, as when the sweep began"]
    settings.launcher["slots_per_gpu"] = 1
    if not gpus or share.per_trial > 1:
        return []
    held = take_gpus(gpus, GpuShare(), directory)
    if held is None:
        raise UserError(
            f"launcher.slots_per_gpu=auto tries trials on a GPU, and none is free. {INSTEAD}"
        )
    try:
        if share.mps:
            held.join_mps()
        environment = {**os.environ, **held.variables}
        found = best(
            lambda trials: _together(settings, trials, environment), _free_mib(held.names[0])
        )
    finally:
        held.release()
    if not found:
        raise UserError(f"launcher.slots_per_gpu=auto: a short trial failed. {INSTEAD}")
    settings.launcher["slots_per_gpu"] = found[-1].trials
    return [f"slots_per_gpu=auto: {found[-1].trials}: {', '.join(map(str, found))}"]


def _together(settings: Settings, trials: int, environment: dict[str, str]) -> Tried | None:
    """Run so many short trials of the sweep's own configuration at once."""
    own = [w for w in settings.overrides if w.partition("=")[0].lstrip("+~") not in _replaced()]
    folder = [] if settings.config_dir is None else ["--config-dir", str(settings.config_dir)]
    with tempfile.TemporaryDirectory() as place:
        words = [*own, *(f"{key}={value}" for key, value in SHORT.items()), f"runs_dir={place}"]
        command = [sys.executable, "-m", "gansweep", "train", *folder, *words]
        logs = [Path(place) / f"{number}.log" for number in range(trials)]
        running = []
        for number, log in enumerate(logs):
            with open(log, "wb") as file:
                running.append(
                    subprocess.Popen(
                        [*command, f"name=t{number}"],
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=file,
                        stderr=file,
                    )
                )
        try:
            codes = [process.wait() for process in running]
        finally:  # a signal ends this command, and the trials with it
            for process in running:
                process.kill()
        if any(codes):
            if trials == 1:
                said = "".join(end_of(logs[0], 3)).strip()
                raise UserError(
                    f"launcher.slots_per_gpu=auto: a short trial failed ({said}). {INSTEAD}"
                )
            return None
        results = [
            json.loads((Path(place) / "tried" / f"t{number}" / "result.json").read_text())
            for number in range(trials)
        ]
    return Tried(
        trials,
        sum(float(result["images_per_second"]) for result in results),
        CONTEXT_MIB + max(float(result["peak_memory_mib"]) for result in results),
    )


def _replaced() -> Sequence[str]:
    return [*(key.lstrip("+") for key in SHORT), "runs_dir", "name"]


def _free_mib(gpu: str) -> float:
    """Free memory of a GPU, by nvidia-smi.   Raises: UserError if it does not say."""
    command = ["nvidia-smi", "-i", gpu, "--query-gpu=memory.free"]
    command += ["--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return float(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        raise UserError(
            f"launcher.slots_per_gpu=auto needs the free memory of {gpu}, and nvidia-smi does not "
            f"say it. {INSTEAD}"
        ) from None
