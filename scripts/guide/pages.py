"""What MkDocs calls while it builds the guide: the pages that are made and not written.

The model catalogue, the option reference and the command line's help are made anew at each build
from conf/ and the verbs themselves, so that none of them can be out of date. They exist in memory
and in the built site alone.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

sys.path.insert(0, str(Path(__file__).parent))

import catalogue
import options

TOP = Path(__file__).resolve().parents[2]
IMAGES = TOP / ".github" / "images"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    made = {
        "catalogue.md": catalogue.page,
        "reference/cli.md": command_line_page,
        "reference/run.md": options.run_page,
        "reference/data.md": options.data_page,
        "reference/model.md": options.model_page,
        "reference/sweep.md": options.sweep_page,
    }
    for name, page in made.items():
        files.append(File.generated(config, name, content=page()))
    for picture in sorted(IMAGES.rglob("*.png")):
        name = f"images/{picture.relative_to(IMAGES)}"
        files.append(File.generated(config, name, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """Pages link pictures where the repository has them; the site has them in images/."""
    return markdown.replace("../.github/images/", "images/")


def command_line_page() -> str:
    """The help of every verb, as the terminal shows it."""
    parts = [
        "# Command line",
        "Every verb answers `--help`. A verb takes its options as `KEY=VALUE`, in any order.",
        _fenced(helped()),
    ]
    for verb in verbs():
        parts += [f"## gansweep {verb} {{ #{verb} }}", _fenced(helped(verb))]
    return "\n\n".join(parts) + "\n"


def verbs() -> Iterator[str]:
    """The verbs that the help of `gansweep` lists, in its order."""
    for line in helped().splitlines():
        found = re.match(r"  {1,4}([a-z][a-z-]+)  +\S", line)
        if found:
            yield found[1]


def helped(*words: str) -> str:
    plain = {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb", "PYTHONPATH": str(TOP / "src")}
    command = [sys.executable, "-m", "gansweep", *words, "--help"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | plain, cwd=TOP
    )
    return done.stdout.rstrip()


def _fenced(text: str) -> str:
    return f"```output\n{text}\n```"
