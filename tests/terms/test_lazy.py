"""Lazy penalties: those of gradients join every k-th step, what costs little joins each."""

import pytest
import torch
from torch import nn

from gansweep.terms.clock import Clock
from gansweep.terms.joined import Joined
from gansweep.terms.penalties import R1, Consistency, GradientPenalty, LeCam
from gansweep.terms.term import Step, Term


def values(penalties: dict[str, Term], clock: Clock) -> dict[str, float]:
    """What each penalty alone adds to a loss of 0, of a critic that sums an image's pixels."""
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(4, 1, 8, 8, generator=rng), torch.randn(4, 1, 8, 8, generator=rng)
    judge = nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
    nn.init.ones_(judge[1].weight)
    nn.init.zeros_(judge[1].bias)
    added = {}
    for name, penalty in penalties.items():
        if isinstance(penalty, LeCam):
            penalty.steps += 1
        drawn = {
            f"{name}.{key}": torch.rand(shape, generator=rng)
            for key, (_, shape) in penalty.noise(real).items()
        }
        scores, raw = (judge(real), judge(fake)), (real, fake)
        seen = Step(real, fake, *scores, judge, judge, *raw, lambda x, view: x, drawn, clock)
        joined = Joined({name: penalty}, {}, {}, penalty_interval=4)
        total, _ = joined.join("discriminator", torch.zeros(()), lambda seen=seen: seen)
        added[name] = total.item()
    return added


def test_only_penalties_of_gradients_are_lazy() -> None:
    makers = {"r1": R1, "gp": GradientPenalty, "lecam": LeCam, "consistency": Consistency}
    of_gradients = {"r1", "gp"}

    def at(clock: Clock) -> dict[str, float]:
        return values({name: maker(weight=2.0) for name, maker in makers.items()}, clock)

    always = at(Clock(lazy=False))
    assert min(always.values()) > 0
    for step in range(6):
        due = step % 4 == 0
        expected = {n: v * (4 * due if n in of_gradients else 1) for n, v in always.items()}
        assert at(Clock(step)) == pytest.approx(expected)
