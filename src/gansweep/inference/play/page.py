"""The page as one HTML text, and its content security policy."""

import base64
import hashlib
import html
from functools import cache
from pathlib import Path
from string import Template

from gansweep.inference.play.drawing import REACH, Facts
from gansweep.models.adversarial import Adversarial
from gansweep.models.cyclegan import CycleGAN

FOLDER = Path(__file__).parent


def page(facts: Facts, module: Adversarial) -> str:
    """The HTML. Names from the run are escaped."""
    parts = [_samples(facts)] if facts.samples else []
    if facts.translates or facts.detects:
        parts.append(_upload(facts, isinstance(module, CycleGAN)))
    return Template(_file("page.html")).substitute(
        name=html.escape(facts.name),
        style=_file("page.css"),
        parts="\n".join(parts) or "<p>This run has nothing to play with.</p>",
        script=_file("page.js"),
    )


def policy() -> str:
    """Only the page's own script and style run, and only its own server is asked."""
    script, style = (_hash(_file(name)) for name in ("page.js", "page.css"))
    return (
        f"default-src 'none'; script-src '{script}'; style-src '{style}'; img-src blob: data:; "
        "connect-src 'self'; form-action 'none'; base-uri 'none'"
    )


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


@cache
def _file(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _samples(facts: Facts) -> str:
    rows = [
        '<label>Seed <input name="seed" type="number" value="0" min="0" max="999999"></label>',
        '<label>Samples <input name="n" type="number" value="16" min="1" max="64"></label>',
    ]
    if facts.labels:
        options = "".join(f"<option>{html.escape(one)}</option>" for one in facts.labels)
        rows.append(
            f'<label>Class <select name="label"><option value="">as trained</option>{options}'
            "</select></label>"
        )
    if facts.truncation:
        rows.append(
            '<label>Truncation <input name="truncation" type="number" step="0.05" min="0" '
            'placeholder="as trained"></label>'
        )
    rows += [
        f'<label>Direction {k + 1} <input name="d{k}" type="range" min="-{REACH:g}" '
        f'max="{REACH:g}" step="0.1" value="0"><output></output></label>'
        for k in range(facts.sliders)
    ]
    if facts.sliders:
        rows.append('<button type="button" id="reset">All directions to 0</button>')
    form = f'<form id="samples">{"".join(rows)}</form>'
    return f"<section>{form}{_figure('sheet', 'Samples of the run')}</section>"


def _upload(facts: Facts, both_ways: bool) -> str:
    rows = ['<label>Picture <input id="file" type="file" accept="image/*"></label>']
    if both_ways:
        rows.append(
            '<label>Way <select id="way"><option value="ab">sources to images</option>'
            '<option value="ba">images to sources</option></select></label>'
        )
    if facts.detects:
        rows.append('<p id="verdict" aria-live="polite"></p>')
    form = f'<form id="upload">{"".join(rows)}</form>'
    made = _figure("made", "Your picture as the run sees it, and what it becomes")
    return f"<section>{form}{made if facts.translates else ''}</section>"


def _figure(name: str, said: str) -> str:
    return f'<figure hidden><img id="{name}" alt="{said}"><figcaption>{said}</figcaption></figure>'
