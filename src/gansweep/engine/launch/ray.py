"""Workers as tasks of a Ray cluster. Ray puts those of a node that dies on another one."""

import contextlib
import math
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import gansweep
from gansweep.config.permissions import allowed_variables
from gansweep.config.ranges import Name, Positive, Range, Workers
from gansweep.engine.launch import ray_task
from gansweep.engine.launch.kept import KeptWorkers, Slot
from gansweep.engine.launch.ray_cluster import Needs, joined, nodes_of
from gansweep.engine.lease.workers import is_cancelled, workers_of
from gansweep.engine.worker import EXIT_FINISHED
from gansweep.errors import UserError
from gansweep.records.notation import plural
from gansweep.records.record import replace_atomically
from gansweep.search.settings import Settings

WAITING_SECONDS = 20.0  # until it is said that no worker has begun
# Of the command's environment, beside the variables that the configuration reads. They go to the
# tasks as an argument: what is given to Ray as a runtime environment is shown on its dashboard.
PASSED_ON = ("GANSWEEP_", "WANDB_")
ALSO_PASSED_ON = ("PYTHONPATH",)


class RayOptions(TypedDict):
    """conf/launcher/ray.yaml."""

    name: Literal["ray"]
    workers: Workers
    address: Name
    gpus_per_worker: Annotated[float, Range(0, 1_024)] | Literal["auto"]
    cpus_per_worker: Annotated[int, Range(1, 4_096)]
    resources: dict[str, Positive]


def worker_count(
    options: Mapping[str, Any], wanted: str | int, n_trials: int, *, uses_gpus: bool = True
) -> int:
    """How many tasks `workers=` asks for; auto: as many as fit on the cluster, at most one per
    trial.

    Raises: UserError if there is no such cluster, or, with auto, if not one worker fits.
    """
    with joined(str(options["address"])) as ray:
        nodes = nodes_of(ray)
    needs = needs_of(options, nodes, uses_gpus)
    if wanted != "auto":
        return int(wanted)
    many = sum(map(needs.fit, nodes))
    if many == 0:
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)), default={})
        raise UserError(
            f"No node of the Ray cluster has what a worker needs ({needs}); the largest has "
            f"{largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs. Ask for less with "
            "launcher.gpus_per_worker=, cpus_per_worker= or resources=. If the cluster grows by "
            "itself, say how many workers it is to have: workers=4."
        )
    return min(many, n_trials)


def needs_of(
    options: Mapping[str, Any], nodes: Sequence[Mapping[str, float]], uses_gpus: bool
) -> Needs:
    """What a worker reserves.   nodes: the resources of each.   uses_gpus: whether trials do.

    Raises: UserError if Ray has no such share of GPUs.
    """
    asked = options["gpus_per_worker"]
    if asked == "auto":
        asked = 1 if any(node.get("GPU") for node in nodes) else 0
    gpus = float(asked) if uses_gpus else 0.0
    if gpus > 1 and gpus != int(gpus):
        raise UserError(
            f"launcher.gpus_per_worker={gpus:g} is neither a part of one GPU nor whole ones. Use "
            f"{int(gpus)}, say, or 0.5 to let two workers share one."
        )
    return Needs(int(options["cpus_per_worker"]), gpus, dict(options["resources"]))


class RayLauncher(KeptWorkers[Any]):
    """Keeps workers as tasks of a Ray cluster; what runs one is Ray's reference to its task."""

    def __init__(self, directory: Path, options: Mapping[str, Any], workers: int) -> None:
        super().__init__(directory, [f"ray{i}" for i in range(workers)])
        self.options = options
        self._withdrawn = False  # whether the waiting tasks were cancelled
        self._says_at = math.inf

    @contextlib.contextmanager
    def _reached(self) -> Iterator[None]:
        with joined(str(self.options["address"])) as ray:
            self._prepare(ray)
            yield

    def _prepare(self, ray: Any) -> None:
        self._ray = ray
        uses_gpus = Settings.load(self.directory).uses_gpus
        self.needs = needs_of(self.options, nodes_of(ray), uses_gpus)
        mark = uuid.uuid4().hex
        replace_atomically(self.directory / "workers" / "mark", mark.encode())
        self._order = {
            "directory": str(self.directory),
            "mark": mark,
            "folder": os.getcwd(),
            "host": socket.gethostname(),
            "version": gansweep.__version__,
        }
        ray.cloudpickle.register_pickle_by_value(ray_task)
        self._says_at = time.monotonic() + WAITING_SECONDS

    def _started(self, slot: Slot[Any]) -> Any:
        # -1: as often as nodes die; how often a trial may be killed is the sweep's max_retries
        task = self._ray.remote(ray_task.work).options(
            name=f"gansweep {self.directory.name} {slot.name}",
            num_cpus=self.needs.cpus,
            num_gpus=self.needs.gpus,
            resources=dict(self.needs.more),
            max_retries=-1,
            scheduling_strategy="SPREAD",
        )
        return task.remote(slot.name, self._order, self.needs.cpus, self._variables())

    def _variables(self) -> dict[str, str]:
        named = {*ALSO_PASSED_ON, *allowed_variables()}
        passed = {k: v for k, v in os.environ.items() if k in named or k.startswith(PASSED_ON)}
        return passed if self.needs.gpus else {**passed, "CUDA_VISIBLE_DEVICES": ""}

    def _attend(self) -> bool:
        if self._withdrawn or is_cancelled(self.directory):
            self._withdraw()
        running = super()._attend()
        self._report_waiting()
        return running

    def _starts_more(self) -> bool:
        return super()._starts_more() and not self._withdrawn

    def _look_at(self, slot: Slot[Any], work: Any) -> bool:
        if not self._ray.wait([work], timeout=0)[0]:
            return True
        errors = self._ray.exceptions
        try:
            code, host, unable = self._ray.get(work)
        except (errors.TaskCancelledError, errors.WorkerCrashedError):
            return False  # by us
        except errors.RayError as error:
            if self.stops or self._withdrawn:
                return False
            words = " ".join(str(error).split())
            raise UserError(f"Ray cannot run the sweep's worker {slot.name}: {words}") from error
        if unable:
            raise UserError(f"The sweep's worker {slot.name} cannot work: {unable}")
        self._withdrawn |= code == EXIT_FINISHED
        self._mourn(slot, code, f" on {host}")
        return False

    def _withdraw(self) -> None:
        """Cancel the tasks that wait: there is nothing for them to do. Workers that run end by
        themselves."""
        self._withdrawn = True
        present = {worker.worker for worker in workers_of(self.directory)}
        self._cancel([slot for slot in self.slots if slot.name not in present])

    def _ask(self, kill: bool) -> None:
        self._cancel(self.slots, force=kill)

    def _await(self, seconds: float) -> None:
        tasks = [slot.work for slot in self.slots if slot.work is not None]
        if tasks:
            self._ray.wait(tasks, num_returns=len(tasks), timeout=seconds)

    def _end(self) -> None:
        self._ask(kill=True)

    def _cancel(self, slots: Sequence[Slot[Any]], force: bool = False) -> None:
        """Have the workers save and end, or, by force, end."""
        for slot in slots:
            if slot.work is not None:
                self._ray.cancel(slot.work, force=force)

    def _report_waiting(self) -> None:
        """Say once if the cluster has no room for any worker."""
        if time.monotonic() < self._says_at:
            return
        self._says_at = math.inf
        if not workers_of(self.directory):
            many = plural(len(self.slots), "worker")
            print(f"waiting in Ray: {many}; each needs {self.needs} on a node (`ray status`)")
