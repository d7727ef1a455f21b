"""A trained run, opened to be used: its model, its data, and the mark of what it makes."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import torch
from omegaconf import DictConfig

from gansweep.config import permissions
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.errors import UserError, nearest, visible
from gansweep.inference.outputs import Archive
from gansweep.inference.request import Use
from gansweep.models.adversarial import Adversarial
from gansweep.provenance.marking import Marker
from gansweep.records.record import RunRecord
from gansweep.records.remarks import say_unmarked, writable
from gansweep.records.run_config import read_config
from gansweep.run.build import build_data, load_checkpoint
from gansweep.run.devices import accelerator as choose_accelerator
from gansweep.run.exported import WEIGHTS, facts_of, is_export, load_exported

DIGEST = 64  # hexadecimal digits at the end of a checkpoint


@dataclass
class Opened:
    """use: as asked.   module: on its device.   checkpoint: the file that was read."""

    use: Use
    record: RunRecord
    cfg: DictConfig
    data: DataSource
    module: Adversarial
    checkpoint: Path

    @property
    def model(self) -> str:
        """The name of the model, as messages and marks have it."""
        return str(self.cfg.choices.model)

    @property
    def stem(self) -> str:
        """The name of files without one."""
        return visible(self.use.run.resolve().name)

    @cached_property
    def conditions(self) -> Conditions:
        return Conditions(self.data)

    def marker(self) -> Marker:
        """The marker of what this run makes."""
        return Marker(self.use.marking, self.identity, self.model)

    def archive(self, path: Path, prompt: str) -> Archive:
        """Where an archive of what this run makes goes, with its mark."""
        marker = self.marker()
        sign = partial(marker.sign_archive, prompt=prompt)
        return Archive(path, self.use.force, marker.manifest(prompt), sign)

    @property
    def identity(self) -> str:
        """The run, its checkpoint and that file's digest, as marks have it."""
        if is_export(self.use.run):
            return str(facts_of(self.use.run).get("run", self.stem))
        place = self.use.run.resolve()
        with open(self.checkpoint, "rb") as file:
            file.seek(-DIGEST, 2)
            tail = file.read().decode(errors="replace")
        digest = f" {tail[:12]}" if tail.isalnum() else ""  # an older one has none
        return visible(f"{place.parent.name}/{place.name} {self.checkpoint.name}{digest}")

    def label_number(self, label: str | None) -> int | None:
        """The number of a class by its name or number; None for None.

        Raises: UserError for an unknown one, and where the model was trained without classes.
        """
        if label is None:
            return None
        names = self.data.class_names
        if not self.module.conditional or names is None:
            hint = ", or use code=, which it has learnt," if self.module.kinds is not None else ""
            raise UserError(
                f"label={label}: model={self.model} was trained without classes, so it cannot "
                f"generate a class. Leave label= out{hint} or train a class-conditional model: "
                "gansweep train model=cgan."
            )
        return class_number(names, label, self.data.name)

    def keep_note_of_unmarked(self, wrote: str) -> None:
        """Say in the run's record that files without marks left it.

        Raises: UserError where it cannot be written: unmarked files do not leave unrecorded.
        """
        if not self.use.marking.on:
            with writable(self.record):
                say_unmarked(self.record, f"gansweep {self.use.verb} wrote {wrote}")


def open_run(use: Use) -> Opened:
    """Raises: UserError for what is no run, a missing or damaged checkpoint, an absent device."""
    permissions.allow_packages(use.extra_packages)
    record = RunRecord(use.run)
    device = torch.device(choose_accelerator(use.accelerator))
    if is_export(use.run):
        module, cfg, described = load_exported(use.run)
        return Opened(use, record, cfg, described, module.to(device), use.run / WEIGHTS)
    cfg = read_config(record)
    data = build_data(cfg, prepared=False)  # who has a run alone may have no data
    module, checkpoint = load_checkpoint(record, cfg, data, use.checkpoint)
    module.to(device)
    return Opened(use, record, cfg, data, module, checkpoint)


def class_number(names: Sequence[str], label: str, data: str) -> int:
    """The number of the class with that name (else in other letters) or number.

    Where all names are numbers themselves, a label is a name: 0 is no class of 1 to 9.
    Raises: UserError for an unknown one, and for one that names several in other letters.
    """
    if label in names:
        return list(names).index(label)
    alike = [number for number, name in enumerate(names) if name.lower() == label.lower()]
    if len(alike) > 1:
        several = " or ".join(names[number] for number in alike)
        raise UserError(f"label={label} may be {several} of data={data}: write one of these.")
    if alike:
        return alike[0]
    numbered = all(name.isdecimal() for name in names)
    if label.isdecimal() and int(label) < len(names) and not numbered:
        return int(label)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    or_number = "" if numbered else f" Or give a number from 0 to {len(names) - 1}."
    guess = "" if label.isdecimal() else nearest(label, names)
    raise UserError(
        f"label={label} is not a class of data={data}.{guess} Its classes are: {shown}." + or_number
    )
