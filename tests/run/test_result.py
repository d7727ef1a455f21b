"""How a record states the command that trains its run again."""

from __future__ import annotations

import torch
from torch import nn

from gansweep.run.devices import numerics
from gansweep.run.result import why_no_command

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
