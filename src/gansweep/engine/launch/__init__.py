"""What starts workers, and keeps them running: chosen by `launcher=`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from gansweep.engine.lease.gpus import GpuShare


class Launcher(Protocol):
    """Starts the workers of a sweep."""

    def run(self, tick: Callable[[], None]) -> bool:
        """Wait until all is done (True) or stopped by a signal (False). Calls `tick` meanwhile.

        Raises: UserError, with the reason, if the workers cannot work.
        """


class Detached(Exception):  # noqa: N818  # no error
    """The launcher ends and its workers continue; its message names the commands to find them."""


def make_launcher(directory: Path, options: Mapping[str, Any], workers: int) -> Launcher:
    """The launcher that `options`, a file of conf/launcher/, names; not of kubernetes, which starts
    nothing."""
    if options.get("name") == "slurm":
        from gansweep.engine.launch.slurm import SlurmLauncher

        return SlurmLauncher(directory, options, workers)
    if options.get("name") == "ray":
        from gansweep.engine.launch.ray import RayLauncher

        return RayLauncher(directory, options, workers)
    from gansweep.engine.launch.local import LocalLauncher

    return LocalLauncher(directory, workers)


def worker_count(
    options: Mapping[str, Any], wanted: str | int, n_trials: int, *, uses_gpus: bool = True
) -> int:
    """How many workers `workers=` asks the launcher for.

    uses_gpus: whether the trials compute on GPUs if there are any.
    Raises: UserError if the launcher's options contradict each other or this machine.
    """
    if options.get("name") == "slurm":
        from gansweep.engine.launch import slurm

        return slurm.worker_count(options, wanted, n_trials)
    if options.get("name") == "ray":
        from gansweep.engine.launch import ray

        return ray.worker_count(options, wanted, n_trials, uses_gpus=uses_gpus)
    if options.get("name") == "kubernetes":
        from gansweep.engine.launch import kubernetes

        return kubernetes.worker_count(wanted, n_trials)
    from gansweep.engine.launch import local

    return local.worker_count(wanted, n_trials, GpuShare.of(options), uses_gpus=uses_gpus)
