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
from gansweep.config import permissions
from gansweep.engine.failures import STOPPED
from gansweep.engine.lease import workers
from gansweep.engine.lease.workers import CANCELLED, JOB_FILE
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
    "env": [{"!name": str, "value": str, "valueFrom": {"fieldRef": {"!fieldPath": str}}}],
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


class Pods:
    """The script of a manifest in a shell, with a gansweep that says what it is asked, and a sleep
    in which the first pod begins or continues the sweep."""

    def __init__(self, script: str, folder: Path) -> None:
        self.script, self.folder = script, folder
        begins = 'mkdir -p runs/s; >runs/s/sweep.yaml; printf %s "$GANSWEEP_JOB" >runs/s/job'
        programs = {"gansweep": 'printf "%s|" "$@"', "sleep": f"{begins}; printf slept:"}
        (folder / "bin").mkdir()
        for name, does in programs.items():
            (folder / "bin" / name).write_text(f"#!/bin/sh\n{does}\n")
            (folder / "bin" / name).chmod(0o755)

    def end_of(self, index: int, job: str) -> subprocess.CompletedProcess[str]:
        path = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        variables = {**path, "JOB_COMPLETION_INDEX": str(index), workers.JOB: job}
        asked = ["sh", "-c", self.script]
        return subprocess.run(
            asked, cwd=self.folder, env=variables, capture_output=True, text=True, check=False
        )

    def said(self, index: int, job: str = "1a") -> str:
        done = self.end_of(index, job)
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_first_pod_of_each_job_begins_or_continues_the_sweep_and_the_others_wait_for_it(
    command: Command, tmp_path: Path
) -> None:
    pods = Pods(script_of(job_of(command, "name=s", "extra_packages=[my_nets]")), tmp_path)
    begun = pods.said(0)
    assert begun.startswith("sweep|sweep=random|model=gan|data=ring|model.batch_size=64,128|")
    assert begun.endswith("extra_packages=[my_nets]|launcher=local|workers=1|name=s|")
    worker = "worker|runs/s|"
    assert pods.said(1) == f"slept:{worker}", "once the first has made the sweep"
    assert pods.said(0) == worker, "in the place of the first"
    assert pods.said(0, "2b") == begun, "which may have been stopped, cancelled or shorter"
    assert pods.said(1, "2b") == f"slept:{worker}"


def test_cluster_that_does_not_number_its_jobs_is_no_riddle(
    command: Command, tmp_path: Path
) -> None:
    done = Pods(script_of(job_of(command, "name=s")), tmp_path).end_of(1, "")
    assert done.returncode == 2 and "as before Kubernetes 1.27" in done.stderr


def test_all_pods_may_do_what_the_command_allows(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIMIT", "00:01:00:00")
    monkeypatch.setenv(permissions.PACKAGES, "")
    words = ("+trainer.max_time=${oc.env:LIMIT}", "extra_packages=[my_nets]")
    job = job_of(command, *words)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    values = {one["name"]: one.get("value") for one in container["env"]}
    assert values[permissions.VARIABLES] == "LIMIT"
    assert values[permissions.PACKAGES] == "my_nets"


def test_other_pods_begin_when_nothing_stops_or_cancels_the_sweep_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = made(words_of_a_sweep(tmp_path))
    assert not (directory / JOB_FILE).exists(), "outside of a pod"
    (directory / CANCELLED).touch()
    (directory / STOPPED).touch()
    monkeypatch.setenv(workers.JOB, "1a")
    tell, left, trials = workers.tell_job, [], []

    def noting(place: Path) -> None:
        left.extend(name for name in (CANCELLED, STOPPED) if (place / name).exists())
        trials.append(SweepStudy(place).n_trials)
        tell(place)

    monkeypatch.setattr(workers, "tell_job", noting)
    made(words_of_a_sweep(tmp_path, "n_trials=9"))
    assert not left and trials == [9] and (directory / JOB_FILE).read_text() == "1a"


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
