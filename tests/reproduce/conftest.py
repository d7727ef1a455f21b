"""A small table in a folder of its own, for the tests of `gansweep reproduce`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from small_table import SMALL

from gansweep.reproduce import cost


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A folder with the table `small`; costs are not measured."""
    folder = tmp_path / "own" / "reproduce"
    folder.mkdir(parents=True)
    (folder / "small.yaml").write_text(yaml.safe_dump(SMALL, sort_keys=False))
    monkeypatch.setattr(cost, "_measure", lambda cfg, threads: cost.Cost(0.001, 1000, 0.0, False))
    monkeypatch.setenv("GANSWEEP_CACHE", str(tmp_path / "cache"))
    return str(tmp_path / "own")
