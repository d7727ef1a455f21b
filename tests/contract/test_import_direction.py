"""Imports run one way, from a room to those below it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from places import TOP

SOURCE = TOP / "src" / "gansweep"

# The rooms from the lowest to the highest: a file imports from its own room and from those below.
ROOMS = (
    *("errors", "signals", "serving", "config", "provenance", "records", "data", "layers", "terms"),
    *("models", "metrics", "judging", "diagnosis", "callbacks", "run", "inference", "search"),
    *("engine", "report", "reproduce", "integrations", "cli", "__init__", "__main__"),
)
# What a file may import from a room above its own, with the reason.
UPWARDS = {
    # what `_target_` may name is judged by these rooms' classes, imported when it is called
    "config/targets.py": {"data", "metrics", "terms"},
    # a number is read with its protocol
    "records/read.py": {"metrics.protocol"},
}
# What these rooms below it must not know, though they stand beneath.
MUST_NOT_KNOW = {
    "config": {"records"},
    "terms": {"layers", "data", "records"},
    "layers": {"data", "records"},
    "metrics": {"layers", "terms", "models"},
    "models": {"records"},
    "diagnosis": {"data", "layers", "terms", "models"},
    "judging": {"data", "layers", "terms", "models", "callbacks"},
    "search": {"data", "layers", "terms", "models", "callbacks", "run", "inference"},
    "report": {"data", "layers", "terms", "models", "callbacks", "run", "inference", "engine"},
    "engine": {"data", "layers", "terms", "models", "callbacks", "inference"},
}

# Answering --help, reading records and handing out trials must not wait for these.
TRAINING = {"torch", "torchvision", "pytorch_lightning", "torchmetrics", "torch_fidelity", "wandb"}
HEAVY = TRAINING | {"optuna", "plotly", "sklearn", "scipy"}
LIGHT = ["__init__.py", "__main__.py", "errors.py", "signals.py", "cli/main.py"]
LIGHT += ["records/record.py", "records/writer.py", "records/read.py"]
NO_TRAINING = ["search/*.py", "engine/**/*.py", "report/**/*.py", "judging/*.py", "diagnosis/*.py"]
NO_TRAINING += ["records/*.py"]


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


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=name)
def test_a_room_imports_only_from_the_rooms_below_it(path: Path) -> None:
    here = room(path)
    assert here in ROOMS, f"give {here} its place in ROOMS"
    below = {*ROOMS[: ROOMS.index(here) + 1]} - MUST_NOT_KNOW.get(here, set())
    allowed = below | UPWARDS.get(name(path), set())
    for found in imports(path):
        parts = found.module.split(".")
        if parts[0] == "gansweep" and len(parts) > 1 and parts[1] in ROOMS:
            known = {parts[1], ".".join(parts[1:3])} & allowed
            assert known, f"{name(path)}:{found.line}: {here} must not import {found.module}"


def test_every_exception_is_needed() -> None:
    for file, allowed in UPWARDS.items():
        used = {found.module.removeprefix("gansweep.") for found in imports(SOURCE / file)}
        for one in allowed:
            assert any(f"{module}.".startswith(f"{one}.") for module in used), (file, one)


@pytest.mark.parametrize("path", files(["metrics/**/*.py"]), ids=name)
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
        ("gansweep.judging.leaderboard", HEAVY),
        ("gansweep.metrics.protocol", HEAVY),
        ("gansweep.metrics.scores.missing", HEAVY),
        ("gansweep.diagnosis.rules", HEAVY),
        ("gansweep.cli.diagnoses", HEAVY),
        ("gansweep.cli.shelf", HEAVY),
        ("gansweep.report.frames", HEAVY),
        ("gansweep.run.track", HEAVY),
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
        "from ..run import train\n"
        "if TYPE_CHECKING:\n    import optuna\n"
        "class A:\n    import a.b\n"
    )
    found = {(one.module, one.at_module_level) for one in read_imports(code, Path("sweep"))}
    assert found == {
        ("torch", True),
        ("wandb", False),
        ("gansweep.report", True),
        ("gansweep.run", True),
        ("optuna", False),
        ("a.b", True),
    }


def test_tests_can_be_collected_together() -> None:
    """Of files with one name pytest imports one only: two such files end a run of all tests."""
    files = [path for path in (TOP / "tests").rglob("*.py") if path.name != "conftest.py"]
    names = [path.name for path in files]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    assert [path.name for path in files if "\nfrom conftest import" in path.read_text()] == []
