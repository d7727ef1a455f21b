"""Compare one training step of every model on a device with the same step on the CPU.

Each variant of conf/model/ is built twice in its tiny form, with the same weights, batch and random
draws, in float64, so that only the order of summation differs. One step updates every player on
both devices. Compared are the players' losses and every weight and buffer after the step.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws

SHAPE = (1, 8, 8)
N = 8
N_CLASSES = 10
TOLERANCE = 1e-6  # in float64; a step of Adam magnifies differences of tiny gradients


class HostDraws(Draws):
    """Random draws made on the CPU and moved to the model's device."""

    def __init__(self, seed: int, device: torch.device) -> None:
        super().__init__(seed, torch.device("cpu"))
        self.device = device

    def _rows(
        self, draw: Callable[..., Tensor], n: int, shape: tuple[int, ...], dtype: torch.dtype | None
    ) -> Tensor:
        return super()._rows(draw, n, shape, dtype).to(self.device)


def variants() -> list[str]:
    return sorted(path.stem for path in (config.conf_dir() / "model").glob("*.yaml"))


def small(variant: str, device: torch.device) -> Adversarial:
    """The variant's `tiny` form for 8x8 images, on `device`, its weights from a fixed seed."""
    cfg = config.compose([f"model={variant}", "model.n_critic=1"])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    torch.manual_seed(0)
    model: Adversarial = config.instantiate(
        config.model_node(cfg, is_points=False),
        sample_shape=SHAPE,
        n_classes=N_CLASSES,
        source_shape=SHAPE,
    ).to(device, torch.float64)
    model.configure_optimizers()
    model.draws = HostDraws(1, device)
    return model


def after_a_step(variant: str, device: torch.device) -> dict[str, Tensor]:
    """The losses, weights and buffers after one step of every player, on the CPU."""
    model = small(variant, device)
    rng = torch.Generator().manual_seed(2)
    images, source = (torch.rand(N, *SHAPE, generator=rng).double() * 2 - 1 for _ in "is")
    batch = Batch(images, torch.arange(N) % N_CLASSES, source)
    model.training_step(batch.to(device), 0)
    found = {name: torch.tensor(mean) for name, mean in model.recent_means().items()}
    for player, network in model.players.items():
        found |= {f"{player}.{key}": value for key, value in network.state_dict().items()}
    return {key: value.detach().cpu().double() for key, value in found.items()}


def difference(variant: str, device: torch.device) -> tuple[float, str]:
    """The largest |a - b| / max(1, |a|) over losses, weights and buffers, and where it is."""
    expected = after_a_step(variant, torch.device("cpu"))
    found = after_a_step(variant, device)
    assert expected.keys() == found.keys()
    worst = max(
        (((found[key] - a).abs() / a.abs().clamp(min=1)).max().item(), key)
        for key, a in expected.items()
        if a.numel()
    )
    return worst


def main() -> int:
    """Exit code: 1 if a model fails or differs by more than the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--device", default="cuda", help="cuda (default) or cpu")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    device = torch.device(options.device)
    found: dict[str, Any] = {}
    for variant in variants():
        try:
            worst, where = difference(variant, device)
        except Exception as error:  # check the other models too
            found[variant] = None
            print(f"  {variant:24} failed: {type(error).__name__}: {error}", flush=True)
            continue
        found[variant] = worst
        verdict = "" if worst <= TOLERANCE else f"  DIFFERS in {where}"
        print(f"  {variant:24} {worst:.1e}{verdict}", flush=True)
    equal = [v for v, worst in found.items() if worst is not None and worst <= TOLERANCE]
    print(f"{len(equal)} of {len(found)} models make the same step on {device} as on the CPU")
    if options.json:
        options.json.write_text(json.dumps({"largest": found, "equal": len(equal)}) + "\n")
    return 0 if len(equal) == len(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
