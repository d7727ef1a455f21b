"""The filter of `gansweep ls --where` and of the board."""

import json
from pathlib import Path

import pytest
from places import SUPPORT
from report_records import FID, part_of_sweep, write_run

from gansweep.errors import UserError
from gansweep.judging.where import chosen, read_filter
from gansweep.records.read import load

EXAMPLES = json.loads((SUPPORT / "filters.json").read_text())


def holds(text: str) -> bool:
    return read_filter(text).holds(EXAMPLES["run"].__getitem__)


@pytest.mark.parametrize("text", EXAMPLES["holds"])
def test_holds(text: str) -> None:
    assert holds(text)


@pytest.mark.parametrize("text", EXAMPLES["fails"])
def test_does_not_hold(text: str) -> None:
    assert not holds(text)


@pytest.mark.parametrize("text", [*EXAMPLES["mistaken"], "(" * 60 + "lr > 5" + ")" * 60])
def test_a_mistake_is_a_sentence(text: str) -> None:
    with pytest.raises(UserError, match="filter"):
        read_filter(text)


def test_names_stand_for_facts_settings_parameters_and_scores(tmp_path: Path) -> None:
    lr = {"model.optimizer.generator.lr": 1e-3}
    write_run(tmp_path / "a" / "gan-001", model="gan", config={"model": {"n_critic": 5}})
    write_run(tmp_path / "a" / "gan-002", model="gan", seed=7, scores={FID: [50.0]})
    write_run(tmp_path / "demo" / "t0000", sweep=part_of_sweep("t0000", lr, at="last"))
    runs = load([tmp_path])

    def named(text: str) -> list[str]:
        return [run.directory.name for run in chosen(runs, text)]

    assert named("n_critic = 5") == named("model.n_critic = 5") == ["gan-001"]
    assert named("fid > 30") == named(f"{FID} > 30") == ["gan-002"]
    assert named("generator.lr = 1e-3") == named("sweep = demo") == ["t0000"]
    assert named("objective = 20") == ["gan-001", "t0000"]
    assert named("seed = 7 and group = a") == ["gan-002"]
    assert named("n_critic != 5") == ["gan-002", "t0000"]
    assert named("tag = none_yet") == []
    with pytest.raises(UserError, match=r"'n_critik'\. Did you mean 'n_critic'"):
        chosen(runs, "n_critik = 5")
