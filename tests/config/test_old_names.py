"""Configurations of older versions name classes by their old modules."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from gansweep.config.compose import compose
from gansweep.config.old_names import MODULES, new_target, with_new_targets
from gansweep.records.record import RunRecord
from gansweep.records.run_config import stored_settings


@pytest.mark.parametrize("old", MODULES)
def test_each_old_module_has_a_present_one(old: str) -> None:
    import_module(MODULES[old])
    with pytest.raises(ModuleNotFoundError):
        import_module(old)


def test_every_target_has_its_name_of_today_and_nothing_else_changes() -> None:
    old = {
        "loss": {"_target_": "gansweep.losses.Hinge", "note": "gansweep.losses.Hinge"},
        "terms": [{"_target_": "gansweep.losses_of_mine.Hinge"}, {"_target_": "Hinge"}],
        "penalties": {"x": {"y": {"_target_": "gansweep.penalties.R1", "weight": 1}}},
    }
    new = with_new_targets(old)
    assert new["loss"] == {
        "_target_": "gansweep.terms.losses.Hinge",
        "note": "gansweep.losses.Hinge",
    }
    assert new["terms"] == old["terms"]
    assert new["penalties"]["x"]["y"] == {"_target_": "gansweep.terms.penalties.R1", "weight": 1}
    assert with_new_targets(new) == new
    assert new_target("gansweep.layers.mlp.Generator") == "gansweep.layers.mlp.Generator"


def test_a_record_of_an_older_version_is_read(tmp_path: Path) -> None:
    old = {"model": {"loss": {"_target_": "gansweep.losses.Hinge"}}}
    record = RunRecord.create(tmp_path / "run", yaml.safe_dump(old))
    assert stored_settings(record).model.loss._target_ == "gansweep.terms.losses.Hinge"


@pytest.mark.parametrize(
    "words",
    [
        ["model.loss._target_=gansweep.losses.Hinge"],
        ["+model.penalties={x: {_target_: 'gansweep.penalties.R1', weight: 1}}"],
    ],
)
def test_an_old_name_on_the_command_line_is_that_of_today(words: list[str]) -> None:
    new = [word.replace("gansweep.", "gansweep.terms.") for word in words]
    assert compose(["model=gan", *words]) == compose(["model=gan", *new])
