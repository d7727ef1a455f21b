"""Trials per second of the sweep engine with each storage, by 4 and by 64 workers.

A worker here is a process without torch. For each trial it claims the trial, suggests three
parameters, reports five values, writes a run record and settles. The trial itself takes no time, so
only the engine is timed. The cost of a trial is the wall time divided by the number of trials. With
--pace each trial also sleeps for that many seconds; the engine's seconds exclude the sleep.
--turns counts CPU time instead, which other work on the machine changes less.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import math
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.synchronize import Barrier
from pathlib import Path
from threading import BrokenBarrierError
from typing import Any

from gansweep.engine.study import SweepStudy
from gansweep.records.record import RunRecord
from gansweep.search.settings import Settings
from gansweep.search.space import Space

SPACE: dict[str, Any] = {
    "model": "choice(gan, wgan)",
    "lr": "tag(log, interval(1e-5, 1e-2))",
    "beta1": "interval(0, 0.9)",
}
REPORTS = 5
PROTOCOL = {"score": "fid", "direction": "minimize", "n_fake": 10, "noise_seed": 0}


def settings(n_trials: int, storage: str, sampler: str) -> Settings:
    return Settings(
        name="engine",
        n_trials=n_trials,
        budget_kimg=float(REPORTS),
        base_seed=0,
        space=SPACE,
        overrides=[],
        objective={"metric": "fid", "direction": "minimize", "at": "last"},
        sampler={"name": sampler, "seed": 0, "startup_trials": 10},
        pruner={
            "name": "none",
            "warmup_fraction": 0.2,
            "startup_trials": 5,
            "reduction_factor": 3,
        },
        confirm={"top": 0, "per": "config", "seeds": 1},
        max_retries=2,
        runs_dir="runs",
        storage=storage,
    )


def work(directory: Path, pace: float, barrier: Barrier, answers: Any) -> None:
    """One worker. It puts the result of `run_trials`, or an error message, into `answers`."""
    try:
        study = SweepStudy(directory)
        run_trials(study, 0.0, most=1)  # the first trial includes the imports
        gc.freeze()  # as the real workers do
        barrier.wait()
        answers.put(run_trials(study, pace))
    except BaseException as error:
        barrier.abort()
        answers.put(repr(error))
        raise


def run_trials(study: SweepStudy, pace: float, most: float = math.inf) -> tuple[list[float], float]:
    """Returns: seconds of each trial without its sleep, and CPU seconds of all trials."""
    spent: list[float] = []
    used = time.process_time()
    began = time.perf_counter()
    for has_ended in trials(study, f"w{os.getpid()}", pace):
        if has_ended:
            spent.append(time.perf_counter() - began - pace)
            began = time.perf_counter()
        if len(spent) >= most:
            break
    return spent, time.process_time() - used


def trials(study: SweepStudy, worker: str, pace: float) -> Iterator[bool]:
    """Run trials until none is left. Yields False before the end of each, True after it."""
    while (attempt := study.claim(worker)) is not None:
        study.suggest(attempt)
        record = RunRecord.create(study.run_dir(attempt.runs[0].name), "fake: true\n")
        for step in range(1, REPORTS + 1):
            time.sleep(pace / REPORTS)
            study.report(attempt, float(step), attempt.params["lr"] / step)
        yield False
        last = {"fid_fake": {"value": attempt.params["lr"], "kimg": float(REPORTS)}}
        record.write_result(
            {"status": "finished", "last": last, "protocols": {"fid_fake": PROTOCOL}}
        )
        study.finish(attempt, "itself")
        yield True


def measure(
    folder: Path, storage: str, workers: int, n_trials: int, pace: float, sampler: str
) -> tuple[float, float, float]:
    """Returns: trials/s of all workers, median engine seconds per trial, CPU seconds per trial."""
    directory = folder / f"{workers}-{time.monotonic_ns()}"
    # the first trial of each worker is not timed
    chosen = settings(n_trials + workers, storage, sampler)
    SweepStudy.create(directory, chosen, Space.parse(chosen.space))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gansweep.engine.study", "grpc", "sqlalchemy.orm", "psycopg"])
    barrier, answers = context.Barrier(workers + 1), context.Queue()
    processes = [
        context.Process(target=work, args=(directory, pace, barrier, answers))
        for _ in range(workers)
    ]
    for process in processes:
        process.start()
    with contextlib.suppress(BrokenBarrierError):  # the error message is in the answers
        barrier.wait()
    began = time.perf_counter()
    received = [answers.get() for _ in processes]
    taken = time.perf_counter() - began
    errors = [answer for answer in received if isinstance(answer, str)]
    if errors:
        raise RuntimeError(f"{storage}, {workers} workers: {errors[0]}")
    spent = [seconds for each, _ in received for seconds in each]
    cpu = sum(used for _, used in received) / n_trials
    for process in processes:
        process.join()
    assert len(spent) == n_trials, f"{len(spent)} trials were run, not {n_trials}"
    return n_trials / taken, statistics.median(spent), cpu


def measure_turns(
    folder: Path, storage: str, workers: int, n_trials: int, sampler: str
) -> tuple[float, float]:
    """Returns: CPU seconds per trial of all workers, and of the server.

    The workers are of this process and work in turns: all of them begin a trial, then all end it.
    """
    directory = folder / f"turns-{workers}-{time.monotonic_ns()}"
    chosen = settings(n_trials + workers, storage, sampler)
    SweepStudy.create(directory, chosen, Space.parse(chosen.space))
    at_work = [trials(SweepStudy(directory), f"w{i}", 0.0) for i in range(workers)]
    for _ in range(2):  # the first trial of each worker is not timed
        list(map(next, at_work))
    gc.freeze()
    used, served = time.process_time(), server_seconds()
    while at_work:
        at_work = [worker for worker in at_work if next(worker, None) is not None]
    used, served = time.process_time() - used, server_seconds() - served
    gc.unfreeze()
    gc.collect()  # the workers' connections are closed
    return used / n_trials, served / n_trials


def server_seconds() -> float:
    """CPU seconds of this process's children and theirs, those that have ended included."""
    ticks = {os.getpid(): 0}
    for path in sorted(Path("/proc").glob("[0-9]*"), key=lambda p: int(p.name)):
        with contextlib.suppress(OSError):
            words = (path / "stat").read_text().rpartition(")")[2].split()
            if int(words[1]) in ticks:  # a parent has the lower number
                ticks[int(path.name)] = sum(map(int, words[11:15]))
    return sum(ticks.values()) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def proxy(folder: Path) -> Iterator[str]:
    """A proxy over a journal file, as a user would start it."""
    command = [sys.executable, "-m", "gansweep.engine.storage.serve", str(folder / "proxy.journal")]
    server = subprocess.Popen([*command, "--port", "13013"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        server.stdout.readline()
        yield "grpc://localhost:13013"
    finally:
        server.terminate()
        server.wait()


@contextlib.contextmanager
def database() -> Iterator[str | None]:
    """The URL of a temporary PostgreSQL database; None if PostgreSQL is not installed."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
    from postgres import NoPostgresError, Postgres

    try:
        server = Postgres(durable=True)
    except NoPostgresError as lacking:
        print(f"postgresql: left out, {lacking}")
        yield None
        return
    try:
        yield server.database("engine")
    finally:
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--storages", default="journal,sqlite,postgresql,grpc")
    parser.add_argument("--workers", default="4,64", help="numbers of workers (default 4,64)")
    parser.add_argument("--trials", type=int, default=640, help="of each sweep (default 640)")
    parser.add_argument("--rounds", type=int, default=1, help="the best round is printed")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds in a trial (default 0)")
    parser.add_argument("--sampler", default="random")
    parser.add_argument(
        "--turns",
        action="store_true",
        help="all workers in one process, by turns: CPU time of them and of the server, for a "
        "machine that does other work",
    )
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, {given.trials} trials of {given.pace} s, {given.sampler}")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for name in given.storages.split(","):
            where: str | None = name
            if name == "postgresql":
                where = stack.enter_context(database())
            elif name == "grpc":
                where = stack.enter_context(proxy(folder))
            if where:
                (print_turns if given.turns else print_speed)(name, folder, where, given)


def print_speed(name: str, folder: Path, where: str, given: argparse.Namespace) -> None:
    print(
        f"{'storage':12} {'workers':>7} {'trials/s':>9} {'ms a trial':>11} {'growth':>7} "
        f"{'engine s':>9} {'CPU ms':>7}"
    )
    first = 0.0
    for workers in map(int, given.workers.split(",")):
        found = [
            measure(folder, where, workers, given.trials, given.pace, given.sampler)
            for _ in range(given.rounds)
        ]
        speed, engine, cpu = max(found)
        first = first or speed
        print(
            f"{name:12} {workers:7} {speed:9.1f} {1000 / speed:11.1f} {first / speed:7.2f}"
            f" {engine:9.3f} {1000 * cpu:7.1f}",
            flush=True,
        )


def print_turns(name: str, folder: Path, where: str, given: argparse.Namespace) -> None:
    print(f"{'storage':12} {'workers':>7} {'CPU ms a trial':>14} {'server':>7} {'growth':>7}")
    for _ in range(given.rounds):
        first = 0.0
        for workers in map(int, given.workers.split(",")):
            cpu, served = measure_turns(folder, where, workers, given.trials, given.sampler)
            first = first or cpu + served
            print(
                f"{name:12} {workers:7} {1000 * cpu:14.1f} {1000 * served:7.1f}"
                f" {(cpu + served) / first:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
