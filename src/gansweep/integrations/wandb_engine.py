"""`engine=wandb`: W&B's server searches, and its agents on this machine run the trials."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from gansweep.config.wandb_login import logged_in_to_wandb
from gansweep.engine.failures import end_of
from gansweep.engine.launch.local import THREAD_VARIABLES, cores
from gansweep.engine.lease.gpus import (
    VISIBLE,
    GpuShare,
    HeldGpus,
    holders_in_words,
    take_gpus,
    visible_gpus,
)
from gansweep.errors import UserError
from gansweep.integrations.wandb_export import SweepFile, export, full_name
from gansweep.metrics.protocol import DIRECTIONS
from gansweep.records.notation import plural
from gansweep.records.record import disk_error, replace_atomically
from gansweep.search.settings import Settings
from gansweep.search.space import Space
from gansweep.signals import StopRequests

AGENT = (sys.executable, "-m", "wandb", "agent")
SECOND_INTERRUPT_SECONDS = 1.0  # after one Ctrl-C an agent waits for its run; a second stops it
REGISTERED = "wandb_sweeps.json"


def run_on_wandb(
    settings: Settings,
    space: Space,
    compose: Callable[[list[str]], Any],
    workers: int,
    dry_run: bool,
) -> None:
    """Write the W&B sweep of these settings; unless `dry_run`, register it and work on it.

    compose: overrides -> configuration of a run.
    Raises: UserError where W&B cannot express the sweep, or cannot be reached;
        KeyboardInterrupt once all agents have stopped, where a signal asked for it.
    """
    if not dry_run:
        _refuse_offline()
    tracker = OmegaConf.to_container(compose(settings.overrides).tracker, resolve=True)
    assert isinstance(tracker, dict)
    files = export(
        settings,
        space,
        {str(k): v for k, v in tracker.items()},
        lambda overrides: _metric(settings, compose(overrides)),
    )
    directory = Path(settings.runs_dir) / settings.name
    try:
        _write(files, directory)
    except OSError as error:
        raise (disk_error(error, directory) or error) from None
    if dry_run:
        print("\nRegister it, then start as many agents as you like, wherever gansweep is:")
        commands = [file.commands(directory) for file in files]
        lines = [*(register for register, _ in commands), commands[0][1]]
        print(textwrap.indent("\n".join(lines), "  "))
        print("ENTITY and SWEEP_ID are in the line that `wandb sweep` prints.")
        return
    paths = [_registered(file, directory) for file in files]
    share = GpuShare.of(settings.launcher)
    agents = Agents(directory, paths, workers, share, settings.uses_gpus, AGENT)
    if not agents.run():
        print("Stopped. The same command continues the sweep.")
        raise KeyboardInterrupt
    print(f"next: gansweep report {shlex.quote(str(directory))}")


def _refuse_offline() -> None:
    mode = os.environ.get("WANDB_MODE", "online")
    if mode != "online" or not logged_in_to_wandb():
        why = "you are not logged in" if mode == "online" else f"WANDB_MODE={mode}"
        raise UserError(
            f"engine=wandb needs W&B's server, and {why}. Run 'wandb login' (and unset WANDB_MODE) "
            "first, or only write the sweep's file with --dry-run."
        )


def _metric(settings: Settings, cfg: Any) -> str:
    """The full name of the score to optimise, for which the runs' data and weights are prepared."""
    objective = settings.objectives[0]
    if objective.metric != "auto" and objective.metric not in DIRECTIONS:
        return objective.metric
    from gansweep.run.scores import score_names

    return full_name(objective, *score_names(cfg))


def _write(files: Sequence[SweepFile], directory: Path) -> None:
    """Write the files and print what they hold and what they leave out."""
    if (directory / "sweep.yaml").exists():
        raise UserError(
            f"{directory} holds a sweep of our own engine. Choose another name= for engine=wandb."
        )
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.glob("wandb_sweep*.yaml"):
        old.unlink()
    for file in files:
        content = file.content
        metric = f"{content['metric']['goal']} {content['metric']['name']}"
        runs = plural(content["run_cap"], "run")
        print(f"{content['name']}: {content['method']}, {runs}, {metric}")
        print(f"  wrote {file.write(directory)}")
    if files[0].notes:
        print("\nWhat W&B does differently:")
    for note in files[0].notes:
        print(textwrap.fill(note, 80, initial_indent="  - ", subsequent_indent="    "))


