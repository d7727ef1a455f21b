"""trainer.compile=auto, with a compiler of the test's own whose speed and accuracy are known."""

import copy
import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.records.record import RunRecord
from gansweep.run import compiling
from gansweep.run.train import train

GAME = ["model=gan", "data=ring", "batch_size=32", "trainer=cpu", "tracker=none", "metrics=none"]
Compiler = Callable[..., None]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> Iterator[Compiler]:
    """Sets what compiled networks are like: how many seconds a call of one gains, what it adds to
    the result, the error that the first call raises."""
    ticks, gained = itertools.count(), [0.0]
    clock = SimpleNamespace(
        process_time=lambda: next(ticks) - gained[0], perf_counter=lambda: next(ticks)
    )
    monkeypatch.setattr(compiling, "time", clock)
    monkeypatch.setattr(compiling.shutil, "which", lambda name: f"/usr/bin/{name}")

    def choose(gain: float = 0.0, adds: float = 0.0, error: Exception | None = None) -> None:
        def compile(self: nn.Module) -> None:
            def call(*args: Any, **named: Any) -> Any:
                if error is not None:
                    raise error
                gained[0] += gain
                return self._call_impl(*args, **named) + adds

            self._compiled_call_impl = call

        monkeypatch.setattr(nn.Module, "compile", compile)

    choose()
    yield choose


def game() -> tuple[Adversarial, Batch]:
    torch.manual_seed(0)
    cfg = config.compose(GAME)
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    node = config.model_node(cfg, is_points=True)
    model: Adversarial = config.instantiate(node, sample_shape=(2,))
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model, Batch(torch.rand(8, 2))


def is_compiled(model: Adversarial) -> list[bool]:
    return [network._compiled_call_impl is not None for network in model.players.values()]


@pytest.mark.parametrize(("gain", "compiled"), [(0.1, True), (-0.1, False)])
def test_the_faster_way_is_taken_and_both_are_stated(
    compiler: Compiler, gain: float, compiled: bool
) -> None:
    compiler(gain=gain)
    model, batch = game()
    found = compiling.decide(model, batch, nullcontext, "32-true")
    assert found["compiled"] is compiled and set(is_compiled(model)) == {compiled}
    assert (found["compiled_ms"] < found["plain_ms"]) is compiled
    assert found["largest_difference"] == 0.0 and found["bound"] == 1e-3
    assert ("compiled:" if compiled else "plain:") in compiling.in_words(found)


def test_measuring_leaves_nothing_behind_that_a_step_depends_on(compiler: Compiler) -> None:
    model, batch = game()
    model.training_step(batch, 0)  # the optimizers have moments
    before, rng = copy.deepcopy(model.game_state()), torch.get_rng_state()
    compiling.decide(model, batch, nullcontext, "32-true")
    after = model.game_state()
    assert torch.equal(rng, torch.get_rng_state())
    assert str(after) == str(before) and after["steps"] == 1
    for player, state in before["players"].items():
        for name, value in state.items():
            assert torch.equal(after["players"][player][name], value)


def test_compiled_losses_beyond_the_bound_are_not_trained_with(compiler: Compiler) -> None:
    compiler(gain=0.1, adds=0.05)
    model, batch = game()
    found = compiling.decide(model, batch, nullcontext, "32-true")
    assert not found["compiled"] and not any(is_compiled(model))
    assert found["largest_difference"] > found["bound"] and "bound" in found["why"]


def test_networks_that_do_not_compile_train_plain_with_the_reason(compiler: Compiler) -> None:
    compiler(error=RuntimeError("no such instruction\nmore"))
    model, batch = game()
    found = compiling.decide(model, batch, nullcontext, "32-true")
    assert found == compiling.plain("it does not compile: no such instruction")
    assert not any(is_compiled(model)) and model.steps == 0


def test_without_a_compiler_it_is_plain_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    model, batch = game()
    found = compiling.decide(model, batch, nullcontext, "32-true")
    assert not found["compiled"] and "no C++ compiler" in compiling.in_words(found)
    again = compiling.taken_up(model, {"compiled": True, "why": "measured"})
    assert not again["compiled"] and not any(is_compiled(model))


def test_a_run_states_the_decision_is_the_plain_one_and_keeps_it_when_it_continues(
    compiler: Compiler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = {}
    for choice in ("false", "auto"):
        words = [*GAME, "callbacks.losses.every_steps=1", "~callbacks.samples"]
        cfg = config.compose([*words, f"trainer.compile={choice}", "budget_kimg=0.064"])
        train(cfg, run_dir=tmp_path / choice, progress=False)
        history = RunRecord(tmp_path / choice).history()
        rows[choice] = [row[k] for row in history for k in row if k.startswith("loss/")]
    assert rows["auto"] == rows["false"] and len(rows["auto"]) == 4
    found = (RunRecord(tmp_path / "auto").result() or {})["compile"]
    assert found["why"] == "measured: plain is faster"

    monkeypatch.setattr(compiling, "decide", lambda *_: pytest.fail("it measures again"))
    cfg.budget_kimg = 0.128
    result = train(cfg, run_dir=tmp_path / "auto", progress=False)
    assert result["kimg"] == 0.128 and result["compile"] == found
