"""The card of an exported model: Markdown with Hugging Face's header.

Source: the model card specification of the Hub (model-index, library_name, pipeline_tag), and
Mitchell et al. 2019, arXiv:1810.03993, for what it says.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from gansweep.inference.opened import Opened
from gansweep.inference.stream import Stream
from gansweep.records.notation import number, spread_words
from gansweep.records.plain_values import mapping
from gansweep.run.exported import FACTS, WEIGHTS


def card(
    opened: Opened, facts: Mapping[str, Any], files: Sequence[str], licence: str, marked: bool
) -> str:
    """The text of README.md.   files: of networks in other formats."""
    result = mapping(opened.record.result())
    scores = mapping(result.get("best"))
    protocols = mapping(result.get("protocols"))
    name = opened.stem
    parts = [
        f"# {_plain(name)}: {facts['model']} on {_plain(facts['data'])}",
        _what(facts),
        _use(opened, facts, files),
        _training(opened, result),
        _scores(scores, protocols),
        LIMITS,
        _marks(marked),
        f"## Licence\n\nThe model: {_plain(licence)}. The data have a licence of their own.",
    ]
    return f"---\n{_header(facts, scores, protocols, licence)}---\n\n" + "\n\n".join(parts) + "\n"


LIMITS = """## Intended use and limits

Made for research and teaching: to look at what a generative adversarial network has learnt, and to
compare training procedures. It shows only what its training data show, with their gaps and biases,
can repeat training images, and knows nothing of what it draws. Do not present its output as a
record of real people, objects or events, and do not use it to decide about people."""


def _header(
    facts: Mapping[str, Any],
    scores: Mapping[str, Any],
    protocols: Mapping[str, Any],
    licence: str,
) -> str:
    task = "image-to-image" if facts["source_shape"] else "unconditional-image-generation"
    results = [
        {
            "task": {"type": task},
            "dataset": {"type": str(facts["data"]), "name": str(facts["data"])},
            "metrics": [{"type": name, "value": value} for name, value in _values(scores)],
        }
    ]
    said = {
        "license": licence,
        "library_name": "gansweep",
        "pipeline_tag": task,
        "tags": ["gan", "gansweep", "image-generation", str(facts["model"])],
        "datasets": [str(facts["data"])],
        "model-index": [{"name": str(facts["run"]).split(" ")[0], "results": results}],
    }
    return yaml.safe_dump(said, sort_keys=False, allow_unicode=True)


def _values(scores: Mapping[str, Any]) -> list[tuple[str, float]]:
    found = [(name, mapping(entry).get("value")) for name, entry in scores.items()]
    return [(name, float(value)) for name, value in found if isinstance(value, (int, float))]


def _what(facts: Mapping[str, Any]) -> str:
    shape = "x".join(map(str, facts["sample_shape"]))
    names = facts["class_names"]
    of = f", of {len(names)} classes: {', '.join(map(_plain, names[:50]))}" if names else ""
    if facts["pixels"] is None:
        return f"Makes points of {shape} numbers{of}."
    return f"Makes images of {shape} (channels, rows, columns){of}. {facts['pixels']}."


def _use(opened: Opened, facts: Mapping[str, Any], files: Sequence[str]) -> str:
    lines = ["## How to use it", "", "```python", "from gansweep import load_run", ""]
    lines += ['model, cfg = load_run("this_folder")', "```", ""]
    if command := _command(opened):
        lines.append(f"or `{command}` on the command line.")
    for file in files:
        inputs = ", ".join(f"`{k}` ({', '.join(map(str, v))})" for k, v in facts["inputs"].items())
        lines.append(f"`{file}` takes {inputs} and gives `images`.")
    if facts["latent_dim"]:
        lines.append(f"Latents are independent of each other: {facts['latents']}.")
    return "\n".join(lines)


def _command(opened: Opened) -> str:
    """What makes samples, or other pictures, of the folder alone; "" where nothing does."""
    if Stream(opened, 0).by_latents:
        place = " -o points.npz" if opened.data.is_points else ""
        return f"gansweep generate this_folder n=16{place}"
    return "" if opened.data.is_points else "gansweep translate this_folder photos/ -o made/"


def _training(opened: Opened, result: Mapping[str, Any]) -> str:
    versions = mapping(result.get("versions"))
    said = [
        f"- run: `{opened.identity}`",
        f"- seed {result.get('seed')}, {number(result.get('kimg'))} thousand images seen",
        f"- data fingerprints and protocols are in `{FACTS}` and in the scores below",
        f"- gansweep {versions.get('gansweep')}, PyTorch {versions.get('torch')}, "
        f"commit {result.get('git_commit')}",
        f"- weights in `{WEIGHTS}`",
    ]
    return "## Training\n\n" + "\n".join(said)


def _scores(scores: Mapping[str, Any], protocols: Mapping[str, Any]) -> str:
    """A row for each score, with its error where one was measured, and its protocol."""
    rows = []
    for name, entry in scores.items():
        entry = mapping(entry)
        value = entry.get("value")
        if not isinstance(value, (int, float)):
            continue
        bounds = entry.get("interval")
        interval = (bounds[0], bounds[1]) if isinstance(bounds, list) else None
        spread = spread_words(float(value), entry.get("std"), interval)
        protocol = mapping(protocols.get(name))
        words = ", ".join(f"{k} {v}" for k, v in protocol.items() if v is not None)
        rows.append(f"| {name} | {number(float(value))} | {spread} | {_plain(words)} |")
    if not rows:
        return "## Scores\n\nNone was measured."
    head = "| score | value | interval or error | protocol |\n|---|---|---|---|\n"
    why = "Each with its own protocol; others do not compare.\n\n"
    return "## Scores\n\n" + why + head + "\n".join(rows)


def _marks(marked: bool) -> str:
    if not marked:
        return "## Marks\n\nThis export carries no mark (`mark=none`)."
    return (
        "## Marks\n\nEach file of the model says in its metadata which system made it "
        "(`gansweep.mark`). Pictures that gansweep makes with it carry IPTC's "
        "`trainedAlgorithmicMedia`; where you make pictures with another program, marking them is "
        "up to you."
    )


def _plain(text: Any) -> str:
    """Text that Markdown leaves as it is, in one line."""
    words = " ".join(str(text).split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in words)