def _registered(file: SweepFile, directory: Path) -> str:
    """ENTITY/PROJECT/ID of the file's sweep; registers it unless an earlier command has."""
    known_path = directory / REGISTERED
    known = json.loads(known_path.read_bytes()) if known_path.exists() else {}
    content = hashlib.sha256(json.dumps(file.content).encode()).hexdigest()
    found = known.get(file.file_name, {})
    if found.get("content") == content:
        return str(found["path"])
    import wandb

    entity, project = file.content.get("entity"), file.content["project"]
    try:
        sweep_id = wandb.sweep(file.content, entity=entity, project=project)
    except (wandb.Error, OSError) as error:
        raise UserError(
            f"W&B refused the sweep: {' '.join(str(error).split())} Its file is "
            f"{directory / file.file_name}; try again, or see --dry-run."
        ) from error
    path = "/".join(filter(None, [entity, project, sweep_id]))
    known[file.file_name] = {"path": path, "content": content}
    replace_atomically(known_path, json.dumps(known, indent=2).encode())
    return path


@dataclass
class AgentSlot:
    """One agent: the sweeps that it has still to work on, its GPUs, its current process."""

    log: Path
    left: list[str]
    held: HeldGpus | None
    process: subprocess.Popen[bytes] | None = None


class Agents:
    """W&B's agents on this machine; each works on one sweep after the other.

    sweeps: their paths, as `wandb agent` takes them.   command: what runs an agent.
    Raises: UserError where all GPUs are taken.
    """

    def __init__(
        self,
        directory: Path,
        sweeps: Sequence[str],
        workers: int,
        share: GpuShare,
        uses_gpus: bool,
        command: Sequence[str],
    ) -> None:
        self.directory, self.command = directory, list(command)
        self.threads = max(1, cores() // workers)
        self.stops = StopRequests()
        self._second_at: float | None = None
        self._failed: list[str] = []
        logs = directory / "workers"
        logs.mkdir(exist_ok=True)
        gpus = visible_gpus() if uses_gpus else []
        self.slots: list[AgentSlot] = []
        for i in range(workers):
            held = take_gpus(gpus, share, directory) if gpus else None
            if gpus and held is None:
                break
            turned = [*sweeps[i % len(sweeps) :], *sweeps[: i % len(sweeps)]]
            self.slots.append(AgentSlot(logs / f"agent{i}.log", turned, held))
        if not self.slots:
            raise UserError(f"All GPUs are taken: {holders_in_words(gpus)}. Wait, or stop those.")

    def run(self, tick: Callable[[], None] = lambda: None, every_seconds: float = 0.5) -> bool:
        """Run until the sweeps are done: True; or until a signal stops them: False.

        The first SIGINT or SIGTERM lets the runs save their checkpoints, the second kills them.
        Raises: UserError where an agent failed, with the last line of its log.
        """
        agents = plural(len(self.slots), "agent")
        print(f"{agents} at work, with logs in {self.directory / 'workers'}")
        with self.stops:
            try:
                while self._attend():
                    tick()
                    time.sleep(every_seconds)
            finally:
                for slot in self.slots:
                    if slot.process is not None:
                        slot.process.kill()
                        slot.process.wait()
                    if slot.held is not None:
                        slot.held.release()
        if self._failed and not self.stops:
            raise UserError("\n".join(self._failed))
        return not self.stops

    def _attend(self) -> bool:
        """Check every agent once; whether any still runs."""
        self._pass_on()
        for slot in self.slots:
            if slot.process is not None and (code := slot.process.poll()) is not None:
                slot.process = None
                if code:
                    said = (end_of(slot.log, 1) or ["its log is empty"])[-1]
                    self._failed.append(f"A W&B agent failed: {said} (its log: {slot.log})")
                    slot.left.clear()
            if slot.process is None and slot.left and not self.stops:
                self._start(slot, slot.left.pop(0))
        return any(slot.process is not None for slot in self.slots)

    def _pass_on(self) -> None:
        if stops := self.stops.new():
            self._interrupt()
            self._second_at = time.monotonic() + SECOND_INTERRUPT_SECONDS if stops == 1 else None
        if self._second_at is not None and time.monotonic() >= self._second_at:
            self._second_at = None
            self._interrupt()

    def _interrupt(self) -> None:
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.send_signal(signal.SIGINT)

    def _start(self, slot: AgentSlot, sweep: str) -> None:
        environment = dict(os.environ)
        environment.update(dict.fromkeys(THREAD_VARIABLES, str(self.threads)))
        environment["WANDB_DIR"] = str(self.directory.resolve())
        # the command of the sweep is `gansweep`, of this installation
        environment["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ["PATH"]]
        )
        if slot.held is not None:
            environment[VISIBLE] = ",".join(slot.held.names)
        with open(slot.log, "ab") as log:
            slot.process = subprocess.Popen(
                [*self.command, sweep],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # so that Ctrl-C reaches us alone; we pass it on
            )
