"""Mistakes in the names of a user's own classes: each message says what is wrong and the fix."""

from pathlib import Path

import pytest

from gansweep.config import targets
from gansweep.errors import UserError


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("typo_nets.small.Generatr", ["typo_nets.small has no 'Generatr'", "'Generator'"]),
        ("typo_nets.smal.Generator", ["typo_nets has no 'smal'", "'small'"]),
        ("typo_nets.os.systm", ["typo_nets.os has no 'systm'", "'system'"]),
        ("typo_nets.torch.hubb", ["typo_nets.torch has no 'hubb'"]),
        ("typo_nets.hungry.Net", ["the module not_there_at_all", "typo_nets.hungry imports"]),
        ("typo_net.small.Generator", ["extra_packages=[typo_net]", "'typo_nets'"]),
        ("lost_nets.Net", ["lost_nets is not in", "PYTHONPATH"]),
    ],
)
def test_a_mistake_in_the_name_of_ones_own_class_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, words: list[str]
) -> None:
    package = tmp_path / "typo_nets"
    package.mkdir()
    (package / "__init__.py").write_text("import os\nimport torch\n")
    (package / "small.py").write_text("class Generator: pass\n")
    (package / "hungry.py").write_text("import not_there_at_all\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError) as caught:
        targets.resolved(target, ["typo_nets", "lost_nets"])
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert targets.resolved("typo_nets.small.Generator", ["typo_nets"]).__name__ == "Generator"
