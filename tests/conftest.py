"""Shared by every test: no tracker's account is touched, and what a machine lacks is skipped."""

import gc
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from command_line import Finished
from composing_once import compose_once
from places import SLURM_CLUSTER, SUPPORT

if TYPE_CHECKING:
    from postgres import Postgres
    from processes import Processes
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

    from gansweep.engine.launch.slurm import SlurmLauncher

# Two cores run nothing faster with more threads, and tiny tensors much slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell lets what it runs in the background ignore Ctrl-C, nohup the end of the terminal, and so
# would all that a test starts. A handler is not inherited, as an ignored signal is.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)


NEED_A_CLUSTER = ("test_slurm", "test_multirun", "test_status")

# Modules beside the tests whose functions stand in for a trial; without it a sweep refuses them.
OWN_TRIALS = "sweep_fakes,population_fakes,utilisation"
os.environ["GANSWEEP_EXTRA_PACKAGES"] = OWN_TRIALS


@pytest.fixture(autouse=True)
def own_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test allows is not allowed in the next."""
    monkeypatch.setenv("GANSWEEP_EXTRA_PACKAGES", OWN_TRIALS)
    monkeypatch.setenv("GANSWEEP_EXTRA_VARIABLES", "")


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test never writes to the Weights & Biases account of the person who runs it."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what scores keep between runs."""
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def short_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """The classifiers that judge samples learn for twenty epochs, of two batches or so."""
    monkeypatch.setattr("gansweep.metrics.features.classifier_training.MOST_EPOCHS", 20)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Finished]:
    """`command("train", "model=gan")`: the command line in this process, in an empty folder."""
    from gansweep.cli.main import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr(logging, "raiseExceptions", True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*words: str) -> Finished:
        capsys.readouterr()
        try:
            code = main(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Finished(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Postgres]":
    """A running PostgreSQL server; who stops it starts it again."""
    pytest.importorskip("psycopg")
    from postgres import NoPostgresError, Postgres

    try:
        server = Postgres()
    except NoPostgresError as lacking:
        pytest.skip(str(lacking))
    yield server
    server.close()


@pytest.fixture(scope="session")
def _cluster() -> Iterator[Path]:
    """The directory of a running SLURM of this machine."""
    if not all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch"))):
        pytest.skip("SLURM is not installed: apt-get install munge slurm-wlm")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # short: sockets are in it
    try:
        subprocess.run([SLURM_CLUSTER, "up", folder], check=True, stdout=subprocess.DEVNULL)
        yield folder
    finally:
        subprocess.run([SLURM_CLUSTER, "down", folder], check=True)
    assert not folder.exists()


@pytest.fixture(scope="module")
def cluster(_cluster: Path) -> Iterator[Path]:
    """The directory of a SLURM that the commands of this process talk to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(_cluster / "slurm.conf"))
        yield _cluster


@pytest.fixture(scope="session")
def under_a_limit(
    _cluster: Path, tmp_path_factory: pytest.TempPathFactory
) -> "dict[str, SlurmLauncher]":
    """Sweeps whose jobs have a time limit, one of them of a trial that hears no request to save.
    They run beside other tests: SLURM looks at the limits every 30 s."""
    from slurm_sweeps import launched_under_a_limit
    from sweep_processes import held

    hears, deaf = tmp_path_factory.mktemp("hears"), tmp_path_factory.mktemp("deaf")
    held(hears, "t0000")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(_cluster / "slurm.conf"))
        patch.setenv("PYTHONPATH", str(SUPPORT))
        return {
            "hears": launched_under_a_limit(hears),
            "deaf": launched_under_a_limit(deaf, "does=deaf"),
        }


@pytest.fixture
def no_job_left(tmp_path: Path) -> Iterator[None]:
    """The jobs of a test that failed leave their nodes to the next."""
    yield
    for submitted in tmp_path.glob("**/workers/slurm.json"):
        from gansweep.engine.launch import slurm

        for job in slurm.queue(submitted.parents[1]):
            subprocess.run(["scancel", job.id], check=False)


@pytest.fixture(scope="module")
def importable_fakes() -> Iterator[None]:
    """The processes that a test starts import what lies beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(SUPPORT))
        yield


@pytest.fixture
def processes() -> "Iterator[Processes]":
    """`processes("-c", "print(1)")`: a Python process, which ends with the test."""
    from processes import Processes

    started = Processes()
    yield started
    started.end()


@pytest.fixture
def quick_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other processes of a data-parallel run have the training stack loaded at their start."""
    from forked import Forked

    from gansweep.models import distributed

    forking = SimpleNamespace(**{**vars(subprocess), "Popen": Forked})
    monkeypatch.setattr(distributed, "subprocess", forking)


@pytest.fixture
def where(
    tmp_path: Path, request: pytest.FixtureRequest, processes: "Processes"
) -> Callable[[str], str]:
    """`where("postgresql")`: the value of storage= for journal, sqlite, "sqlite file", postgresql
    or grpc; it has a server of its own, or a database, where it needs one."""

    def value(kind: str) -> str:
        if kind == "postgresql":
            name = re.sub(r"\W", "_", f"{request.node.name}_{tmp_path.name}")[-60:]
            return str(request.getfixturevalue("postgres").database(name))
        if kind == "grpc":
            pytest.importorskip("grpc")
            from sweep_processes import serve

            _, port = serve(processes, str(tmp_path / "proxy.journal"))
            return f"grpc://127.0.0.1:{port}"
        return f"sqlite:///{tmp_path / 'studies.db'}" if kind == "sqlite file" else kind

    return value


def pytest_configure(config: pytest.Config) -> None:
    compose_once()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """The garbage collector leaves alone what is imported and collected here, and rests longer."""
    from gansweep.run.quick_imports import quick_imports

    with quick_imports():
        collected = yield
    gc.set_threshold(20_000)
    return collected


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # of pytest-xdist: first what waits, then long ones
        long = {item.path for item in items if item.get_closest_marker("slow")}
        items.sort(key=lambda item: (not _needs_the_cluster(item.path), item.path not in long))
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu and not _has_cuda():
        _skip(gpu, "no CUDA device")
    if not any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        browser = [item for item in items if item.get_closest_marker("browser")]
        _skip(browser, "no Chromium on PATH (Debian: apt install chromium)")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: "Producer") -> "LoadScopeScheduling":
    """Each file runs in one process, for its fixtures; those that need SLURM's cluster in one."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "cluster" if _needs_the_cluster(Path(file)) else file

    return ByFile(config, log)


def _needs_the_cluster(file: Path) -> bool:
    return file.name.startswith(NEED_A_CLUSTER)


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _skip(items: list[pytest.Item], reason: str) -> None:
    for item in items:
        item.add_marker(pytest.mark.skip(reason=reason))
