"""Data flows one way: config, data, models, metrics, callbacks, record, then sweep and report."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "gansweep"

# What `_target_` may name: it is judged by these rooms' classes, imported when it is called.
PARTS_OF_A_RUN = ("augment", "data", "losses", "metrics", "penalties")
# A room is a folder or a file of src/gansweep; it may import from itself and from these: from a
# whole room, or from the one module of it that is named.
MAY_IMPORT = {
    "errors": set(),
    "ranges": set(),
    "kinds": {"errors", "ranges"},
    "signatures": {"kinds", "ranges"},
    "options": {"errors", "ranges", "kinds", "signatures"},
    "writer": {"errors"},
    "signals": set(),
    "drafts": set(),
    "digest": set(),
    "plain_values": {"errors"},
    "directory_names": {"errors"},
    "record": {"errors", "directory_names", "drafts", "plain_values", "writer"},
    # What the user allows, and what somebody else's files may thus call and read.
    "permissions": {"errors"},
    "environment": {"errors", "permissions"},
    "stored_yaml": {"plain_values", "record"},
    "run_config": {"errors", "permissions", "environment", "plain_values", "record", "stored_yaml"},
    "targets": {"errors", "permissions", *PARTS_OF_A_RUN},
    "devices": {"errors", "ranges"},
    "origin": {"errors"},
    "config": {"errors", "directory_names", "environment", "options", "targets"},
    "resume": {"errors", "permissions", "record", "run_config", "metrics.protocol"},
    "multirun": {"errors", "record", "signals"},
    "data": {"errors", "drafts", "ranges"},
    "schedules": {"errors", "ranges"},
    "layers": {"errors", "ranges"},
    "losses": {"errors", "ranges"},
    "augment": {"errors", "ranges"},
    "penalties": {"errors", "ranges", "augment"},
    "models": {"errors", "ranges", "data", "schedules", "layers", "losses", "penalties", "augment"},
    "metrics": {"errors", "drafts", "ranges", "data", "layers"},
    "tracking": {"errors", "record"},
    # Rules on a run's numbers, which the callbacks ask while it trains and the report afterwards.
    "diagnosis": {"errors", "metrics.protocol", "metrics.missing"},
    "callbacks": {
        *("errors", "ranges", "record", "digest", "signals", "data", "models", "metrics"),
        *("tracking", "diagnosis"),
    },
    # What a run's result.json says, of its model and its journal.
    "result": {"callbacks", "models", "origin"},
    # Never a model: it reads records, and what compares in them.
    "report": {
        *(
            "errors",
            "plain_values",
            "record",
            "stored_yaml",
            "diagnosis",
            "metrics.protocol",
            "metrics.missing",
        ),
    },
    # A sweep's child process trains; the worker itself does not: see NO_TRAINING.
    "sweep": {
        *("errors", "ranges", "kinds", "options", "drafts", "record", "writer", "signals"),
        *("config", "origin", "tracking", "training", "scores", "report", "metrics.protocol"),
        *("permissions", "environment", "plain_values", "stored_yaml", "run_config"),
        "directory_names",
        "diagnosis.learning",  # one fact for the doctor, the report and a sweep
    },
}
# Where the rooms meet; nothing below may import from these, but for `train` in a sweep's child.
MEETING_PLACES = {"__init__", "__main__", "build", "cli", "training", "evaluate", "generate"}
MEETING_PLACES |= {"scores", "evaluation"}

# Answering --help, reading records and handing out trials must not wait for these.
TRAINING = {"torch", "torchvision", "pytorch_lightning", "torchmetrics", "torch_fidelity", "wandb"}
HEAVY = TRAINING | {"optuna", "plotly", "sklearn", "scipy"}
LIGHT = ["__init__.py", "__main__.py", "cli.py", "errors.py", "record.py", "writer.py"]
LIGHT += ["signals.py", "records/read.py"]
NO_TRAINING = ["sweep/*.py", "sweep/launch/*.py", "report/*.py", "diagnosis/*.py"]


@dataclass(frozen=True)
class Import:
    module: str
    line: int
    at_module_level: bool


def imports(path: Path) -> Iterator[Import]:
    return read_imports(path.read_text(encoding="utf-8"), path.relative_to(SOURCE).parent)


def read_imports(code: str, folder: Path) -> Iterator[Import]:
    """The imports of a file that stands in `folder` of src/gansweep, relative ones resolved."""
    tree = ast.parse(code)
    top = set(_run_on_import(tree))
    package = ("gansweep", *folder.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else ()
            base = ".".join([*parents, *filter(None, [node.module])])
            # `from gansweep import training` imports a room by its name
            names = (
                [f"{base}.{alias.name}" for alias in node.names] if base == "gansweep" else [base]
            )
        else:
            continue
        yield from (Import(name, node.lineno, node in top) for name in names)


def _run_on_import(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the file is imported: not functions, not `if TYPE_CHECKING:`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
            continue
        yield child
        yield from _run_on_import(child)


def room(path: Path) -> str:
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def files(patterns: list[str]) -> list[Path]:
    return sorted({path for pattern in patterns for path in SOURCE.glob(pattern)})


def name(path: Path) -> str:
    return str(path.relative_to(SOURCE))


ROOMS = {room(path) for path in SOURCE.rglob("*.py")}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=name)
def test_a_room_imports_only_from_the_rooms_before_it(path: Path) -> None:
    here = room(path)
    if here in MEETING_PLACES:
        return
    assert here in MAY_IMPORT, f"give {here} its place in MAY_IMPORT"
    for found in imports(path):
        parts = found.module.split(".")
        if parts[0] == "gansweep" and len(parts) > 1 and parts[1] in ROOMS:
            allowed = {parts[1], ".".join(parts[1:3])} & (MAY_IMPORT[here] | {here})
            assert allowed, f"{name(path)}:{found.line}: {here} must not import {found.module}"


@pytest.mark.parametrize("path", files(["metrics/*.py"]), ids=name)
def test_metrics_know_no_trainer(path: Path) -> None:
    for found in imports(path):
        assert found.module.split(".")[0] != "pytorch_lightning", f"{name(path)}:{found.line}"


@pytest.mark.parametrize("path", files(LIGHT), ids=name)
def test_what_answers_at_once_imports_nothing_heavy(path: Path) -> None:
    _imports_none_at_module_level(path, HEAVY)


@pytest.mark.parametrize("path", files(NO_TRAINING), ids=name)
def test_sweep_and_report_start_without_the_training_stack(path: Path) -> None:
    _imports_none_at_module_level(path, TRAINING | {"gansweep.run.train"})


def _imports_none_at_module_level(path: Path, heavy: set[str]) -> None:
    for found in imports(path):
        if found.at_module_level:
            parts = {found.module, found.module.split(".")[0]}
            assert not parts & heavy, f"{name(path)}:{found.line} imports {found.module}"


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("gansweep", HEAVY),
        ("gansweep.cli.main", HEAVY),
        ("gansweep.records.record", HEAVY),
        ("gansweep.records.read", HEAVY),
        ("gansweep.judging.statistics", HEAVY),
        ("gansweep.metrics.protocol", HEAVY),
        ("gansweep.metrics.scores.missing", HEAVY),
        ("gansweep.diagnosis.rules", HEAVY),
        ("gansweep.cli.doctor", HEAVY),
        ("gansweep.engine.worker", TRAINING),
    ],
)
def test_importing_leaves_the_heavy_packages_alone(module: str, absent: set[str]) -> None:
    code = f"import sys, {module}; print(*({absent!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_the_reader_of_imports_tells_import_time_from_call_time() -> None:
    code = (
        "import torch\n"
        "def f():\n    import wandb\n"
        "from ..report import read\n"
        "from .. import training\n"
        "if TYPE_CHECKING:\n    import optuna\n"
        "class A:\n    import a.b\n"
    )
    found = {(one.module, one.at_module_level) for one in read_imports(code, Path("sweep"))}
    assert found == {
        ("torch", True),
        ("wandb", False),
        ("gansweep.report", True),
        ("gansweep.run.train", True),
        ("optuna", False),
        ("a.b", True),
    }
