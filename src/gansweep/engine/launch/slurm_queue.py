"""What SLURM knows of a sweep's jobs, by squeue, scancel and sinfo; nothing here needs sacct."""

import contextlib
import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gansweep.errors import UserError
from gansweep.records.plain_values import DamagedError, mapping, parsed
from gansweep.records.record import content_of, replace_atomically

TIMEOUT_SECONDS = 60.0  # for an answer of SLURM's controller
WAITING = ("PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD")
ELSEWHERE = "Give this command on a login node of the cluster, or use launcher=local here."
AWAY = "unable to contact|connection (refused|timed out)|socket timed out|zero bytes|munged?\\b"
FORMAT = "%F|%K|%T|%r|%N|%L|%k"
MEMORY = "workers/slurm.json"  # of the arrays that were submitted


class NoAnswerError(UserError):
    """SLURM's controller is away, or too busy."""


@dataclass(frozen=True)
class Job:
    """One worker's place in SLURM's queue."""

    id: str  # 1234_0: of the array, and of the task in it
    state: str  # PENDING, RUNNING, COMPLETING, ... as squeue has it
    reason: str  # why it waits; "" if it runs
    node: str  # "" while it waits
    time_left: str  # until its time limit, [D-]HH:MM:SS, or UNLIMITED

    @property
    def array(self) -> str:
        return self.id.partition("_")[0]

    @property
    def waits(self) -> bool:
        return self.state in WAITING


def queue(directory: Path) -> list[Job]:
    """The sweep's jobs that run or wait. Raises: UserError as `ask_slurm`."""
    words = ["squeue", "--noheader", "--array", f"--user={os.getuid()}", f"--format={FORMAT}"]
    ours, comment = set(remembered(directory)), comment_of(directory)
    jobs = []
    for line in ask_slurm(words).splitlines():
        array, task, state, reason, node, time_left, said = line.split("|", 6)
        # SLURM may use an id again, and some clusters keep no comment
        if said == comment or (said in ("", "(null)") and array in ours):
            waits = "" if reason == "None" else reason
            jobs.append(Job(f"{array}_{task}", state, waits, node, time_left))
    return jobs


def cancel(directory: Path) -> str:
    """Cancel the sweep's jobs; what was done, in a sentence. Running jobs save first, within
    SLURM's KillWait, 30 s by default. Raises: UserError as `ask_slurm`."""
    jobs = queue(directory)
    if not jobs:
        return "no job of this sweep runs or waits in SLURM"
    arrays = sorted({job.array for job in jobs})
    ask_slurm(["scancel", *arrays])
    waiting = sum(job.waits for job in jobs)
    running = len(jobs) - waiting
    return f"cancelled in SLURM: job {', '.join(arrays)} ({running} running, {waiting} waiting)"


def remembered(directory: Path) -> list[str]:
    """The ids of the job arrays that were submitted for this sweep, the oldest first."""
    return [entry["id"] for entry in _remembered(directory)]


def remember(directory: Path, array: str, command: Sequence[str]) -> None:
    """Keep an array's id, and the command that submitted it, in the sweep's directory."""
    known = [*_remembered(directory), {"id": array, "command": list(command)}]
    replace_atomically(directory / MEMORY, json.dumps(known, indent=1).encode())


def _remembered(directory: Path) -> list[dict[str, Any]]:
    """The entries whose ids are numbers: others must not reach a command."""
    try:
        known = parsed(content_of(directory / MEMORY))
    except (OSError, DamagedError):
        return []
    entries = map(mapping, known if isinstance(known, list) else [])
    return [e for e in entries if re.fullmatch(r"[0-9]+", str(e.get("id")))]


def comment_of(directory: Path) -> str:
    """The comment that identifies the jobs, even if the launcher was killed before it kept their
    id."""
    return f"gansweep {directory.resolve()}"


def nodes_of(arrays: Iterable[str]) -> list[str]:
    """The nodes that jobs of these arrays ran on, if SLURM still remembers the jobs."""
    found = set()
    for array in arrays:
        with contextlib.suppress(UserError):
            said = ask_slurm(["scontrol", "--oneliner", "show", "job", array])
            found |= set(re.findall(r"\bBatchHost=(\S+)", said))
    return sorted(found)


def partitions() -> str:
    """The cluster's partitions in a sentence, or "" if they are not known."""
    try:
        lines = ask_slurm(["sinfo", "--noheader", "--format=%R|%l|%D|%G"]).splitlines()
    except UserError:
        return ""
    found = []
    for line in dict.fromkeys(lines):
        name, limit, nodes, gres = line.strip().split("|")
        gpus = "no GPU" if gres == "(null)" else gres
        found.append(
            f"{name} ({nodes} node{'' if nodes == '1' else 's'}, {gpus}, time limit {limit})"
        )
    return f"Its partitions: {', '.join(found)}." if found else ""


def require(program: str) -> None:
    """Raises: UserError if that command of SLURM is missing."""
    if shutil.which(program) is None:
        raise UserError(f"There is no SLURM here: {program} is not on the PATH. {ELSEWHERE}")


def ask_slurm(words: list[str]) -> str:
    """The output of one of SLURM's commands.

    Raises: UserError if it is missing, fails (with its own words), or does not answer.
    """
    require(words[0])
    try:
        found = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        raise NoAnswerError(
            f"SLURM does not answer: {words[0]} has waited for {TIMEOUT_SECONDS:.0f} s. Try again "
            "when its controller is back; submitted jobs continue meanwhile."
        ) from None
    if found.returncode != 0:
        said = " ".join(line.strip() for line in found.stderr.splitlines() if line.strip())
        if re.search(AWAY, said, re.IGNORECASE):
            raise NoAnswerError(
                f"SLURM does not answer ({said}). Try again when its controller is up (`scontrol "
                "ping`); submitted jobs continue meanwhile."
            )
        if "configuration source" in said:
            raise UserError(
                f"There is no SLURM here: {words[0]} finds no slurm.conf, nor a server that has "
                f"one. {ELSEWHERE}"
            )
        raise UserError(said or f"{words[0]} failed with exit code {found.returncode}.")
    return found.stdout
