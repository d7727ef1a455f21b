"""scripts/graphs.py: the turn that is captured on a GPU is the game's own."""

from types import ModuleType

import pytest
import torch
from loaded_scripts import script

GAMES = [(["model=gan"], (2,)), (["model=dcgan"], (1, 8, 8)), (["model=lsgan"], (1, 8, 8))]


@pytest.fixture(scope="module")
def graphs() -> ModuleType:
    return script("graphs")


@pytest.mark.parametrize(("words", "shape"), GAMES, ids=lambda value: str(value[0]))
def test_turn_is_that_of_a_training_step(
    graphs: ModuleType, words: list[str], shape: tuple[int, ...]
) -> None:
    assert graphs.difference(words, shape, "cpu") == 0.0


def test_another_turn_is_noticed(graphs: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    step = graphs.CapturedTurn.step
    monkeypatch.setattr(
        graphs.CapturedTurn, "step", lambda turn, batch: step(turn, batch.each(torch.neg))
    )
    assert graphs.difference(*GAMES[0], "cpu") > graphs.TOLERANCE


@pytest.mark.gpu
@pytest.mark.parametrize(("words", "shape"), GAMES, ids=lambda value: str(value[0]))
def test_captured_turn_is_that_of_a_training_step(
    graphs: ModuleType, words: list[str], shape: tuple[int, ...]
) -> None:
    assert graphs.difference(words, shape, "cuda") <= graphs.TOLERANCE
