"""Mistakes in the file of a search, reported with the fix before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
from sweep_processes import made, words_of_a_sweep

from gansweep.errors import UserError

LR = "space:\n  lr: interval(1, 2)\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{LR}  lr: interval(1, 3)\n", "(?s)cannot be read: .*found duplicate key lr.*line 3"),
        (f"{LR}    weight: 3\n", "(?s)cannot be read.*line 3.*Correct that line"),
        ("space: 5\n", "sweep.space=5 is no search space. Use own, or entries"),
        ("space: [lr]\n", "Cannot merge DictConfig with ListConfig"),
        ("space:\n  lr: interval(1, inf)\n", "has no end. Use finite numbers"),
        ("space:\n  lr: interval(nan, 2)\n", "has no end. Use finite numbers"),
        (f"{LR}overrides: weigth=3\n", "no option 'weigth'"),
    ],
)
def test_mistake_in_a_sweeps_file_is_reported(tmp_path: Path, content: str, said: str) -> None:
    words = words_of_a_sweep(tmp_path)
    (tmp_path / "own" / "sweep" / "mini.yaml").write_text(content)
    with pytest.raises(UserError, match=said):
        made(words)
    assert not (tmp_path / "runs").exists()


def test_name_beyond_ascii_is_refused_with_its_spelling(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs its own quotes"):
        made(words_of_a_sweep(tmp_path, name="été"))
    assert made(words_of_a_sweep(tmp_path, "name='été'")).name == "été"
