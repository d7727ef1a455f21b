"""`gansweep.track`: the record of a run whose training loop is somebody else's.

with gansweep.track({"lr": 2e-4}, model="mine", data="digits", seed=0) as run:
    for kimg in ...:
        run.log(kimg, **{"loss/discriminator": d, "loss/generator": g})
        run.score(kimg, "fid_1k", value, score="fid", direction="minimize", n_fake=1000)
        run.samples(kimg, images)
"""

from __future__ import annotations

import contextlib
import math
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any

import yaml

from gansweep.callbacks.journal import Journal
from gansweep.config.directory_names import checked_name
from gansweep.errors import UserError
from gansweep.metrics.protocol import Score, comparable
from gansweep.records.find import existing_run
from gansweep.records.plain_values import DamagedError, mapping
from gansweep.records.record import STATUSES, TRACKED, RunRecord, claim_new, refuse_taken
from gansweep.records.stored_yaml import yaml_mapping
from gansweep.records.writer import Claim, SupersededError
from gansweep.run.loop_values import (
    images_of,
    number_of,
    plain_of,
    refuse_others,
    tell_of_unscored,
)
from gansweep.run.origin import hardware, now, origin
from gansweep.signals import stop_signals

OURS = ("name", "group", "runs_dir", "resume", "tracker", "callbacks", "choices", TRACKED)
COLUMNS = ("kimg", "seconds", "protocol", "note", "finding", "weights_from")  # not for values
MOST_SAMPLES = 4096


def track(
    config: Mapping[str, Any] | None = None,
    *,
    model: str | None = None,
    data: str | None = None,
    seed: int | None = None,
    budget_kimg: float | None = None,
    objective: str | None = None,
    name: str | None = None,
    group: str | None = None,
    runs_dir: str | Path = "runs",
    resume: str | Path | None = None,
    kimg: float | None = None,
) -> Tracked:
    """A context in which a training loop writes a run's record; see the methods of `Tracked`.

    config: the settings, nested as wanted; put no secret there.
    model, data: names for tables, by default "own"; runs of one model whose settings are equal are
        seeds of one configuration.
    budget_kimg: thousands of images that the loop will train on, if it is known.
    objective: the name of the score that judges the run; by default the first with a direction.
    name, group: the directory is RUNS_DIR/GROUP/NAME; by default the data and MODEL-001, ...
    resume: the directory of a tracked run to continue; other settings and names are refused, and
        runs_dir is not read.
    kimg: with resume, where the loop's own checkpoint continues: later rows and samples go.
    Raises: UserError at the start of the context: a name that is taken, a run that another process
        writes, a run that is not a tracked one.
    """
    settings = plain_of(config or {})
    clash = next((key for key in OURS if key in settings), None)
    if clash is not None:
        raise UserError(f"The setting '{clash}' has a meaning of its own in a record: rename it.")
    made = {
        "budget_kimg": settings.pop("budget_kimg", budget_kimg),
        "seed": settings.pop("seed", seed),
    }
    names = {"model": model, "data": data}
    for key in names:
        if isinstance(settings.get(key), str):
            names[key] = settings.pop(key)
    if resume is None:
        names = {key: "own" if value is None else value for key, value in names.items()}
    content = {**made, **settings, "choices": names, TRACKED: Path(sys.argv[0]).name or "python"}
    if resume is None and kimg is not None:
        raise UserError("kimg= says where resume= continues: give both, or none.")
    place = (runs_dir, group, name)
    return Tracked(content, place, objective, None if resume is None else Path(resume), kimg)


