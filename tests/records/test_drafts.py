"""Temporary files of killed writers are removed, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gansweep.records.drafts import ABANDONED_SECONDS, drafted, remove_drafts


def test_a_draft_replaces_the_file_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with drafted(path) as draft:
        draft.write_text("old")
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), drafted(path) as draft:
        draft.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_drafts_of_killed_writers_are_removed_after_a_day(
    tmp_path: Path,
) -> None:
    kept = ["a.json", ".writer", ".writer.lock", ".gitignore", ".note.md.1", "features.pt.4242"]
    drafts = [".a.json.4242", ".features.pt.4242", ".gansweep-train-64.npy.4242"]
    for name in (*kept, *drafts):
        (tmp_path / name).touch()
    remove_drafts(tmp_path)
    assert len(list(tmp_path.iterdir())) == len(kept) + len(drafts), "just written"
    for name in (*kept, *drafts[:2]):
        os.utime(tmp_path / name, (0, time.time() - ABANDONED_SECONDS - 60))
    remove_drafts(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {*kept, drafts[2]}
    remove_drafts(tmp_path, older_than=0.0)
    assert {p.name for p in tmp_path.iterdir()} == set(kept)
