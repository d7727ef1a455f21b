"""The manifest of a Kubernetes Job whose pods are the workers of a sweep. Nothing is submitted."""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, TypedDict

import yaml

from gansweep.config.permissions import PACKAGES, VARIABLES
from gansweep.config.ranges import Name, Range, Workers
from gansweep.engine.lease.workers import JOB, JOB_FILE, POD_SAVE_SECONDS
from gansweep.engine.worker import EXIT_CANCELLED, EXIT_FAILED_ALIKE, EXIT_STOPPED
from gansweep.errors import UserError
from gansweep.search.settings import Settings

MOST_BY_DEFAULT = 8
LONGEST_NAME = 52  # with an index behind it, a pod's host name has at most 63 characters
# a label of every pod, since Kubernetes 1.27; of another `kubectl apply` it is another one
JOB_ID = "metadata.labels['batch.kubernetes.io/controller-uid']"
BY_SIGNAL = (130, 143)  # exit codes after SIGINT and SIGTERM
ANOTHER_TRY_IS_VAIN = (2, EXIT_FAILED_ALIKE, EXIT_CANCELLED)
ALWAYS_OURS = (
    "--dry-run",
    "launcher",
    "workers",
    "ui",
)  # words of the command that the Job replaces


class KubernetesOptions(TypedDict):
    """conf/launcher/kubernetes.yaml."""

    name: Literal["kubernetes"]
    workers: Workers
    image: Name | None
    claim: Name | None
    mount: Name
    namespace: Name | None
    gpus: Annotated[int, Range(0, 1_024)]
    cpus: Annotated[int, Range(1, 4_096)]
    memory: Name | None
    secret: Name | None


def worker_count(wanted: str | int, n_trials: int) -> int:
    """How many pods `workers=` asks for; auto: one per trial, but no more than MOST_BY_DEFAULT."""
    return min(n_trials, MOST_BY_DEFAULT) if wanted == "auto" else int(wanted)


def refuse_start() -> UserError:
    """The error for a command without --dry-run."""
    return UserError(
        "launcher=kubernetes starts nothing: gansweep does not talk to the cluster. Add --dry-run, "
        "which prints the manifest of a Job, and give that to kubectl: gansweep ... "
        "launcher=kubernetes --dry-run | kubectl apply -f -"
    )


def manifest(settings: Settings, words: Sequence[str], workers: int) -> str:
    """The Job in YAML: its first pod begins or continues the sweep, all work on it.

    words: of the command, behind `gansweep`: its verb and what follows.
    Raises: UserError for options that are missing or contradict each other.
    Source: kubernetes.io/docs/reference/kubernetes-api, batch/v1 Job.
    """
    options, name = settings.launcher, _dns_name(settings.name)
    _check(options, settings)
    labels = {"app.kubernetes.io/name": "gansweep", "app.kubernetes.io/instance": name}
    metadata = {"name": name, "namespace": options["namespace"], "labels": labels}
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {key: value for key, value in metadata.items() if value is not None},
        "spec": {
            "completionMode": "Indexed",
            "completions": workers,
            "parallelism": workers,
            "backoffLimit": 6,
            "podFailurePolicy": {"rules": _rules()},
            "template": {"metadata": {"labels": labels}, "spec": _pod(settings, words)},
        },
    }
    place = Path(settings.runs_dir) / settings.name
    head = (
        f"# The sweep {settings.name} by {workers} workers, in {place} on the volume.\n"
        f"#   kubectl apply -f FILE          start it; again, after `kubectl delete`: continue it\n"
        f"#   kubectl delete job {name}      save and stop\n"
    )
    text = yaml.dump(job, Dumper=_Dumper, sort_keys=False, width=1_000, allow_unicode=True)
    return head + str(text)


def _check(options: Mapping[str, Any], settings: Settings) -> None:
    wanted = {
        "image": "the container image that the pods run, with gansweep in it",
        "claim": "the PersistentVolumeClaim, with the access mode ReadWriteMany, that holds the "
        "sweep's directory",
    }
    for key, what in wanted.items():
        if options[key] is None:
            raise UserError(f"launcher.{key}= is missing. It names {what}.")
    mount = PurePosixPath(str(options["mount"]))
    if not mount.is_absolute():
        raise UserError(f"launcher.mount={mount} is no absolute path. Use launcher.mount=/shared.")
    if mount not in (place := mount / settings.runs_dir).parents or ".." in place.parts:
        raise UserError(
            f"runs_dir={settings.runs_dir} is not on the volume, which the pods mount at {mount}. "
            f"Use runs_dir={mount}/runs, or another launcher.mount=."
        )


