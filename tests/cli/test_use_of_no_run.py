"""The verbs that use a trained run say first that there is none, whatever else is missing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., Any]
VERBS = [
    *("generate", "interpolate", "arithmetic", "directions", "project", "translate", "detect"),
    *("classify", "retrieve", "export"),
]


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_is_no_run_is_named_before_what_else_is_missing(
    command: Command, tmp_path: Path, verb: str
) -> None:
    (tmp_path / "empty").mkdir()
    command(verb, "empty").is_refused_with("empty is not a run", "such as")
