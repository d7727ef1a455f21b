"""The Ray cluster that workers run on: found, joined for a while, and what fits on its nodes."""

import contextlib
import math
import signal
import socket
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gansweep.errors import UserError
from gansweep.records.notation import plural

CONNECT_SECONDS = 5.0
START = (
    "Start one with `ray start --head`, give the command on a node of a running one, or name the "
    "address of its head: launcher.address=HOST:PORT."
)


@dataclass(frozen=True)
class Needs:
    """What Ray reserves for one worker on a node."""

    cpus: int
    gpus: float
    more: Mapping[str, float]

    def resources(self) -> dict[str, float]:
        """By Ray's names, without those that are 0."""
        all_of_them = {"CPU": float(self.cpus), "GPU": self.gpus, **self.more}
        return {name: many for name, many in all_of_them.items() if many}

    def fit(self, node: Mapping[str, float]) -> int:
        """How many such workers a node with these resources has room for."""
        rooms = (node.get(name, 0) / many for name, many in self.resources().items())
        return math.floor(min(rooms) + 1e-6)

    def __str__(self) -> str:
        parts = [plural(self.cpus, "CPU")]
        if self.gpus:
            parts.append(f"{self.gpus:g} GPU{'s' if self.gpus > 1 else ''}")
        return ", ".join([*parts, *(f"{many:g} {name}" for name, many in self.more.items())])


@contextlib.contextmanager
def joined(address: str) -> Iterator[Any]:
    """The module `ray` while this process is a driver of the cluster; as before, if it is one.

    Raises: UserError if Ray is not installed, or the cluster cannot be reached.
    """
    ray = _ray()
    if ray.is_initialized():
        yield ray
        return
    _check_place(address)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise UserError(f"Ray refuses launcher.address={address}: {words}. {START}") from error
    try:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)  # Ray has put its own in its place
        yield ray
    finally:
        ray.shutdown()


def nodes_of(ray: Any) -> list[dict[str, float]]:
    """What each node that lives has in all, by Ray's names of resources."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError(
            "launcher=ray needs another package: pip install 'gansweep[ray]', on all nodes of the "
            "cluster and in the version that it runs."
        ) from None
    return ray


def _check_place(address: str) -> None:
    """Raises: UserError if nothing answers at the address. Ray itself waits there for minutes and
    hears no Ctrl-C."""
    if "://" in address or address == "local":
        raise UserError(
            f"launcher.address={address} is not the address of a cluster's head. Use HOST:PORT, or "
            "auto on one of its nodes, which see the sweep's directory."
        )
    from ray._private import services

    try:
        place = services.canonicalize_bootstrap_address(address)
    except (ConnectionError, ValueError):
        place = None
    host, _, port = (place or "").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS):
            return
    except (OSError, ValueError) as error:
        why = f" ({error.strerror or error})" if place and isinstance(error, OSError) else ""
        where = f" at {place}" if place else ""
        raise UserError(
            f"launcher.address={address}: no Ray cluster answers{where}{why}. {START}"
        ) from None
