"""Additions to Hydra's multirun for `gansweep train --multirun`.

It reports how every run ended, and a job that submitit requeues continues its run.
"""

import atexit
import contextlib
import json
import os
import shlex
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from gansweep.errors import UserError, tell
from gansweep.judging.statuses import judged_status
from gansweep.records.record import new_directory, replace_atomically
from gansweep.run.jobs import differing, jobs_table, note_swept, stem
from gansweep.signals import note_hangup, stop_signals

FAILED = "failed"
EXIT_FAILED, EXIT_USER_ERROR = 1, 2
STOPPED = "stopped"  # a file with this name requests the end of a multirun
NOT_BEGUN = {"status": "interrupted", "reason": "the multirun was stopped", "directory": "-"}

_stopped: Path | None = None  # the path of that file, in a process of joblib


class Outcomes(Callback):
    """Reports the failed runs of a multirun and ends the process with their exit code.

    Hydra raises only the first failure, so each job writes the outcome of its run to `folder`.
    """

    folder: Path | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Make the folder of the outcomes, and say to the jobs which options are swept."""
        note_swept(config.hydra)
        runs = Path(config.hydra.sweep.dir).resolve()
        with contextlib.suppress(OSError):  # Hydra writes there next and will raise the error
            runs.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=".multirun-", dir=runs))
            atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
            if launcher(config.hydra) == "joblib":
                _stop_gently(self.folder / STOPPED)

    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.folder is not None and launcher(config.hydra) == "joblib":
            global _stopped
            _stopped = self.folder / STOPPED
            for number in stop_signals():  # before training begins, only the file counts
                signal.signal(number, signal.SIG_IGN)

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Write the outcome of a run to NUMBER.json in the folder; exit if that fails."""
        if self.folder is None or not self.folder.is_dir():  # the multirun has ended
            return
        words = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        outcome = {"overrides": words, **job_return.return_value}
        path = self.folder / f"{config.hydra.job.num:06d}.json"
        try:
            replace_atomically(path, json.dumps(outcome).encode())
        except OSError as error:  # Hydra would only warn, so a failed run would be missed
            tell(f"gansweep: {path} cannot be written ({error.strerror}).")
            raise SystemExit(EXIT_USER_ERROR) from error

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Print a table of the runs, then why some failed, and exit with the lowest of their codes.

        Raises: KeyboardInterrupt if the multirun was stopped and no run failed.
        """
        assert self.folder is not None
        found = [
            {"job": int(path.stem) + 1, **json.loads(path.read_bytes())}
            for path in sorted(self.folder.glob("*.json"))
        ]
        is_stopped = (self.folder / STOPPED).exists()
        shutil.rmtree(self.folder)
        for one in found:
            one["called"] = " ".join(differing(one["overrides"])) or "the run"
        if found:
            print("\n".join(["", *jobs_table(found)]), flush=True)
        failed = [one for one in found if one["status"] == FAILED]
        if failed:
            tell(f"gansweep: {len(failed)} of {len(found)} runs failed:")
            for one in failed:
                tell(f"  {one['called']}: {one['reason']}")
            raise SystemExit(min(one["exit_code"] for one in failed))
        if is_stopped:
            raise KeyboardInterrupt


def _stop_gently(note: Path) -> None:
    """Make the first Ctrl-C (or SIGTERM) save the runs of joblib's processes, and the second kill.

    joblib itself would kill them at the first one. A terminal signals all processes, `kill` only
    this one. So SIGTERM is forwarded; a second SIGTERM does no harm to a run that saves.
    """
    before = {number: signal.getsignal(number) for number in stop_signals()}

    def stop(number: int, frame: FrameType | None) -> None:
        for each, handler in before.items():
            signal.signal(each, handler)
        note_hangup(number)
        note.touch()
        tell("gansweep: saving the runs; another Ctrl-C kills them.")
        for children in Path("/proc/self/task").glob("*/children"):
            for child in children.read_text().split():
                os.kill(int(child), signal.SIGTERM)

    for number in before:
        signal.signal(number, stop)


def is_stopped() -> bool:
    """Whether the multirun of this process has been stopped."""
    return _stopped is not None and _stopped.exists()


def is_multirun() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def launcher(hydra_config: Any) -> str:
    """The launcher of a multirun's jobs: "basic", "joblib" or "submitit"."""
    target = str(hydra_config.launcher._target_)
    return next((name for name in ("joblib", "submitit") if name in target), "basic")


