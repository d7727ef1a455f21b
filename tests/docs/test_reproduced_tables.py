"""The guide and the README say of re-made tables what results/ holds."""

from __future__ import annotations

from loaded_scripts import script


def test_pages_are_those_of_the_results() -> None:
    for path, content in script("guide/reproduced").pages().items():
        again = "run `python scripts/guide/reproduced.py`"
        assert path.read_text(encoding="utf-8") == content, f"{path.name} is not current: {again}"
