"""How busy a sweep keeps its workers, and what the engine costs for each trial.

utilisation: the trials of a sweep sleep for times drawn log-uniformly from a 10:1 range, and eight
workers run them. The busy share is the time that trials slept, divided by the workers' time, up to
the start of the last trial (after it some workers have nothing to do). A batch-synchronous sweeper
would start the same trials eight at a time, and each batch after the slowest trial of the batch
before.

overhead: the trials end as soon as they have reported one score. They are forked from a server that
has imported the real training stack. The seconds from the end of one trial to the start of the next
on the same worker are the cost of claim, suggest, start of the child, report and tell.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gansweep.cli.sweep_run import run_sweep
from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord

PROTOCOL = {"score": "fid", "direction": "minimize", "n_fake": 1, "noise_seed": 0}


class Slept(NamedTuple):
    """One trial: who ran it, and when, in seconds since 1970."""

    worker: str
    began: float
    ended: float


def trial(
    overrides: list[str],
    *,
    config_dir: str | None,
    run_dir: Path,
    on_score: Callable[[float, dict[str, float]], bool],
    sweep: dict[str, Any],
) -> None:
    """A trial that sleeps for `params["seconds"]`, reports one score and records both times."""
    began = time.time()
    record = RunRecord.create(run_dir, "sleeps: true\n")
    seconds = float(sweep["params"]["seconds"])
    time.sleep(seconds)
    scores = {"fid_slept": seconds}
    record.append({"kimg": 1.0, **scores, "protocol": {"fid_slept": PROTOCOL}})
    on_score(1.0, scores)
    value = {"fid_slept": {"value": seconds, "kimg": 1.0}}
    record.write_result(
        {
            "status": "finished",
            "reason": "",
            "last": value,
            "best": value,
            "protocols": {"fid_slept": PROTOCOL},
            "sweep": sweep,
            "slept": [began, time.time()],
        }
    )


def sweep(folder: Path, n_trials: int, workers: int, shortest: float, preload: list[str]) -> Path:
    """Run a sweep of sleeping trials, from `shortest` seconds to ten times that; its directory."""
    (folder / "own" / "sweep").mkdir(parents=True)
    text = "space:\n  +seconds: tag(log, interval({}, {}))\nconfirm: {{top: 0, seeds: 1}}\n"
    (folder / "own" / "sweep" / "slept.yaml").write_text(text.format(shortest, 10 * shortest))
    words = ["sweep=slept", f"n_trials={n_trials}", f"workers={workers}", "name=slept"]
    words += ["trainer=cpu"]  # no worker waits for a GPU
    words += ["--config-dir", str(folder / "own"), f"runs_dir={folder / 'runs'}"]
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # the children import `trial` from here
    with contextlib.redirect_stdout(io.StringIO()):
        return run_sweep(words, target="utilisation.trial", preload=preload)


def slept(directory: Path) -> list[Slept]:
    """The trials of a sweep, in the order of their start."""
    found = []
    for frozen in SweepStudy(directory).trials.trials:
        result = RunRecord(directory / frozen.user_attrs["key"]).result() or {}
        found.append(Slept(frozen.user_attrs["worker"], *result["slept"]))
    return sorted(found, key=lambda one: one.began)


def busy_share(trials: Sequence[Slept], workers: int, since: float | None = None) -> float:
    """The share of the workers' time that trials took, until the start of the last trial.

    since: seconds since 1970; by default the time when every worker had started a trial.
    """
    if since is None:
        first = {one.worker: one.began for one in reversed(trials)}
        since = max(first.values())
    until = max(one.began for one in trials)
    busy = sum(max(0.0, min(t.ended, until) - max(t.began, since)) for t in trials)
    return busy / (workers * (until - since))


def synchronous_share(seconds: Sequence[float], workers: int) -> float:
    """The busy share of a sweeper that waits for every batch, until its last batch begins."""
    full = [seconds[i : i + workers] for i in range(0, len(seconds), workers)][:-1]
    return sum(map(sum, full)) / (workers * sum(map(max, full)))


def gaps(trials: Sequence[Slept]) -> list[float]:
    """Seconds between the end of a trial and the start of the next, worker by worker."""
    found, ended = [], dict[str, float]()
    for one in trials:
        if one.worker in ended:
            found.append(one.began - ended[one.worker])
        ended[one.worker] = one.ended
    return found


def measure_utilisation(n_trials: int, workers: int, shortest: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trials = slept(sweep(Path(folder), n_trials, workers, shortest, []))
    seconds = [one.ended - one.began for one in trials]
    print(
        f"{n_trials} trials of {min(seconds):.1f} to {max(seconds):.1f} s (log-uniform), "
        f"{workers} workers, {os.cpu_count()} cores"
    )
    print(f"  gansweep: busy {busy_share(trials, workers):.1%} until the last trial began")
    began = trials[0].began
    print(f"    {busy_share(trials, workers, began):.1%} with the start of the workers themselves")
    print(f"  batches:  busy {synchronous_share(seconds, workers):.1%} on the same draw")


def measure_overhead(n_trials: int, workers: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        trials = slept(sweep(Path(folder), n_trials, workers, 1e-3, ["gansweep.engine.warm_up"]))
    found = gaps(trials)
    print(
        f"{workers} worker{'s' if workers > 1 else ''}: {statistics.median(found):.2f} s for each "
        f"trial after the first ({min(found):.2f} to {max(found):.2f}, {len(found)} gaps)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["utilisation", "overhead"])
    parser.add_argument("--trials", type=int, help="default 100 that sleep, 20 that do not")
    parser.add_argument("--workers", type=int, help="default 8; for overhead 1, then 2")
    parser.add_argument("--shortest", type=float, default=1.0, help="seconds of sleep (default 1)")
    given = parser.parse_args()
    if given.what == "utilisation":
        measure_utilisation(given.trials or 100, given.workers or 8, given.shortest)
    else:
        for workers in [given.workers] if given.workers else [1, 2]:
            measure_overhead(given.trials or 20, workers)


if __name__ == "__main__":
    main()
