"""Programs of a machine that this one is not."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest


def put_on_path(folder: Path, programs: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the programs into a folder, which comes first on PATH.   programs: texts by name."""
    folder.mkdir(exist_ok=True)
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
