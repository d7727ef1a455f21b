"""What `gansweep train --multirun` adds to Hydra's: the end of every run is told, and a job that
submitit puts back into the queue goes on with the run that it had begun."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gansweep.errors import UserError
from gansweep.records.record import new_directory, replace_atomically
from gansweep.signals import note_hangup, stop_signals

FAILED = "failed"
EXIT_FAILED, EXIT_USER_ERROR = 1, 2
STOPPED = "stopped"  # the file that says that a multirun is to end
NOT_BEGUN: dict[str, Any] = {
    "status": "interrupted",
    "reason": "the multirun was stopped",
    "directory": "-",
}

_stopped: Path | None = None  # that file, in a process of joblib


class Outcomes(Callback):
    """Names the runs of a multirun that failed, and ends the process with their exit code.

    Hydra raises the first failure alone, and what jobs of a cluster print is in files. So each job
    leaves what its run came to in `folder`, which travels to it with this object.
    """

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        runs = Path(config.hydra.sweep.dir).resolve()
        with contextlib.suppress(OSError):  # Hydra is about to write there, and raises it
            runs.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=".multirun-", dir=runs))
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
            if launcher(config.hydra) == "joblib":
                _stop_gently(self.folder / STOPPED)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.folder is not None and launcher(config.hydra) == "joblib":
            global _stopped
            _stopped = self.folder / STOPPED
            for number in stop_signals():  # until training begins, the file says it
                signal.signal(number, signal.SIG_IGN)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Leave what a run came to as NUMBER.json in the folder; exit where that fails."""
        if self.folder is None or not self.folder.is_dir():  # nobody waits for it any more
            return
        words = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        outcome = {"overrides": words, **job_return.return_value}
        path = self.folder / f"{config.hydra.job.num:06d}.json"
        try:
            replace_atomically(path, json.dumps(outcome).encode())
        except OSError as error:  # Hydra would only warn, and a failed run go unnoticed
            print(f"gansweep: {path} cannot be written ({error.strerror}).", file=sys.stderr)
            raise SystemExit(EXIT_USER_ERROR) from error

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print the failed runs with what told them apart, and exit with the least of their codes.

        Raises: KeyboardInterrupt where the runs were told to stop and none failed.
        """
        assert self.folder is not None
        found = [json.loads(path.read_bytes()) for path in sorted(self.folder.glob("*.json"))]
        is_stopped = (self.folder / STOPPED).exists()
        shutil.rmtree(self.folder)
        shared = set.intersection(*(set(outcome["overrides"]) for outcome in found))
        for outcome in found:
            own = [word for word in outcome["overrides"] if word not in shared]
            outcome["called"] = " ".join(own) or "the run"
            if launcher(config.hydra) == "submitit":
                print(f"{outcome['status']:<12} {outcome['directory']}  {outcome['called']}")
        failed = [outcome for outcome in found if outcome["status"] == FAILED]
        if failed:
            print(f"gansweep: {len(failed)} of {len(found)} runs failed:", file=sys.stderr)
            for outcome in failed:
                print(f"  {outcome['called']}: {outcome['reason']}", file=sys.stderr)
            raise SystemExit(min(outcome["exit_code"] for outcome in failed))
        if is_stopped:
            raise KeyboardInterrupt


def _stop_gently(note: Path) -> None:
    """Have the first Ctrl-C (or SIGTERM) save the runs of joblib's processes, the second kill them.

    joblib kills them at the first, while they save. A terminal signals them all, `kill` us alone;
    to be told twice does no harm, since the second word is SIGTERM.
    """
    before = {number: signal.getsignal(number) for number in stop_signals()}

    def stop(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        note_hangup(number)
        note.touch()
        print("gansweep: saving the runs; once more, and they are killed.", file=sys.stderr)
        for children in Path("/proc/self/task").glob("*/children"):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGTERM)

    for number in before:
        signal.signal(number, stop)


def is_stopped() -> bool:
    """Whether the multirun that this process works for is to end."""
    return _stopped is not None and _stopped.exists()


def is_multirun() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def launcher(hydra_config: Any) -> str:
    """basic, joblib or submitit: what starts the jobs of a multirun."""
    target = str(hydra_config.launcher._target_)
    return next((name for name in ("joblib", "submitit") if name in target), "basic")


def outcome_of(result: dict[str, Any], directory: Path) -> dict[str, Any]:
    """What is told of a run that has ended.   result: the content of its result.json."""
    return {k: result[k] for k in ("status", "reason")} | {"directory": str(directory)}


def failure(error: Exception) -> dict[str, Any]:
    """What is told of a run that could not be trained."""
    known = isinstance(error, UserError)
    return {
        "status": FAILED,
        "reason": str(error) if known else f"{type(error).__name__}: {error}",
        "directory": "-",
        "exit_code": EXIT_USER_ERROR if known else EXIT_FAILED,
    }


class SubmititJob:
    """The job of submitit that this process is.

    Before the end of its time, or before a preemption where the cluster warns of it, it is sent a
    signal (SIGUSR2, unless SUBMITIT_PREEMPT_SIGNAL names another). submitit would put it back into
    the queue at once; here the run first saves its checkpoint, and goes on from it afterwards.
    Raises: UserError where several tasks would train the same run.
    """

    def __init__(self) -> None:
        from submitit import JobEnvironment

        job: Any = JobEnvironment()
        if job.num_tasks > 1:
            raise UserError(
                f"hydra.launcher asks for {job.num_tasks} tasks, and each would train the same "
                "run. Use tasks_per_node=1 and nodes=1; trainer.devices=N uses several GPUs."
            )
        # beside submitit's own files of the job, whose number stays
        self._place = job.paths.folder / f"{job.job_id}_run.txt"
        self._signal = job._usr_sig()
        self._requeue: Callable[[int, FrameType | None], None] = signal.getsignal(self._signal)  # type: ignore[assignment]
        self._told = False

    def directory(self, cfg: DictConfig) -> Path:
        """Where this job's run is kept: the same when it is started again."""
        if self._place.exists():
            return Path(self._place.read_text())
        group = cfg.group or str(cfg.choices.data)
        directory = new_directory(cfg.runs_dir, group, cfg.name, str(cfg.choices.model))
        replace_atomically(self._place, str(directory).encode())
        return directory

    @contextlib.contextmanager
    def saving_first(self, directory: Path) -> Iterator[None]:
        """Train in here: told to make room, the run saves and ends as if by SIGTERM."""
        untrained = signal.getsignal(signal.SIGTERM)

        def save(number: int, frame: FrameType | None) -> None:
            if signal.getsignal(signal.SIGTERM) == untrained:
                self._requeue(number, frame)  # training has not begun: nothing to save
            else:
                self._told = True
                os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(self._signal, save)
        try:
            yield
        finally:
            signal.signal(self._signal, self._requeue)
            with contextlib.suppress(OSError):
                directory.rmdir()  # where the run was refused, nothing is in it

    def requeue(self, result: dict[str, Any], directory: Path) -> None:
        """End the process and have the job started again, if that is why training stopped.

        Raises: SystemExit; UserError where it was put back as often as it may be.
        """
        if not self._told or result["status"] != "interrupted":
            return
        from submitit.core.utils import UncompletedJobError

        try:
            self._requeue(self._signal, None)
        except UncompletedJobError as error:
            raise UserError(
                f"The time of the job was over ({error}) The run is saved: `gansweep train "
                f"{shlex.quote(f'resume={directory}')}` continues it. Give more with "
                "hydra.launcher.timeout_min=, or have it queued again with "
                "hydra.launcher.max_num_timeout=10."
            ) from error
