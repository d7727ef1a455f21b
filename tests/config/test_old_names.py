"""Configurations of older versions name classes by their old modules."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from gansweep.config.compose import compose
from gansweep.config.old_names import MODULES, new_target, with_new_names
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.records.run_config import stored_settings


@pytest.mark.parametrize("old", MODULES)
def test_each_old_module_has_a_present_one(old: str) -> None:
    import_module(MODULES[old])
    with pytest.raises(ModuleNotFoundError):
        import_module(old)


@pytest.mark.parametrize(
    "line",
    [
        "_target_: gansweep.losses.Hinge",
        "{_target_: gansweep.losses.Hinge, margin: 1}",
        '"_target_": "gansweep.losses.Hinge"',
        "model.loss._target_=gansweep.losses.Hinge",
    ],
)
def test_an_old_target_gets_its_present_name(line: str) -> None:
    assert with_new_names(line) == line.replace("gansweep.losses", "gansweep.terms.losses")
    assert with_new_names(with_new_names(line)) == with_new_names(line)


def test_text_that_is_not_a_target_does_not_change() -> None:
    for text in ("note: gansweep.losses.Hinge", "_target_: gansweep.losses_of_mine.Hinge"):
        assert with_new_names(text) == text
    assert new_target("gansweep.layers.mlp.Generator") == "gansweep.layers.mlp.Generator"


def test_a_record_of_an_older_version_is_read(tmp_path: Path) -> None:
    old = {"model": {"loss": {"_target_": "gansweep.losses.Hinge"}}}
    record = RunRecord.create(tmp_path / "run", yaml.safe_dump(old))
    assert stored_settings(record).model.loss._target_ == "gansweep.terms.losses.Hinge"


def test_an_old_name_on_the_command_line_is_refused_with_the_present_name() -> None:
    with pytest.raises(UserError, match="Its name is now gansweep.terms.losses.Hinge"):
        compose(["model=gan", "model.loss._target_=gansweep.losses.Hinge"])
