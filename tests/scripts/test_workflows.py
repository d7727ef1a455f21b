"""The workflows run only scripts that exist, and a release needs no password."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from places import TOP

WORKFLOWS = sorted((TOP / ".github" / "workflows").glob("*.yml"))


def jobs(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"name", "jobs"} <= content.keys() and content["permissions"] == {"contents": "read"}
    return dict(content["jobs"])


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_scripts_that_a_workflow_runs_are_there(path: Path) -> None:
    runs = [step.get("run", "") for job in jobs(path).values() for step in job["steps"]]
    named = {word for run in runs for word in re.findall(r"(?:scripts|src|\.ci)/[\w./-]+", run)}
    assert {word for word in named if not (TOP / word).exists()} == set()
    assert all("timeout-minutes" in job for job in jobs(path).values())


def test_a_release_is_published_by_trust_after_it_was_tried() -> None:
    found = jobs(TOP / ".github" / "workflows" / "release.yml")
    publish = found["publish"]
    assert publish["needs"] == "build" and publish["permissions"] == {"id-token": "write"}
    assert publish["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")
    steps = " ".join(step.get("run", "") for step in found["build"]["steps"])
    assert "twine check" in steps and 'gansweep" train' in steps
    assert "secrets." not in (TOP / ".github" / "workflows" / "release.yml").read_text()
