"""Generate pictures with a trained run: of one class, one value of a learnt code, or everything."""

from pathlib import Path

import torch
from PIL import Image

from gansweep.callbacks.sheet import grid, of_kind, point_map, save, sheet
from gansweep.config import permissions
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource
from gansweep.errors import UserError, nearest
from gansweep.inference.request import Request, whole
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import RunRecord
from gansweep.records.run_config import read_config
from gansweep.run.build import build_data, load_checkpoint
from gansweep.run.devices import accelerator as choose_accelerator


def main(request: Request) -> int:
    """Run `gansweep generate`.   Returns: the exit code.   Raises: UserError."""
    permissions.allow_packages(request.extra_packages)
    record = RunRecord(request.run)
    cfg = read_config(record)
    data = build_data(cfg)
    module, checkpoint = load_checkpoint(record, cfg, data, request.checkpoint)
    module.to(torch.device(choose_accelerator(request.accelerator)))
    if request.truncation is not None:
        module.truncate(request.truncation)
    picture = drawn(module, data, request, str(cfg.choices.model))
    kind = request.label or request.code
    stem = "-".join(filter(None, [request.run.resolve().name, kind]))
    path = request.output or Path(f"{stem}.png")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save(picture, path, described(module, request, str(cfg.choices.model)))
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror}). Name another file with -o FILE.png."
        ) from error
    print(f"read {checkpoint}")
    print(f"wrote {path}" + (f", truncated to {module.truncated}" if module.truncated else ""))
    return 0


def described(module: Adversarial, request: Request, model: str) -> str:
    """How the samples were made, for the file that holds them."""
    asked = {"label": request.label, "code": request.code, "truncation": module.truncated or None}
    said = {"model": model, "seed": request.seed, **asked, "checkpoint": request.checkpoint}
    words = [f"{key}: {value}" for key, value in said.items() if value is not None]
    return f"Samples by gansweep, {', '.join(words)}"


def drawn(module: Adversarial, data: DataSource, request: Request, model: str) -> Image.Image:
    """The requested picture.   model: the name of the model, for messages.

    Raises: UserError if the model cannot make it.
    """
    conditions = Conditions(data)
    if request.label is not None:
        kind = _class_number(module, data, request.label, model)
    elif request.code is not None:
        if module.conditional or module.kinds is None:
            fix = "Use label=, which names a class" if module.conditional else "Leave code= out"
            raise UserError(
                f"code={request.code}: model={model} has not learnt a code. {fix}, or train a "
                "model that learns one: gansweep train model=infogan."
            )
        kind = whole("code", request.code, 0, module.kinds - 1)
    else:
        return sheet(module, data, conditions, request.n, request.seed).enlarged()
    rng = torch.Generator().manual_seed(request.seed)
    made = of_kind(module, kind, conditions, request.n, rng)
    if data.is_points:
        return point_map(conditions.draw(request.n, rng).images, made).enlarged()
    return grid(made).enlarged()


def _class_number(module: Adversarial, data: DataSource, label: str, model: str) -> int:
    names = data.class_names
    if not module.conditional or names is None:
        hint = ", or use code=, which it has learnt," if module.kinds is not None else ""
        raise UserError(
            f"label={label}: model={model} was trained without classes, so it cannot generate a "
            f"class. Leave label= out{hint} or train a class-conditional model: "
            "gansweep train model=cgan."
        )
    alike = [number for number, name in enumerate(names) if name.lower() == label.lower()]
    if alike:
        return alike[0]
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    shown = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    guess = "" if label.isdecimal() else nearest(label, names)
    raise UserError(
        f"label={label} is not a class of data={data.name}.{guess} "
        f"Its classes are: {shown}. Or give a number from 0 to {len(names) - 1}."
    )