def outcome_of(result: dict[str, Any], directory: Path) -> dict[str, Any]:
    """The outcome of a run that has ended, with the status that `gansweep ls` shows.

    result: the content of its result.json.
    """
    objective = result.get("objective")
    value = result["last"][objective]["value"] if objective in result["last"] else None
    status, reason = judged_status(result)
    return {
        "status": status,
        "reason": reason,
        "directory": str(directory),
        "objective": objective,
        "value": value,
    }


def failure(error: Exception) -> dict[str, Any]:
    """The outcome of a run that could not be trained."""
    reason, code = f"{type(error).__name__}: {error}", EXIT_FAILED
    if isinstance(error, UserError):
        reason, code = str(error), EXIT_USER_ERROR
    return {"status": FAILED, "reason": reason, "directory": "-", "exit_code": code}


class SubmititJob:
    """The submitit job that this process runs in.

    Before its time limit or a preemption, the job gets a signal (SIGUSR2, unless
    SUBMITIT_PREEMPT_SIGNAL names another). submitit would requeue the job at once. Here the run
    first saves its checkpoint, and the requeued job continues from it.
    Raises: UserError if several tasks would train the same run.
    """

    def __init__(self) -> None:
        from submitit import JobEnvironment

        job: Any = JobEnvironment()
        if job.num_tasks > 1:
            raise UserError(
                f"hydra.launcher requests {job.num_tasks} tasks, but each would train the same "
                "run. Use tasks_per_node=1 and nodes=1; trainer.devices=N uses several GPUs."
            )
        # beside submitit's own files of the job; a requeued job keeps its number
        self._place = job.paths.folder / f"{job.job_id}_run.txt"
        self._signal = job._usr_sig()
        self._requeue: Callable[[int, FrameType | None], None] = signal.getsignal(self._signal)  # type: ignore[assignment]
        self._saves = False

    def directory(self, cfg: DictConfig, words: Sequence[str]) -> Path:
        """The directory of this job's run; a requeued job gets the same one."""
        if self._place.exists():
            return Path(self._place.read_text())
        group = cfg.group or str(cfg.choices.data)
        directory = new_directory(cfg.runs_dir, group, cfg.name, stem(cfg, words))
        replace_atomically(self._place, str(directory).encode())
        return directory

    @contextlib.contextmanager
    def saving_first(self, directory: Path) -> Iterator[None]:
        """Train inside: on the job's signal the run saves and ends as after SIGTERM."""
        untrained = signal.getsignal(signal.SIGTERM)

        def save(number: int, frame: FrameType | None) -> None:
            if signal.getsignal(signal.SIGTERM) == untrained:
                self._requeue(number, frame)  # training has not begun: nothing to save
            else:
                self._saves = True
                os.kill(os.getpid(), signal.SIGTERM)

        signal.signal(self._signal, save)
        try:
            yield
        finally:
            signal.signal(self._signal, self._requeue)
            with contextlib.suppress(OSError):
                directory.rmdir()  # it is empty if the run was refused

    def requeue(self, result: dict[str, Any], directory: Path) -> None:
        """Requeue the job and end the process, if the job's signal stopped the training.

        Raises: SystemExit; UserError if the job may not be requeued again.
        """
        if not self._saves or result["status"] != "interrupted":
            return
        from submitit.core.utils import UncompletedJobError

        try:
            self._requeue(self._signal, None)
        except UncompletedJobError as error:
            raise UserError(
                f"The job reached its time limit ({error}) The run is saved: `gansweep train "
                f"{shlex.quote(f'resume={directory}')}` continues it. Give it more time with "
                "hydra.launcher.timeout_min=, or let it be requeued more often with "
                "hydra.launcher.max_num_timeout=10."
            ) from error
