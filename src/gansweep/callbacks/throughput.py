"""Images per second of training, and peak memory."""

import resource
import sys
import time

import torch

from gansweep.callbacks.watcher import Watcher
from gansweep.config.ranges import Count
from gansweep.models.adversarial import Adversarial


class Throughput(Watcher):
    """Logs throughput/*; time for scores, samples and checkpoints does not count."""

    def __init__(self, every_steps: Count) -> None:
        super().__init__(every_steps)
        self._images = -1
        self._seconds = 0.0

    def look(self, module: Adversarial) -> None:
        """Log images per second since the last row, without evaluations, and peak memory in MiB."""
        if module.device.type == "cuda":
            torch.cuda.synchronize(module.device)
        now = time.perf_counter() - self.journal.paused_seconds
        if self._images >= 0 and now > self._seconds:
            speed = (module.images_seen - self._images) / (now - self._seconds)
            row = {"images_per_second": speed, "memory_mib": peak_memory_mib(module.device)}
            self.journal.log(module.images_seen, {f"throughput/{k}": v for k, v in row.items()})
        self._images, self._seconds = module.images_seen, now


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory in MiB: of the tensors on a GPU, or of the whole process on a CPU."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
