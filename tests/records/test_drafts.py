"""Temporary files of killed writers are removed, and nothing else."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from gansweep.records.drafts import ABANDONED_SECONDS, DRAFT, drafted, remove_drafts

DIGITS = "0123456789abcdef"  # of the name of a draft


def test_a_draft_replaces_the_file_completely_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with drafted(path) as draft:
        draft.write_text("old")
        assert DRAFT.fullmatch(draft.name)
        assert not path.exists()
    with pytest.raises(ZeroDivisionError), drafted(path) as draft:
        draft.write_text("new")
        raise ZeroDivisionError
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_drafts_of_killed_writers_are_removed_after_a_day(
    tmp_path: Path,
) -> None:
    kept = ["a.json", ".writer", ".writer.lock", ".gitignore", f".note.md.{DIGITS}"]
    kept += [f"features.pt.{DIGITS}", ".config.yaml.swp", ".last.pt.Xa81kQ"]  # of vim and rsync
    drafts = [f".{name}.{DIGITS}" for name in ("a.json", "features.pt", "gansweep-64.npy")]
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