def _rules() -> list[dict[str, Any]]:
    """Which ends of a pod are followed by another try."""

    def on(codes: Sequence[int]) -> dict[str, Any]:
        return {"containerName": "worker", "operator": "In", "values": sorted(codes)}

    return [
        # it saved, and continues in another pod, however often
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "Ignore", "onExitCodes": on([EXIT_STOPPED, *BY_SIGNAL])},
        {"action": "FailJob", "onExitCodes": on(ANOTHER_TRY_IS_VAIN)},
    ]


def _pod(settings: Settings, words: Sequence[str]) -> dict[str, Any]:
    options = settings.launcher
    limits: dict[str, Any] = {"cpu": options["cpus"], "memory": options["memory"]}
    if options["gpus"] and settings.uses_gpus:
        limits["nvidia.com/gpu"] = options["gpus"]
    limits = {key: value for key, value in limits.items() if value is not None}
    volumes = {"shared": {"persistentVolumeClaim": {"claimName": str(options["claim"])}}}
    places = {"shared": str(options["mount"])}
    if options["gpus"] > 1:  # the processes of a data-parallel trial exchange gradients through it
        volumes["memory"] = {"emptyDir": {"medium": "Memory"}}
        places["memory"] = "/dev/shm"
    container = {
        "name": "worker",
        "image": str(options["image"]),
        "command": ["sh", "-c", _script(settings, words)],
        "workingDir": str(options["mount"]),
        "env": _variables(options["cpus"]),
        "envFrom": [{"secretRef": {"name": str(options["secret"])}}],
        "resources": {"limits": limits},
        "volumeMounts": [{"name": name, "mountPath": place} for name, place in places.items()],
    }
    if options["secret"] is None:
        del container["envFrom"]
    return {
        "restartPolicy": "Never",  # as podFailurePolicy asks
        "terminationGracePeriodSeconds": POD_SAVE_SECONDS,
        "containers": [container],
        "volumes": [{"name": name, **source} for name, source in volumes.items()],
    }


def _variables(threads: int) -> list[dict[str, Any]]:
    """Those of a pod; what this command allows its trials is in them, for pods that only work."""
    allowed = {name: os.environ.get(name) for name in (PACKAGES, VARIABLES)}
    values = {"OMP_NUM_THREADS": str(threads), **allowed}
    known = [{"name": name, "value": value} for name, value in values.items() if value]
    return [*known, {"name": JOB, "valueFrom": {"fieldRef": {"fieldPath": JOB_ID}}}]


def _script(settings: Settings, words: Sequence[str]) -> str:
    """What a pod runs. The first one of a Job begins or continues the sweep; the others, and a pod
    in the place of the first, work on it from then on. The first of a table runs the table's
    command each time, which gathers the results when all has ended."""
    verb, *rest = words
    kept = [word for word in rest if re.split(r"[=.]", word.lstrip("+"))[0] not in ALWAYS_OURS]
    ours = ["launcher=local", "workers=1"]
    if verb == "sweep":
        ours.append(f"name={settings.name}")
    if settings.launcher["gpus"] > 1:
        ours.append(f"launcher.gpus_per_trial={settings.launcher['gpus']}")
    kept = [word for word in kept if not word.startswith("name=")]
    directory = shlex.quote(str(Path(settings.runs_dir) / settings.name))
    first = '[ "$JOB_COMPLETION_INDEX" = 0 ]' + (" && ! is_begun" if verb == "sweep" else "")
    return (
        f': "${{{JOB}:?is empty, as before Kubernetes 1.27}}"\n'
        f'is_begun() {{ [ "$(cat {directory}/{JOB_FILE} 2>/dev/null)" = "${JOB}" ]; }}\n'
        f"if {first}; then\n"
        f"  exec {shlex.join(['gansweep', verb, *kept, *ours])}\n"
        f"fi\n"
        f"until is_begun; do sleep 5; done\n"
        f"[ -e {directory}/sweep.yaml ] || exit 0  # every run was known: there was none to begin\n"
        f"exec gansweep worker {directory}\n"
    )


def _dns_name(name: str) -> str:
    """The Job's name, from the sweep's: lower-case letters, digits and single hyphens."""
    words = re.sub(r"[^a-z0-9]+", "-", f"gansweep-{name}".lower())
    return words[:LONGEST_NAME].strip("-")


class _Dumper(yaml.SafeDumper):
    """Repeats what occurs twice, and writes text of several lines as it stands."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