class Tracked:
    """A run that is being recorded: log, score and samples add to it, end says how it ended.

    Without `end` the run is finished where the context ends, interrupted after Ctrl-C, SIGTERM and
    SystemExit, and failed after another exception, whose traceback is kept. Checkpoints are the
    loop's own.

    directory: of the record.   kimg: of the newest row; when resumed, where it continues.
    """

    def __init__(
        self,
        config: dict[str, Any],
        place: tuple[str | Path, str | None, str | None],
        objective: str | None,
        resume: Path | None,
        kimg: float | None,
    ) -> None:
        self._config, self._place, self._resume = config, place, resume
        self._journal = Journal(None, None)
        self._journal.objective = objective
        self._started = now()
        self._ending: tuple[str, str] | None = None
        self._handlers: dict[signal.Signals, Any] = {}
        self._from = kimg
        self._state = "not begun"  # then "open", and "over" when the context has ended
        self.kimg = 0.0

    def __enter__(self) -> Tracked:
        with self._explained(Path(self._place[0])):
            self._record, self._claim = self._claimed()
            try:
                self._write_start()
            except BaseException:
                self._claim.release()
                raise
        self._catch_signals()
        self._state = "open"
        return self

    def _claimed(self) -> tuple[RunRecord, Claim]:
        if self._resume is None:
            names, (runs_dir, group, name) = self._config["choices"], self._place
            group = group or names["data"]
            stem = checked_name("model", names["model"]).replace("/", "-")
            if name is not None:
                refuse_taken(runs_dir, group, name, continuing="resume=")
            return claim_new(runs_dir, group, name, stem)
        record = existing_run(self._resume)
        try:
            stored = yaml_mapping(record.config_path)
        except DamagedError as error:
            raise UserError(
                f"{record.config_path} is damaged ({error}): restore it, or start a new run."
            ) from error
        if not stored.get(TRACKED):
            raise UserError(
                f"{record.directory} was trained by gansweep itself: continue it with 'gansweep "
                f"train resume={record.directory}'."
            )
        refuse_others(record.directory, self._config, stored, *self._place[1:])
        self._config = stored
        return record, record.claimed()

    def _write_start(self) -> None:
        if self._resume is not None:
            if self._from is not None:
                self._record.truncate_history(self._from)
            self._replay()
        else:
            content = {**self._config, "name": self.directory.name}
            text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
            RunRecord.create(self.directory, text)
        self._journal.record = self._record
        self._record.write_result(self._result("running", ""))

    @property
    def directory(self) -> Path:
        return self._record.directory

    def log(self, kimg: float, values: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Add a row: numbers at this many thousand images seen, as numbers or 0-d arrays.

        The doctor reads "loss/discriminator", "loss/generator", "balance/real_mean" and
        "balance/fake_mean" (mean outputs for real and generated images).
        Raises: UserError for what is no number or a column that the record uses itself, or where
            the record cannot be written.
        """
        self._refuse_outside()
        row = {key: number_of(key, value) for key, value in {**(values or {}), **more}.items()}
        clash = next((key for key in row if key in COLUMNS), None)
        if clash is not None:
            raise UserError(
                f"'{clash}' is a column of the record itself: give the value another name."
            )
        self._at(kimg)
        with self._explained(self.directory):
            self._journal.log(images_of(kimg), row)
            self._journal.flush()

    def score(
        self,
        kimg: float,
        name: str,
        value: Any,
        *,
        score: str,
        direction: str | None,
        **protocol: Any,
    ) -> None:
        """Add a score with its protocol, which is the same each time for one name.

        name: of the column, such as "fid_inception_10k_train".
        value: a number, or a list of numbers (direction None).
        score: what it measures, such as "fid".   direction: "minimize", "maximize" or None.
        protocol: what else it was measured with: n_fake, n_real, split, backbone, weights, ...;
            `data` is that of the run by default. Scores compare only if all of it is equal.
        Raises: UserError for a direction that is not known, or another protocol than before.
        """
        self._refuse_outside()
        if direction not in ("minimize", "maximize", None):
            raise UserError(
                f"direction={direction} of {name} is not known: use minimize, maximize or None."
            )
        names = mapping(self._config.get("choices"))
        whole = {"score": score, "direction": direction, "data": names.get("data"), **protocol}
        whole = plain_of(whole)
        before = self._journal.protocols.get(name)
        if before is not None and not comparable(before, whole):
            raise UserError(
                f"{name} was measured under another protocol so far ({before}). One column cannot "
                "have both: give the score another name."
            )
        listed = isinstance(value, (list, tuple))
        numbers = [number_of(name, one) for one in value] if listed else number_of(name, value)
        self._at(kimg)
        with self._explained(self.directory):
            self._journal.score(images_of(kimg), {name: Score(numbers, whole)})
            self._journal.flush()
        if self._journal.objective is None and direction is not None and not listed:
            self._journal.objective = name

    def samples(self, kimg: float, images: Any) -> Path:
        """Save a sheet of samples; its file.

        images: a tensor or an array in [-1, 1] of (N, C, H, W) with 1 or 3 channels, or (N, H, W);
            of points (N, D) there is no sheet. The same noise each time makes sheets comparable.
        Raises: UserError for another shape.
        """
        self._refuse_outside()
        import torch

        from gansweep.callbacks.sheet import grid

        found = torch.as_tensor(images).detach().float().cpu()
        found = found.unsqueeze(1) if found.ndim == 3 else found
        if found.ndim != 4 or found.shape[1] not in (1, 3) or not 0 < len(found) <= MOST_SAMPLES:
            raise UserError(
                f"Samples of the shape {tuple(found.shape)} make no sheet: give (N, C, H, W) with "
                f"1 or 3 channels, or (N, H, W), and at most {MOST_SAMPLES} images."
            )
        self._at(kimg)
        path = self._record.samples / f"{images_of(kimg):09d}.webp"
        with self._explained(self.directory):
            self._record.write(path, grid(found).as_webp())
        return path

    def end(self, status: str, reason: str = "") -> None:
        """Say how the run ends, as in end("diverged", "the loss is not finite"); the last counts.

        status: finished, equilibrium, plateau, diverged, collapsed, failed or interrupted.
        """
        self._refuse_outside()
        known = [s for s in STATUSES if s not in ("running", "paused", "pruned")]
        if status not in known:
            raise UserError(f"status={status} is not known. Use one of {', '.join(known)}.")
        self._ending = status, reason

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, before in self._handlers.items():
            signal.signal(number, before)
        self._state = "over"
        try:
            if isinstance(error, SupersededError):
                return  # the record belongs to another process now
            status, reason = self._ending or ("finished", "the loop ended")
            if isinstance(error, KeyboardInterrupt) or _stopped(error):
                status, reason = "interrupted", "the program was stopped"
            elif error is not None and not isinstance(error, SystemExit):
                status, reason = self._ending or ("failed", f"{type(error).__name__}: {error}")
                text = "".join(traceback.format_exception(kind, error, trace))
                self._record.write(self._record.traceback_path, text.encode(errors="replace"))
            with self._explained(self.directory):
                self._record.write_result(self._result(status, reason))
            if error is None:
                objective, scored = self._journal.objective, self._journal.protocols
                tell_of_unscored(objective, scored, self.directory)
        finally:
            self._claim.release()

    def _refuse_outside(self) -> None:
        """Raises: UserError before the context and after it, when others may write the record."""
        if self._state == "open":
            return
        if self._state == "over":
            raise UserError(
                f"The record in {self.directory} is closed: its `with` has ended. Move this line "
                f"into it, or continue the run: gansweep.track(resume='{self.directory}')."
            )
        raise UserError("The record is not open: write inside `with gansweep.track(...) as run:`.")

    def _at(self, kimg: float) -> None:
        if not 0 <= kimg < math.inf:
            raise UserError(f"kimg={kimg} is not the number of thousands of images seen so far.")
        self.kimg = max(self.kimg, float(kimg))

    def _replay(self) -> None:
        """Take up the scores, the clock and the seconds of the history."""
        journal = self._journal
        protocols: dict[str, Any] = {}
        for row in self._record.history():
            protocols |= mapping(row.get("protocol"))
            clock = row.get("kimg")
            if not isinstance(clock, (int, float)):
                continue
            self.kimg = max(self.kimg, float(clock))
            found = {
                key: Score(value, protocols[key])
                for key, value in row.items()
                if key in protocols and value is not None
            }
            journal.score(images_of(clock), found)
            journal.seconds_before = max(journal.seconds_before, float(row.get("seconds") or 0.0))
        journal.flush()
        stored = mapping(self._record.result()).get("objective")
        journal.objective = journal.objective or stored

    def _result(self, status: str, reason: str) -> dict[str, Any]:
        journal, names = self._journal, mapping(self._config.get("choices"))
        seconds = journal.seconds
        program = self._config[TRACKED]
        return {
            "status": status,
            "reason": reason,
            "group": self.directory.parent.name,
            "name": self.directory.name,
            **names,
            "seed": self._config.get("seed"),
            "budget_kimg": self._config.get("budget_kimg"),
            "kimg": self.kimg,
            "objective": journal.objective,
            "best": journal.best,
            "last": journal.last,
            "protocols": journal.protocols,
            "seconds": round(seconds, 3),
            "images_per_second": round(1000 * self.kimg / seconds, 1) if seconds else None,
            "command": "",
            "no_command": f"It was trained by {program}, which gansweep does not run.",
            "started": self._started,
            "ended": now(),
            "hardware": hardware("cuda" if _uses_cuda() else "cpu", 1),
            **origin(),
            TRACKED: program,
        }

    def _catch_signals(self) -> None:
        """Let SIGTERM and the end of the terminal end the context, where nobody handles them."""
        if threading.current_thread() is not threading.main_thread():
            return

        def stop(number: int, frame: FrameType | None) -> None:
            raise SystemExit(128 + number)

        for number in stop_signals():
            if signal.getsignal(number) == signal.SIG_DFL:
                self._handlers[number] = signal.signal(number, stop)

    @contextlib.contextmanager
    def _explained(self, place: Path) -> Iterator[None]:
        """Raises: UserError for a record that cannot be written."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"The record in {place} cannot be written ({error.strerror}). Free some space, "
                "change its permissions, or choose another runs_dir."
            ) from error


def _stopped(error: BaseException | None) -> bool:
    """Whether the program ends by SystemExit, but not by sys.exit(0)."""
    return isinstance(error, SystemExit) and error.code not in (0, None)


def _uses_cuda() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())
