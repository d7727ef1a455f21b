"""How a record states the command that trains its run again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from gansweep.config.compose import compose
from gansweep.diagnosis.evidence import evidence_of
from gansweep.records.address import REVISIONS
from gansweep.records.read import read_run
from gansweep.records.record import RunRecord
from gansweep.run.devices import numerics
from gansweep.run.result import Account, why_no_command
from gansweep.run.resume import resumed
from gansweep.run.train import train

Command = Callable[..., Any]
START = {"kimg": 0.0, "params": {"lr": 1.0}, "from": None}
CHANGE = {"kimg": 2.0, "params": {"lr": 2.0}, "from": None}
TAKEOVER = {"kimg": 4.0, "params": {"lr": 3.0}, "from": "t0003"}


def test_run_with_the_same_settings_throughout_has_a_command() -> None:
    assert why_no_command([]) == why_no_command([START]) == ""


def test_changes_and_takeovers_are_reported_where_no_command_trains_the_run_again() -> None:
    text = why_no_command([START, CHANGE, {**CHANGE, "kimg": 6.0}])
    assert "its settings changed at 2 and 6 kimg. The" in text
    text = why_no_command([START, CHANGE, TAKEOVER])
    assert "changed at 2 and 4 kimg, and its weights were replaced by those of t0003 at 4" in text


def test_member_that_failed_before_its_first_settings_were_known_has_no_command() -> None:
    text = why_no_command([TAKEOVER])
    assert "again: its weights were replaced by those of t0003 at 4 kimg. The" in text


def test_numerics_state_what_the_weights_and_the_device_are() -> None:
    plain, other = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3).to(memory_format=torch.channels_last)
    found = numerics("32-true", "cpu", [plain, nn.Linear(2, 2)])
    assert found == {
        "precision": "32-true",
        "tf32_matmul": False,
        "tf32_convolutions": False,
        "channels_last": False,
    }
    assert numerics("bf16-mixed", "cuda", [other])["channels_last"]
    assert numerics("32-true", "cuda", [])["tf32_convolutions"] == torch.backends.cudnn.allow_tf32


WORDS = ["model=gan", "data=ring", "budget_kimg=0.1", "batch_size=32", "metrics=none"]
WORDS += ["tracker=none", "trainer=cpu", "model.points.generator.width=4"]


def test_python_call_records_the_command_of_its_words(tmp_path: Path) -> None:
    result = train(compose([*WORDS, "group=g"]), run_dir=tmp_path / "g" / "r", progress=False)
    assert result["command"] == " ".join(["gansweep train", *WORDS, "group=g"])
    assert result["overrides"] == [*WORDS, "group=g"] and not result["no_command"]


def test_configuration_that_was_changed_in_python_has_no_command(tmp_path: Path) -> None:
    cfg = compose(WORDS)
    cfg.seed = 3
    result = train(cfg, run_dir=tmp_path / "run", progress=False)
    assert result["command"] == "" and "changed in Python" in result["no_command"]
    record = RunRecord(tmp_path / "run")
    assert evidence_of(read_run(record)).command == ""
    again = compose([*WORDS, f"resume={record.directory}", "budget_kimg=0.2"])
    assert resumed(again, ["budget_kimg=0.2"], None)[1] is None


def test_label_of_unknown_words_is_made_of_the_settings_without_the_seed() -> None:
    def label(overrides: list[str] | None, **changes: Any) -> str:
        cfg = compose(["model=gan", "data=ring"])
        cfg.update(changes)
        return Account(cfg, cast(Any, None), "cpu", 1, "", None, overrides, None).label()

    assert label(["budget_kimg=5", "seed=1"]) == "gan on ring, budget_kimg 5"
    assert label(None).startswith("gan on ring, settings ")
    assert label(None, seed=1, name="other") == label(None) != label(None, budget_kimg=7)


def test_a_continued_run_keeps_the_revisions_that_began_it(
    command: Command, tmp_path: Path
) -> None:
    result = train(compose([*WORDS, "group=g"]), run_dir=tmp_path / "g" / "r", progress=False)
    assert result["revisions"] == REVISIONS != {}
    record = RunRecord(tmp_path / "g" / "r")
    del result["revisions"]
    record.write_result(result)
    command("train", f"resume={record.directory}", "budget_kimg=0.2")
    continued = record.result() or {}
    assert continued["kimg"] > 0.2 and continued["revisions"] == {}
