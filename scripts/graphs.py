"""A training step as one CUDA graph: images per second against the eager step, and its parity.

Where the losses of a two-player game are pure functions of networks, batch, draws and a clock, a
whole turn can be captured once and replayed: the processor then starts one thing a step in place of
hundreds. The batch and the draws are copied into the tensors that the graph reads. Nothing is
captured on a CPU: there the same turn runs as it is, which rehearses the program.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws

GAMES = {
    "MLP GAN, 2-D points, batch 512": (["model=gan"], (2,), 512),
    "DCGAN, 28x28 grey, batch 64": (["model=dcgan"], (1, 28, 28), 64),
}
WARM_STEPS = 3  # before a capture, so that libraries choose their algorithms
STEPS = {"cuda": 200, "cpu": 3}
TOLERANCE = 1e-9  # in float64, after several steps


class CapturedTurn:
    """One turn of a game in which each player moves once and all share the noise, captured.

    model: with optimizers and draws, before its first step. Its counters stay where they are: what
    a schedule sets is captured with the turn.
    """

    def __init__(self, model: Adversarial, batch: Batch) -> None:
        assert model.draws is not None
        assert model.turn() == tuple(model.players)
        assert model.shared_noise and model.accumulate == 1
        self.model = model
        self.batch = batch.each(torch.clone)
        self.drawn = model.draw(model.draws, batch, model.clock)
        self.losses: dict[str, Tensor] = {}
        self._graph: torch.cuda.CUDAGraph | None = None
        if batch.images.device.type == "cuda":
            self._capture()

    def _capture(self) -> None:
        for optimizer in self.model._optimizers.values():
            for group in optimizer.param_groups:
                group["capturable"] = True
        tensors = [*self.model.parameters(), *self.model.buffers()]
        before = [tensor.detach().clone() for tensor in tensors]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_STEPS):
                self._turn()
        torch.cuda.current_stream().wait_stream(stream)
        for optimizer in self.model._optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._turn()
        with torch.no_grad():  # in place: the graph reads these very tensors
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
            for optimizer in self.model._optimizers.values():
                for state in optimizer.state.values():
                    for value in state.values():
                        value.zero_()

    def _turn(self) -> None:
        model, clock = self.model, self.model.clock
        fakes = model.make(self.batch, self.drawn, clock)
        for player in model.players:
            optimizer = model._optimizers[player]
            optimizer.zero_grad(set_to_none=True)
            terms = model.player_loss(player, self.batch, self.drawn, fakes, clock)
            terms.loss.backward(inputs=model._parameters_of[player])
            optimizer.step()
            self.losses[player] = terms.loss.detach()

    def step(self, batch: Batch) -> None:
        """A turn on another batch of the same shape, with the next draws."""
        assert self.model.draws is not None and batch.labels is None
        self.batch.images.copy_(batch.images)
        for name, value in self.model.draw(self.model.draws, batch, self.model.clock).items():
            self.drawn[name].copy_(value)
        if self._graph is None:
            self._turn()
        else:
            self._graph.replay()


def built(words: list[str], shape: tuple[int, ...], device: str, dtype: torch.dtype) -> Adversarial:
    """The model, its weights and draws from a fixed seed."""
    cfg = config.compose([*words, "model.n_critic=1"])
    if dtype == torch.float64:  # for parity a small form is enough
        cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    torch.manual_seed(0)
    node = config.model_node(cfg, is_points=len(shape) == 1)
    model: Adversarial = config.instantiate(node, sample_shape=shape).to(device, dtype)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device(device))
    return model


def batches(count: int, n: int, shape: tuple[int, ...], device: str, dtype: torch.dtype) -> list:
    rng = torch.Generator().manual_seed(2)
    images = [torch.rand(n, *shape, generator=rng, dtype=dtype) * 2 - 1 for _ in range(count)]
    return [Batch(image.to(device)) for image in images]


def difference(words: list[str], shape: tuple[int, ...], device: str) -> float:
    """The largest difference of a weight or buffer after five turns in float64, of max(1, |a|)."""
    eager, other = (built(words, shape, device, torch.float64) for _ in "ab")
    given = batches(5, 8, shape, device, torch.float64)
    turn = CapturedTurn(other, given[0])
    for model in (eager, other):
        model.draws = Draws(3, torch.device(device))
    for number, batch in enumerate(given):
        eager.training_step(batch, number)
        turn.step(batch)
    pairs = zip(eager.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float(((a - b).abs() / a.abs().clamp(min=1)).max()) for a, b in pairs if a.numel())


def speeds(words: list[str], shape: tuple[int, ...], n: int, device: str, rounds: int) -> list:
    """Seconds of the eager steps over those of the captured ones, a number a round."""
    given = batches(4, n, shape, device, torch.float32)
    eager, other = (built(words, shape, device, torch.float32) for _ in "ab")
    turn, steps = CapturedTurn(other, given[0]), STEPS[device]
    ways = (lambda k: eager.training_step(given[k % 4], k), lambda k: turn.step(given[k % 4]))
    found = []
    for _ in range(rounds):
        seconds = []
        for way in ways:
            way(0)
            if device == "cuda":
                torch.cuda.synchronize()
            began = time.perf_counter()
            for k in range(steps):
                way(k)
            if device == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - began)
        found.append(seconds[0] / seconds[1])
    return found


def main() -> int:
    """Exit code: 1 if a captured turn differs from the eager one by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default: cuda")
    parser.add_argument("--rounds", type=int, default=5, help="default: 5")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, (words, shape, n) in GAMES.items():
        differs = difference(words, shape, options.device)
        ratios = speeds(words, shape, n, options.device, options.rounds)
        row = {"game": name, "difference": differs, "median": statistics.median(ratios)}
        rows.append(row | {"least": min(ratios), "most": max(ratios)})
        print(f"{name}: {row['median']:.2f} of the eager speed, differs by {differs:.1e}")
        if options.json:
            options.json.write_text(json.dumps(rows) + "\n")
    return 0 if all(row["difference"] <= TOLERANCE for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
