"""Images per second of gansweep compared with hand-written PyTorch loops.

The plain loop is the usual one of tutorials: data in memory, no logging, no progress bar, PyTorch's
default Adam, a fresh fake batch for each player. The tuned loop has fused Adam and one fake batch
for both players, as gansweep has. On a CPU it is the processor time of the process that counts, all
its threads together, so that other processes of the machine do not enter. Each round times both
loops, gansweep with callbacks off, and gansweep with its default callbacks and offline W&B
(evaluations are not timed). Ratios are taken within a round, and the median of the rounds is
printed. Above 1, gansweep is faster.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import statistics
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from forks import apart
from omegaconf import DictConfig, OmegaConf
from torch.nn.functional import softplus

from gansweep import compose, train
from gansweep.callbacks.watcher import GameCallback
from gansweep.config.compose import instantiate, model_node
from gansweep.models.adversarial import Adversarial
from gansweep.run.build import build_data
from gansweep.run.devices import accelerator

GAMES = {
    "MLP GAN, ring, batch 512": (
        ["model=gan", "data=ring", "model.batch_size=512"],
        300,
    ),
    "DCGAN, 8x8 grey, batch 64": (["experiment=digits_dcgan"], 150),
    "DCGAN, 28x28 grey, batch 64": (
        ["model=dcgan", "data=digits", "data.image_size=28", "model.batch_size=64"],
        25,
    ),
}
WARM_STEPS = 5
BUDGET_STEPS = 10_000  # only the first are trained, with a row every 50 steps as in a whole run
TIMED: list[float] = []


class Timer(GameCallback):
    """Seconds of training between the warm-up and the last batch, without evaluations."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self._paused = 0.0

    def on_train_start(self, trainer: pl.Trainer, pl_module: Any) -> None:
        outside = self.journal.outside_training

        @contextlib.contextmanager
        def timed() -> Iterator[None]:
            before, began = self._paused, clock(pl_module.device)
            with outside():
                yield
            self._paused = before + clock(pl_module.device) - began  # also where they nest

        self.journal.outside_training = timed  # type: ignore[method-assign]

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        if module.steps == WARM_STEPS:
            self._began = clock(module.device) - self._paused
        elif module.steps == WARM_STEPS + self.steps:
            TIMED.append(clock(module.device) - self._paused - self._began)


def clock(device: torch.device) -> float:
    """Seconds: of the process's work on a CPU, of time with a GPU."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def loop_by_hand(cfg: DictConfig, steps: int, tuned: bool) -> float:
    """Seconds for `steps` steps of the game."""
    data = build_data(cfg)
    device = torch.device(accelerator(cfg.trainer.accelerator))
    images = torch.cat([chunk for chunk, _ in data.arrays("train")]).to(device)
    if not data.is_points:
        images = images.float().div(127.5).sub(1)
    node = model_node(cfg, data.is_points)
    generator = instantiate(node.generator)(
        sample_shape=tuple(data.shape), latent_dim=cfg.model.latent_dim
    ).to(device)
    discriminator = instantiate(node.discriminator)(sample_shape=tuple(data.shape)).to(device)
    rates = cfg.model.optimizer.generator
    opt_g, opt_d = (
        torch.optim.Adam(net.parameters(), lr=rates.lr, betas=tuple(rates.betas), fused=tuned)
        for net in (generator, discriminator)
    )
    n = cfg.batch_size
    for step in range(WARM_STEPS + steps):
        if step == WARM_STEPS:
            began = clock(device)
        real = images[torch.randint(len(images), (n,), device=device)]
        fake = generator(torch.rand(n, cfg.model.latent_dim, device=device) * 2 - 1)
        opt_d.zero_grad()
        loss = softplus(-discriminator(real)).mean() + softplus(discriminator(fake.detach())).mean()
        loss.backward()
        opt_d.step()
        if not tuned:
            fake = generator(torch.rand(n, cfg.model.latent_dim, device=device) * 2 - 1)
        opt_g.zero_grad()
        softplus(-discriminator(fake)).mean().backward()
        opt_g.step()
    return clock(device) - began


def through_gansweep(cfg: DictConfig, steps: int, callbacks: str, directory: Path) -> float:
    """Seconds for `steps` steps by `train`."""
    cfg = cfg.copy()
    options = ["metrics=none", "tracker=none"] if callbacks == "none" else ["tracker=wandb"]
    chosen = compose([f"callbacks={callbacks}", *options])
    for group in ("callbacks", "metrics", "tracker"):
        cfg[group] = chosen[group]
    cfg.budget_kimg = BUDGET_STEPS * cfg.batch_size / 1000
    until_kimg = (WARM_STEPS + steps) * cfg.batch_size / 1000
    cfg.extra_packages = ["throughput"]
    OmegaConf.update(
        cfg, "callbacks.timer", {"_target_": "throughput.Timer", "steps": steps}, force_add=True
    )
    with contextlib.redirect_stderr(io.StringIO()):  # the doctor warns about a run this short
        train(cfg, run_dir=directory, progress=False, until_kimg=until_kimg)
    import throughput  # the module that the configuration names, not __main__

    return float(throughput.TIMED[-1])


def measure(name: str, overrides: list[str], steps: int, rounds: int) -> list[dict[str, Any]]:
    """Print the ratio of each way to each loop.   Returns: the ratios as rows."""
    cfg = compose(overrides)
    device = accelerator(cfg.trainer.accelerator)
    ways = ("callbacks off", "none"), ("default callbacks", "default")
    loops: dict[str, list[float]] = {"plain": [], "tuned": []}
    ratios: dict[tuple[str, str], list[float]] = {
        (way, loop): [] for way, _ in ways for loop in loops
    }
    for number in range(rounds):
        for loop in loops:
            by_hand = partial(loop_by_hand, cfg, steps, tuned=loop == "tuned")
            loops[loop].append(apart(by_hand, device))
        with tempfile.TemporaryDirectory() as folder:
            for way, callbacks in ways:
                place = Path(folder) / callbacks
                ours = apart(partial(through_gansweep, cfg, steps, callbacks, place), device)
                for loop, seconds in loops.items():
                    ratios[way, loop].append(seconds[-1] / ours)
        print(f"  round {number + 1}/{rounds}", end="\r", flush=True)
    speed = steps * cfg.batch_size / statistics.median(loops["plain"])
    print(f"{name}: plain loop {speed:,.0f} images/s")
    rows = []
    for (way, loop), found in ratios.items():
        median, least, most = statistics.median(found), min(found), max(found)
        print(f"  {way:18} {median:.2f} of the {loop} loop ({least:.2f} to {most:.2f})")
        rows.append(
            {
                "game": name,
                "way": way,
                "loop": loop,
                "images_per_second": steps * cfg.batch_size / statistics.median(loops[loop]),
                "median": median,
                "least": least,
                "most": most,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each game (default 5)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument(
        "--device", choices=["auto", "cuda", "cpu"], default="auto", help="default: auto"
    )
    parser.add_argument("--only", default="", help="only games with this word in their name")
    parser.add_argument("--json", type=Path, help="write the ratios to this file too")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    torch.set_num_threads(options.threads)
    device = accelerator(options.device)
    named = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{named}, {options.threads} thread(s), torch {torch.__version__}")
    rows: list[dict[str, Any]] = []
    chosen = {name: game for name, game in GAMES.items() if options.only in name}
    for name, (overrides, steps) in chosen.items():
        words = [*overrides, f"trainer.accelerator={device}"]
        rows += measure(name, words, steps, options.rounds)
        if options.json:  # after each game: the time limit may stop a later one
            options.json.write_text(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
