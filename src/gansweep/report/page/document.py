"""The page's file: the skeleton with style, scripts, data and policy in one HTML text.

No script of the page is loaded from elsewhere. Large ones (DataTables, Plotly) are compressed
blocks that the page unpacks and runs when it needs them; the policy names their hashes.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from gansweep.report.page.payload import Payload

FOLDER = Path(__file__).parent
# in the order in which they run: the core first, the start last
SCRIPTS = (
    *("core", "blocks", "format", "statistics", "colours", "curve_data"),
    *("filter", "table", "baseline", "summary", "export", "cells", "leaderboard"),
    *("sheets", "sheet_view", "sample_pair", "neighbours", "samples"),
    *("series", "svg", "figure", "chart", "hover", "lines", "curve_figure", "controls", "curves"),
    *(
        "picking",
        "dots",
        "parallel",
        "slices",
        "budget",
        "front",
        "timeline",
        "population",
        "search",
    ),
    *("quality", "game"),
    *("pair", "diagnosis", "protocols"),
    *("live", "start"),
)
COMPRESSION = 6


def document(payload: Payload) -> str:
    """The HTML of the page. Text from records is escaped, or stands in JSON.

    A live page has no blocks: it asks its server for them.
    """
    script = own_script()
    boards = payload.content["boards"]
    verdict = boards[0]["summary"]["verdict"] if boards else ""
    live = payload.content["live"]
    blocks = {} if live else {**libraries(), **payload.blocks}
    return Template((FOLDER / "page.html").read_text()).substitute(
        policy=html.escape(page_policy(live)),
        title=html.escape(payload.content["title"]),
        verdict=html.escape(verdict),
        style=own_style(),
        payload=data_block(payload.content),
        blocks="\n".join(_block(name, content) for name, content in blocks.items()),
        script=script,
    )


def libraries() -> dict[str, bytes]:
    """The scripts of others that the page runs when it needs them, as blocks."""
    return {"datatables": datatables().encode(), "plotly": plotly().encode()}


@cache
def page_policy(live: bool) -> str:
    """The content security policy of the page; a live one may ask its own server."""
    policy = content_policy(own_script(), datatables(), plotly())
    return policy + ("; connect-src 'self'" if live else "")


@cache
def own_script() -> str:
    """The page's scripts as one. An error in one part leaves the others working."""
    parts = []
    for name in SCRIPTS:
        path = FOLDER / "scripts" / f"{name}.js"
        if not path.exists():
            continue
        text = path.read_text()
        if name != "core":
            text = f"gansweep.part({json.dumps(name)}, () => {{\n{text}}});\n"
        parts.append(text)
    return '"use strict";\n' + "\n".join(parts)


@cache
def own_style() -> str:
    """The page's style: the skeleton's, then those of the sections."""
    files = [FOLDER / "page.css", *sorted((FOLDER / "styles").glob("*.css"))]
    return "\n".join(path.read_text() for path in files)


@cache
def plotly() -> str:
    from plotly.offline import get_plotlyjs

    # a browser changes every line end to "\n" before it computes the hash
    return str(get_plotlyjs()).replace("\r\n", "\n").replace("\r", "\n")


@cache
def datatables() -> str:
    """The bundle of DataTables in itables, as a script that sets `DataTable`: a page from disk can
    load no module."""
    spec = find_spec("itables")
    assert spec is not None and spec.origin is not None, "a dependency"
    bundle = (Path(spec.origin).parent / "html" / "dt_bundle.js").read_text()
    exported = re.search(r"export\{([^}]*)\};?", bundle)
    found = re.search(r"([\w$]+) as default", exported[1]) if exported else None
    assert exported and found, "the bundle exports DataTables as its default"
    before, after = bundle[: exported.start()], bundle[exported.end() :]
    text = f"(() => {{\n{before}\n;globalThis.DataTable = {found[1]};\n{after}\n}})();"
    return text.replace("\r\n", "\n").replace("\r", "\n")


def content_policy(*scripts: str) -> str:
    """A content security policy: only these scripts, and nothing from the network."""
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src 'self' file: data: blob:; base-uri 'none'; form-action 'none'"
    )


def data_block(content: Any) -> str:
    """JSON for a <script type="application/json">, without a "<" that could end the block."""
    return data_text(content).replace("<", "\\u003c").replace("&", "\\u0026")


def data_text(content: Any) -> str:
    """JSON with null for what it has no number for."""
    return json.dumps(_plain(content), separators=(",", ":"), allow_nan=False, default=str)


def _block(name: str, content: bytes) -> str:
    packed = base64.b64encode(gzip.compress(content, COMPRESSION, mtime=0)).decode()
    return f'<script type="text/plain" id="block-{html.escape(name)}">{packed}</script>'


def _plain(value: Any) -> Any:
    """The value with text as keys, and null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
