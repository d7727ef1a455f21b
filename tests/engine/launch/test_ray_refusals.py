"""launcher=ray without a cluster, and a worker's refusals on a node, without Ray."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import free_port
from sweep_processes import assert_refused, words_of_a_sweep

from gansweep import __version__
from gansweep.engine.launch import ray_task
from gansweep.engine.launch.ray import needs_of, worker_count
from gansweep.engine.lease.gpus import GpuShare
from gansweep.errors import UserError

OPTIONS = {"address": "auto", "gpus_per_worker": "auto", "cpus_per_worker": 2, "resources": {}}
HOST = socket.gethostname()


def test_machine_without_ray_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = words_of_a_sweep(tmp_path, "launcher=ray")
    assert_refused(words, r"needs another package: pip install 'gansweep\[ray\]'")


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:{port}", "no Ray cluster answers at .*refused.*ray start --head"),
        ("auto", "no Ray cluster answers. Start one.*launcher.address=HOST:PORT"),
        ("ray://head:10001", "not the address of a cluster's head. Use HOST:PORT"),
        ("local", "not the address of a cluster's head"),
    ],
)
def test_address_without_a_cluster_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, message: str
) -> None:
    services = pytest.importorskip("ray._private.services")
    # another test's cluster is not to be found
    monkeypatch.setattr(services, "find_gcs_addresses", set)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    place = address.format(port=free_port())
    with pytest.raises(UserError, match=message):
        worker_count({**OPTIONS, "address": place}, "auto", 4)


@pytest.mark.parametrize(
    ("asked", "nodes", "uses_gpus", "gpus"),
    [
        ("auto", [{"CPU": 4, "GPU": 2}], True, 1),
        ("auto", [{"CPU": 4}], True, 0),
        ("auto", [{"CPU": 4, "GPU": 2}], False, 0),
        (0.25, [{"CPU": 4, "GPU": 2}], True, 0.25),
        (2, [{"CPU": 4, "GPU": 2}], True, 2),
    ],
)
def test_worker_reserves_gpus_as_its_trials_use_them(
    asked: str | float, nodes: list[dict[str, float]], uses_gpus: bool, gpus: float
) -> None:
    assert needs_of({**OPTIONS, "gpus_per_worker": asked}, nodes, uses_gpus).gpus == gpus


@pytest.mark.parametrize(
    ("asked", "node", "many"),
    [
        (0.25, {"CPU": 64, "GPU": 2}, 8),
        (0.1, {"CPU": 64, "GPU": 1}, 10),
        (2, {"CPU": 64, "GPU": 8}, 4),
        (1, {"CPU": 5, "GPU": 8}, 2),
        (1, {"CPU": 5}, 0),
    ],
)
def test_workers_that_fit_on_a_node_are_counted(
    asked: float, node: dict[str, float], many: int
) -> None:
    assert needs_of({**OPTIONS, "gpus_per_worker": asked}, [node], True).fit(node) == many


@pytest.mark.parametrize(
    ("asked", "share"),
    [("auto", (1, 1)), (0, (1, 1)), (1, (1, 1)), (0.25, (4, 1)), (0.1, (10, 1)), (0.3, (3, 1))]
    + [(2, (1, 2))],
)
def test_worker_takes_what_ray_gave_it(asked: str | float, share: tuple[int, int]) -> None:
    found = GpuShare.of({"name": "ray", "gpus_per_worker": asked})
    assert (found.slots, found.per_trial) == share


@pytest.fixture
def order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Of a sweep in a directory without one."""
    monkeypatch.setattr(ray_task, "SEEN_SECONDS", 0.0)
    (tmp_path / "s" / "workers").mkdir(parents=True)
    (tmp_path / "s" / "workers" / "mark").write_text("mark")
    place = {"directory": str(tmp_path / "s"), "folder": str(tmp_path)}
    return {**place, "mark": "mark", "host": "login", "version": __version__}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"directory": "/nowhere/s"}, f"{HOST} has no directory at /nowhere/s, where login has"),
        ({"mark": "of another"}, f"{HOST} has another directory at "),
        ({"folder": "/nowhere"}, f"{HOST} has no directory /nowhere, in which the command was"),
        ({"version": "9.9"}, f"on {HOST} has gansweep {__version__}, and the command's Python on"),
    ],
)
def test_node_that_lacks_what_a_worker_needs_says_what_and_where(
    order: dict[str, str], wrong: dict[str, str], message: str
) -> None:
    code, host, said = ray_task.work("ray0", {**order, **wrong}, 1, {})
    assert (code, host) == (2, HOST)
    assert message in said and said.endswith((".", "="))


def test_node_without_gansweep_says_so(
    order: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert "has no gansweep" in ray_task.work("ray0", order, 1, {})[2]


@pytest.mark.slow
def test_task_is_sent_to_a_node_as_it_stands(order: dict[str, str]) -> None:
    """Unpickled there, it needs no gansweep to say that there is none."""
    cloudpickle = pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(ray_task)
    code = (
        "import pickle, sys; sys.modules['gansweep'] = None\n"
        "work, order = pickle.load(sys.stdin.buffer)\n"
        "print(work('ray0', {**order, 'mark': 'of another'}, 1, {})[2])"
    )
    sent = cloudpickle.dumps((ray_task.work, order))
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True)
    assert b"has another directory" in done.stdout, done.stderr.decode()


def test_worker_has_the_folder_threads_and_variables_of_the_command(
    order: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\n[ "$1" = -c ] && echo {__version__} && exit\n'
        'echo "$PWD $OMP_NUM_THREADS $GANSWEEP_DATA $*"\nexit 75\n'
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    assert ray_task.work("ray0", order, 3, {"GANSWEEP_DATA": "/d"}) == (75, HOST, "")
    said = (tmp_path / "s" / "workers" / "ray0.log").read_text().splitlines()
    assert said[0].endswith(f"ray0 on {HOST}")
    words = f"-m gansweep.engine {order['directory']} --name ray0 --threads 3 --launched"
    assert said[1] == f"{os.path.realpath(tmp_path)} 3 /d {words}"
