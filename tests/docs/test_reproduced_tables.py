"""The guide and the README say of re-made tables what results/ holds."""

from __future__ import annotations

import importlib.util
from typing import Any

from places import TOP


def _script() -> Any:
    path = TOP / "scripts" / "guide" / "reproduced.py"
    spec = importlib.util.spec_from_file_location("guide_reproduced", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_are_those_of_the_results() -> None:
    for path, content in _script().pages().items():
        again = "run `python scripts/guide/reproduced.py`"
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is not current: {again}"
