"""launcher=kubernetes: the manifest that --dry-run prints, and what it refuses."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import Finished
from sweep_processes import made, words_of_a_sweep

from gansweep.cli.sweep_run import launch
from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.search.space import Space

Command = Callable[..., Finished]
GIVEN = ("launcher=kubernetes", "launcher.image=registry/gansweep:1", "launcher.claim=runs")
TRIALS = ("sweep=random", "model=gan", "data=ring", "model.batch_size=64,128", "n_trials=4")
NAME = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"

# The fields of batch/v1 Job that we may write, with their types: an object, a list of objects
# ([...]), or a plain value. "!" marks what the server insists on.
SELECTED = {"!containerName": str, "!operator": str, "!values": [int]}
CONTAINER = {
    "!name": str,
    "!image": str,
    "command": [str],
    "workingDir": str,
    "env": [{"!name": str, "!value": str}],
    "envFrom": [{"secretRef": {"!name": str}}],
    "resources": {"limits": {"cpu": int, "memory": str, "nvidia.com/gpu": int}},
    "volumeMounts": [{"!name": str, "!mountPath": str}],
}
POD = {
    "!restartPolicy": str,
    "terminationGracePeriodSeconds": int,
    "!containers": [CONTAINER],
    "volumes": [
        {
            "!name": str,
            "persistentVolumeClaim": {"!claimName": str},
            "emptyDir": {"medium": str},
        }
    ],
}
LABELS = {"app.kubernetes.io/name": str, "app.kubernetes.io/instance": str}
RULE = {
    "!action": str,
    "onExitCodes": SELECTED,
    "onPodConditions": [{"!type": str, "!status": str}],
}
JOB = {
    "!apiVersion": str,
    "!kind": str,
    "!metadata": {"!name": str, "namespace": str, "labels": LABELS},
    "!spec": {
        "!completionMode": str,
        "!completions": int,
        "parallelism": int,
        "backoffLimit": int,
        "podFailurePolicy": {"!rules": [RULE]},
        "!template": {"metadata": {"labels": LABELS}, "!spec": POD},
    },
}


def assert_fits(value: Any, shape: Any, place: str = "") -> None:
    if isinstance(shape, Mapping):
        assert isinstance(value, dict), place
        known = {key.lstrip("!"): inner for key, inner in shape.items()}
        assert value.keys() <= known.keys(), place
        assert {key[1:] for key in shape if key[0] == "!"} <= value.keys(), place
        for key, inner in value.items():
            assert_fits(inner, known[key], f"{place}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list) and value, place
        for inner in value:
            assert_fits(inner, shape[0], place)
    else:
        assert type(value) is shape, place


def job_of(command: Command, *words: str) -> dict[str, Any]:
    done = command("sweep", *TRIALS, *GIVEN, *words, "--dry-run")
    assert done.code == 0, done.err
    job = yaml.safe_load(done.out)
    assert_fits(job, JOB)
    return dict(job)


def script_of(job: Mapping[str, Any]) -> str:
    container = job["spec"]["template"]["spec"]["containers"][0]
    assert container["command"][:2] == ["sh", "-c"]
    return str(container["command"][2])


def test_manifest_is_an_indexed_job_that_mounts_the_volume(
    command: Command, tmp_path: Path
) -> None:
    job = job_of(command, "name=First_try", "launcher.memory=16Gi", "launcher.secret=wandb")
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"]["name"] == "gansweep-first-try"
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == 4
    (container,) = pod["containers"]
    assert container["image"] == "registry/gansweep:1"
    assert container["workingDir"] == "/shared"
    assert container["resources"]["limits"] == {"cpu": 4, "memory": "16Gi", "nvidia.com/gpu": 1}
    assert container["envFrom"] == [{"secretRef": {"name": "wandb"}}]
    assert pod["volumes"] == [{"name": "shared", "persistentVolumeClaim": {"claimName": "runs"}}]
    assert container["volumeMounts"] == [{"name": "shared", "mountPath": "/shared"}]
    assert pod["restartPolicy"] == "Never", "podFailurePolicy asks for it"
    assert not list(tmp_path.glob("runs*"))


def test_ends_of_a_worker_that_another_try_does_not_mend_end_the_job(command: Command) -> None:
    job = job_of(command)
    rules = job["spec"]["podFailurePolicy"]["rules"]
    codes = {r["action"]: r["onExitCodes"]["values"] for r in rules if "onExitCodes" in r}
    assert codes == {"FailJob": [2, 3, 4], "Ignore": [75, 130, 143]}
    names = {r["onExitCodes"]["containerName"] for r in rules if "onExitCodes" in r}
    assert names == {c["name"] for c in job["spec"]["template"]["spec"]["containers"]}


def test_pods_of_a_sweep_without_gpus_ask_for_none(command: Command) -> None:
    job = job_of(command, "trainer=cpu", "workers=2", "launcher.namespace=lab")
    assert job["metadata"]["namespace"] == "lab" and job["spec"]["completions"] == 2
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"] == {"cpu": 4}


def test_trial_on_several_gpus_has_their_shared_memory(command: Command) -> None:
    job = job_of(command, "launcher.gpus=2")
    pod = job["spec"]["template"]["spec"]
    assert {"name": "memory", "emptyDir": {"medium": "Memory"}} in pod["volumes"]
    assert {"name": "memory", "mountPath": "/dev/shm"} in pod["containers"][0]["volumeMounts"]
    assert "launcher.gpus_per_trial=2" in script_of(job)


def test_long_names_stay_names_of_hosts(command: Command) -> None:
    job = job_of(command, f"name={'Much/' + 'longer_' * 20}x", "workers=400")
    assert re.fullmatch(NAME, f"{job['metadata']['name']}-399")


def test_first_pod_begins_the_sweep_and_the_others_wait_for_it(
    command: Command, tmp_path: Path
) -> None:
    """The script in a shell, with a gansweep that says what it is asked."""
    script = script_of(job_of(command, "name=s", "workers=2", "extra_packages=[my_nets]"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gansweep").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    (tmp_path / "bin" / "sleep").write_text("#!/bin/sh\nmkdir -p runs/s && >runs/s/sweep.yaml\n")
    for program in (tmp_path / "bin").iterdir():
        program.chmod(0o755)

    def pod(index: int) -> str:
        path = {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        variables = {**path, "JOB_COMPLETION_INDEX": str(index)}
        asked = ["sh", "-c", script]
        done = subprocess.run(asked, cwd=tmp_path, env=variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    begun = pod(0)
    assert begun.startswith("sweep|sweep=random|model=gan|data=ring|model.batch_size=64,128|")
    assert begun.endswith("extra_packages=[my_nets]|launcher=local|workers=1|name=s|")
    worker = "worker|runs/s|extra_packages=[my_nets]|"
    assert pod(1) == worker, "once the first has made the sweep"
    assert pod(0) == worker, "in the place of the first"
    (tmp_path / "runs" / "s" / "cancelled").touch()
    assert pod(0) == begun and pod(1) == worker


def test_verb_that_prints_no_manifest_starts_nothing(tmp_path: Path) -> None:
    settings = SweepStudy(made(words_of_a_sweep(tmp_path))).settings
    settings.launcher, settings.name = {"name": "kubernetes"}, "other"
    with pytest.raises(UserError, match="starts nothing"):
        launch(settings, Space([]), 2)
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["s"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*GIVEN], "starts nothing.*Add --dry-run.*kubectl apply -f -"),
        (["launcher=kubernetes", "--dry-run"], "launcher.image= is missing"),
        ([*GIVEN[:2], "--dry-run"], "launcher.claim= is missing.*ReadWriteMany"),
        ([*GIVEN, "launcher.mount=shared", "--dry-run"], "no absolute path. Use launcher.mount=/"),
        ([*GIVEN, "runs_dir=/home/me", "--dry-run"], "is not on the volume.*runs_dir=/shared/runs"),
        ([*GIVEN, "runs_dir=../runs", "--dry-run"], "is not on the volume"),
        ([*GIVEN, "ui=true", "--dry-run"], "no sweep runs that ui= could show"),
        ([*GIVEN, "engine=wandb", "--dry-run"], "launcher=kubernetes starts workers of our own"),
        (["--dry-run"], "add launcher=kubernetes"),
    ],
)
def test_what_has_no_manifest_is_refused(command: Command, words: list[str], message: str) -> None:
    done = command("sweep", *TRIALS, *words)
    assert done.code == 2 and not done.out
    assert re.search(message, " ".join(done.err.split()))
