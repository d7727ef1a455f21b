"""Write a trained run as a folder that others can use: `gansweep export`."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from omegaconf import OmegaConf
from safetensors.torch import save
from torch import Tensor

from gansweep import __version__
from gansweep.config.options import GROUPS
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.exporting.model_card import card
from gansweep.inference.exporting.request import Export
from gansweep.inference.exporting.traced import Traced, traced
from gansweep.inference.opened import Opened, open_run
from gansweep.provenance.credentials import ENDING
from gansweep.provenance.manifest import FILE, KEY
from gansweep.provenance.marking import Marker
from gansweep.records.run_config import NUMBERS
from gansweep.run.exported import FACTS, WEIGHTS, load_exported, tensors_of

OPSET = 18
STACK = "stack_trace"  # of a node, its lines of code
CLOSE = 1e-4  # largest difference of an image, in [-1, 1], or of points that is no mistake
ESCAPED = "backslashreplace"  # names of classes that are no UTF-8; JSON reads them back
ROWS = (1, 5)  # sizes of batches to check with
PIXELS = "images are in [-1, 1]: pixel = (image + 1) * 127.5, rounded"
NAMES = {"onnx": "model.onnx", "torch_export": "model.pt2"}


def main(request: Export) -> int:
    """Run `gansweep export`.   Returns: the exit code.   Raises: UserError."""
    use = request.use
    opened = open_run(use)
    path = use.output or Path(f"{opened.stem}-export")
    outputs.refuse_existing(path, use.force)
    opened.keep_note_of_unmarked(f"the model to {path}")
    marker = opened.marker()
    folder = outputs.Folder(path, use.force)
    files, said = [], []
    network = traced(opened) if set(request.formats) & set(NAMES) else None
    for form in request.formats:
        if network is not None and form in NAMES:
            content, apart = WRITE[form](network, marker.manifest(""))
            _add_signed(folder, NAMES[form], content, marker)
            files.append(NAMES[form])
            said.append(f"{NAMES[form]}: largest difference from the run {apart:.1e}")
    facts = facts_of_run(opened, network)
    _add_weights(opened, folder, marker, facts)
    said_of_it = card(opened, facts, files, request.licence, use.marking.on)
    folder.add("README.md", said_of_it.encode(errors=ESCAPED))
    apart = reread(opened, path)
    said.append(f"{WEIGHTS}: read back, largest difference {apart:.1e}")
    print("\n".join([f"read {opened.checkpoint}", f"wrote {path}", *said]))
    return 0


def facts_of_run(opened: Opened, network: Traced | None) -> dict[str, Any]:
    """What is needed to use the model, in plain values."""
    data, module = opened.data, opened.module
    labels = data.labels_of("train") if module.conditional else None
    shares = None
    if labels is not None:
        counts = labels.bincount(minlength=module.n_classes or 0)
        shares = [round(float(count) / len(labels), 6) for count in counts]
    inputs = {} if network is None else network.inputs
    return {
        "gansweep": __version__,
        "run": opened.identity,
        "model": opened.model,
        "data": data.name,
        "sample_shape": list(data.shape),
        "source_shape": None if data.source_shape is None else list(data.source_shape),
        "resize": data.resize,
        "class_names": data.class_names,
        "class_shares": shares,
        "latent_dim": getattr(module, "latent_dim", None),
        "latents": getattr(module, "latents_in_words", "normal, of variance 1"),
        "inputs": {name: ["N", *one.shape[1:]] for name, one in inputs.items()},
        "pixels": None if data.is_points else PIXELS,
    }


def _add_weights(
    opened: Opened, folder: outputs.Folder, marker: Marker, facts: dict[str, Any]
) -> None:
    mark = marker.manifest("")
    tensors, numbers = tensors_of(opened.module)
    metadata = numbers | ({} if mark is None else {KEY: mark})
    _add_signed(folder, WEIGHTS, save(tensors, metadata), marker)
    folder.add(FACTS, json.dumps(facts, indent=1, ensure_ascii=False).encode(errors=ESCAPED))
    folder.add("config.yaml", _config(opened).encode())


def _add_signed(folder: outputs.Folder, name: str, content: bytes, marker: Marker) -> None:
    """The file, and beside it a signed manifest where one was asked for."""
    folder.add(name, content)
    signed = marker.beside(content)
    if signed is not None:
        folder.add(f"{name}{ENDING}", signed)


def _config(opened: Opened) -> str:
    """The settings of the networks alone: no path and no account of who trained them."""
    whole = OmegaConf.to_container(opened.cfg, resolve=True)
    assert isinstance(whole, dict)
    kept: dict[str, Any] = {key: {} for key in GROUPS}
    kept |= {key: whole[key] for key in ("model", *NUMBERS)}
    kept["choices"] = {key: whole["choices"].get(key) for key in ("model", "data")}
    return yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)


def write_onnx(network: Traced, mark: str | None) -> tuple[bytes, float]:
    """The content of a file, and the largest difference of its images by onnxruntime."""
    import onnx
    import onnxruntime

    names = tuple(network.inputs)
    batch = torch.export.Dim("batch", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter's own parts
        program = torch.onnx.export(
            network.network,
            tuple(network.inputs.values()),
            input_names=list(names),
            output_names=["images"],
            dynamic_shapes=tuple({0: batch} for _ in names),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for node in (*model.graph.node, *(node for part in model.functions for node in part.node)):
        own = [fact for fact in node.metadata_props if not fact.key.endswith(STACK)]
        del node.metadata_props[:]  # which name files of this machine
        node.metadata_props.extend(own)
    if mark is not None:
        onnx.helper.set_model_props(model, {KEY: mark})
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(inputs: dict[str, Tensor]) -> Tensor:
        given = {name: one.numpy() for name, one in inputs.items()}
        return torch.from_numpy(session.run(["images"], given)[0])

    return content, checked("onnx", network, run)


def write_torch_export(network: Traced, mark: str | None) -> tuple[bytes, float]:
    """The content of a .pt2, and the largest difference of its images once it is read back."""
    import io

    batch = torch.export.Dim("batch", min=1)
    shapes = tuple({0: batch} for _ in network.inputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(
            network.network, tuple(network.inputs.values()), dynamic_shapes=shapes
        )
        for node in program.graph.nodes:
            node.meta.pop(STACK, None)  # which names files of this machine
        content = io.BytesIO()
        extra = None if mark is None else {FILE: mark}
        torch.export.save(program, content, extra_files=extra)
        content.seek(0)
        again = torch.export.load(content).module()
    found = checked("torch_export", network, lambda inputs: again(*inputs.values()))
    return content.getvalue(), found


def checked(form: str, network: Traced, run: Callable[[dict[str, Tensor]], Tensor]) -> float:
    """The largest difference from the run's own samples over batches of several sizes.

    Raises: UserError for one that is no rounding.
    """
    differences = []
    for n in ROWS:
        inputs = {
            name: one.repeat(n, *[1] * (one.ndim - 1))[:n].clone()
            for name, one in network.inputs.items()
        }
        with torch.no_grad():
            wanted = network.own(*inputs.values())
        differences.append((run(inputs) - wanted).abs().max())
    apart = float(torch.stack(differences).max())  # not a number, where one of them is none
    if not apart <= CLOSE:
        raise UserError(
            f"--to {form}: the exported network makes samples that differ by {apart:.2g} from "
            "those of the run, so it was not written. Use another format, and report this."
        )
    return apart


def reread(opened: Opened, path: Path) -> float:
    """The largest difference of what the folder's model makes.   Raises: UserError."""
    module, cfg, data = load_exported(path)
    again = Opened(opened.use, opened.record, cfg, data, module, path / WEIGHTS)
    first, second = traced(opened), traced(again)
    with torch.no_grad():
        made = [one.own(*first.inputs.values()) for one in (first, second)]
    return float((made[0] - made[1]).abs().max())


WRITE = {"onnx": write_onnx, "torch_export": write_torch_export}
