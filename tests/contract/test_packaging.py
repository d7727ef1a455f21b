"""What is shipped: the wheel's files, the pins, and that each dependency has its reason."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version
from places import TOP

ROOT = TOP
PYTHONS = ("3.10.0", "3.11.0", "3.12.0", "3.13.0")
# A line of pyproject.toml such as:  "torch>=2.6",   # models/adversarial.py: networks
DEPENDENCY = re.compile(r'^    "(?P<requirement>[^"]+)",(?:\s+# (?P<reason>.*))?$', re.MULTILINE)
EXTRA = re.compile(r'^\w+ = \["(?P<requirement>[^"]+)"\](?:\s+# (?P<reason>.*))?$', re.MULTILINE)


def dependencies() -> list[tuple[Requirement, str]]:
    """Each requirement of pyproject.toml, the extras' too, with the comment beside it."""
    text = (ROOT / "pyproject.toml").read_text()
    text = text[text.index("\ndependencies = [") : text.index("[project.scripts]")]
    found = [*DEPENDENCY.finditer(text), *EXTRA.finditer(text)]
    return [(Requirement(one["requirement"]), one["reason"] or "") for one in found]


def pins(python: str) -> dict[str, Version]:
    """Name -> the version of constraints.txt, on Linux under this Python."""
    chosen = {}
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "os_name": "posix",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        pin, _, marker = line.partition(" ; ")
        if pin.startswith("#") or (marker and not Marker(marker).evaluate(environment)):
            continue
        name, version = pin.split("==")
        assert name not in chosen, f"{name} is pinned twice for Python {python}"
        chosen[canonicalize_name(name)] = Version(version)
    return chosen


def files_named_in(reason: str) -> list[str]:
    return re.findall(r"[\w./-]*(?:\.(?:py|yaml)|scripts/\w+|\.ci/run)", reason)


def test_pyproject_is_read_whole() -> None:
    names = {requirement.name for requirement, _ in dependencies()}
    assert {"torch", "optuna", "tensorboard", "pytest"} <= names


@pytest.mark.parametrize(
    ("requirement", "reason"), dependencies(), ids=[one.name for one, _ in dependencies()]
)
def test_a_dependency_names_the_file_that_needs_it(requirement: Requirement, reason: str) -> None:
    files = files_named_in(reason)
    assert files, f"say beside {requirement} which file needs it, and for what"
    for file in files:
        assert (ROOT / file).exists() or (ROOT / "src/gansweep" / file).exists(), file


@pytest.mark.parametrize("python", PYTHONS)
def test_every_dependency_is_pinned_within_its_range(python: str) -> None:
    pinned = pins(python)
    for requirement, _ in dependencies():
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} has no pin: refresh constraints.txt"
        assert version in requirement.specifier, f"{version} is not {requirement}"


def test_every_dependency_has_a_lower_bound() -> None:
    for requirement, _ in dependencies():
        assert [one.operator for one in requirement.specifier] == [">="], requirement


def test_pins_name_no_place_of_one_machine() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"file:|://|find-links|index-url|\+cpu|\+cu\d", text)


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    """A home or work directory of whoever wrote a line works nowhere else."""
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if tracked.returncode:
        pytest.skip("not a git checkout")
    forbidden = re.compile(rb"/(?:root|home/\w+|work)/[\w.]")
    for name in filter(None, tracked.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix != ".png":
            found = forbidden.search(path.read_bytes())
            assert found is None, f"{name} names {found.group().decode()}"


@pytest.mark.slow
def test_wheel_holds_the_package_its_configurations_and_templates(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"gansweep/{path.relative_to(ROOT)}" for path in (ROOT / "conf").rglob("*.yaml")}
    package = ROOT / "src" / "gansweep"
    wanted |= {
        str(path.relative_to(package.parent))
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "gansweep/conf/model/dcgan.yaml" in wanted
    assert wanted <= held, f"missing: {sorted(wanted - held)}"
    strangers = {name for name in held if not name.startswith(("gansweep/", "gansweep-"))}
    assert not strangers


def test_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text and "Version 2.0, January 2004" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text()


def test_every_package_that_is_imported_is_declared() -> None:
    """One that another dependency happens to bring would be gone with that one."""
    provided = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement, _ in dependencies()}
    wanted: dict[str, str] = {}
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            wanted |= {name.split(".")[0]: str(path) for name in names}
    foreign = wanted.keys() - sys.stdlib_module_names - {"gansweep"}
    assert {"torch", "optuna", "yaml"} <= foreign
    missing = {
        name: wanted[name]
        for name in foreign
        if not {canonicalize_name(one) for one in provided.get(name, [name])} & declared
    }
    assert not missing
