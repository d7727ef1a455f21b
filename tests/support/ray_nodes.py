"""A Ray cluster of two nodes on this machine, all of whose ports are on 127.0.0.1."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

from processes import descendants

LOCALHOST = "127.0.0.1"
CORES, GPUS = 2, 1  # of each node; no such GPU exists, the workers get its number
STORE_BYTES = 80_000_000  # of Ray's objects, of which we send none; the least that it takes
QUICK = {
    "worker_niceness": 0,  # beside other tests a worker with Ray's 15 gets no time
    # a dead node is noticed after a second and a half
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 500,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
}


class RayNodes:
    """The head, which works too, and another node that can be killed and started again."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: sockets are in it
        # Ray writes the newest address there and does not make the folder itself
        Path(os.environ.get("RAY_TMPDIR", tempfile.gettempdir()), "ray").mkdir(exist_ok=True)
        head = {"temp_dir": str(self.folder), "_system_config": QUICK, "include_dashboard": False}
        self._cluster = Cluster()
        self._add(**head)
        self.second = self._add()

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def _add(self, **more: Any) -> Any:
        place = self.folder / f"gpus{len(self._cluster.list_all_nodes())}"
        return self._cluster.add_node(
            node_ip_address=LOCALHOST,
            num_cpus=CORES,
            num_gpus=GPUS,
            object_store_memory=STORE_BYTES,
            env_vars={"GANSWEEP_GPU_LOCKS": str(place)},  # they are machines with GPUs of their own
            **more,
        )

    def at_work_on_second(self) -> list[int]:
        """The second node's daemon and all processes below it."""
        daemon = self.second.all_processes["raylet"][0].process.pid
        return [daemon, *descendants(daemon)]

    def kill_second(self) -> None:
        """All of its processes at once, as if its power failed."""
        for pid in self.at_work_on_second():
            with contextlib.suppress(ProcessLookupError):  # it ended with one before it
                os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(self.second, allow_graceful=False)

    def start_second(self) -> None:
        self.second = self._add()

    def close(self) -> None:
        self._cluster.shutdown()
        shutil.rmtree(self.folder)
