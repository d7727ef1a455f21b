"""Names of runs, groups and sweeps are always directories below runs_dir."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gansweep.config.directory_names import LONGEST, checked_name
from gansweep.errors import UserError
from gansweep.records.record import new_directory

WRONG = ["", " ", ".", "..", "/", "/tmp/x", "a//b", "a/", "a/../b", "./a", "x" * 300, "é" * 150]
WRONG += ["a\x1b[2Jb", "a\nb", "a\tb", "a\0b", "\udcff", "a\u202eb"]


@pytest.mark.parametrize("name", [*WRONG, None, True, 1.5, ["a", "b"], {"a": 1}], ids=ascii)
def test_an_invalid_name_of_a_directory_is_refused(name: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="name=.* cannot be the name of a directory: ") as refused:
        checked_name("name", name)
    assert "\x1b" not in str(refused.value) and len(str(refused.value)) < 300
    if isinstance(name, str):
        for words in ((name, None), ("group", name)):
            with pytest.raises(UserError, match="cannot be the name of a directory"):
                new_directory(tmp_path / "runs", *words, "gan")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a", "été 1", "a/b", "-x", ".x", 7, "x" * LONGEST, "null"])
def test_other_names_are_kept(name: Any, tmp_path: Path) -> None:
    assert checked_name("name", name) == str(name)
    assert new_directory(tmp_path, "group", str(name), "gan").is_dir()


@pytest.mark.parametrize("word", ["name=..", "group=/tmp/x"])
def test_training_refuses_what_a_sweep_refuses(
    command: Callable[..., Any], tmp_path: Path, word: str
) -> None:
    option = word.partition("=")[0]
    command("train", word).is_refused_with(f"{option}=", "cannot be the name of a directory")
    command("sweep", word.replace("group", "name")).is_refused_with(
        "cannot be the name of a directory"
    )
    assert not list(tmp_path.iterdir())
