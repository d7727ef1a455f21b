"""The game near its rest: eigenvalues of its vector field, and how fast training comes nearer."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gansweep.callbacks.duality import unchanged
from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.config.ranges import Kimg
from gansweep.errors import UserError
from gansweep.metrics.protocol import DIRECTIONS, Score
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws

MOST_PARAMETERS = 200  # the Jacobian has as many rows and columns
STEP = 1e-5  # of the differences, in the parameters
SEED = 20180113
SMOOTH = 1e-2  # largest difference of derivatives by this step and by ten times it


class GameAtRest(ImageClockWatcher):
    """Logs scores of the game itself, for games so small that their equilibrium is known: all 0.

    eigenvalue_real, eigenvalue_imaginary: the largest real part, and the largest imaginary part, of
        the eigenvalues of the Jacobian of the players' velocities under gradient flow, where all
        parameters are 0. It is stable where the real part is negative. Not logged where the
        velocities have a kink there.
    distance_to_rest: the 2-norm of all parameters now.
    contraction: by which factor that norm has changed a step, on average since the last look: below
        1 where training converges.

    The run is not affected. Derivatives are central differences, whose last digits need
    trainer.precision=64-true.
    Source: Mescheder et al. 2018, arXiv:1801.04406, Section 2 and Theorem 4.1.
    """

    def __init__(self, every_kimg: Kimg) -> None:
        super().__init__(every_kimg)
        self._before: tuple[int, float] | None = None  # steps, norm

    def work(self, module: Adversarial) -> None:
        """Raises: UserError for a game of many parameters."""
        parameters = [p for net in module.players.values() for p in net.parameters()]
        count = sum(p.numel() for p in parameters)
        if count > MOST_PARAMETERS:
            raise UserError(
                f"callbacks.game_at_rest differentiates by each parameter, and this game has "
                f"{count:,}. Leave it out, or use networks of {MOST_PARAMETERS} at most, as "
                "experiment=paper_dirac_gan."
            )
        norm = math.sqrt(sum(float(p.detach().double().square().sum()) for p in parameters))
        found = {"distance_to_rest": norm}
        if self._before is not None and norm > 0 and self._before[1] > 0:
            steps = module.steps - self._before[0]
            found["contraction"] = (norm / self._before[1]) ** (1 / max(1, steps))
        self._before = module.steps, norm
        jacobian = self._jacobian(module, parameters)
        if jacobian is not None:
            values = torch.linalg.eigvals(jacobian)
            found["eigenvalue_real"] = float(values.real.max())
            found["eigenvalue_imaginary"] = float(values.imag.max())
        self.journal.score(module.images_seen, {k: _score(k, v) for k, v in found.items()})

    def _jacobian(self, module: Adversarial, parameters: list[nn.Parameter]) -> Tensor | None:
        """(n, n) float64, where all n parameters are 0; None where the velocities have a kink."""
        with unchanged(module):
            near, far = (self._differences(module, parameters, h) for h in (STEP, 10 * STEP))
        return near if (near - far).abs().max() < SMOOTH else None

    def _differences(
        self, module: Adversarial, parameters: list[nn.Parameter], step: float
    ) -> Tensor:
        """(n, n) float64: central differences of the velocities around 0; changes the weights."""
        columns = []
        for parameter in parameters:
            for place in range(parameter.numel()):
                sides = []
                for value in (step, -step):
                    _set(parameters, 0.0)
                    with torch.no_grad():
                        parameter.view(-1)[place] = value
                    sides.append(self._velocity(module))
                columns.append((sides[0] - sides[1]) / (2 * step))
        return torch.stack(columns, dim=1)

    def _velocity(self, module: Adversarial) -> Tensor:
        """(n,) float64: minus the gradient of each player's own loss in its own parameters."""
        clock = replace(module.clock, lazy=False)
        drawn = module.draw(Draws(SEED, module.device), self.batch, clock)
        found = []
        for player, network in module.players.items():
            own = list(network.parameters())
            fakes = module.make(self.batch, drawn, clock)
            loss = module.player_loss(player, self.batch, drawn, fakes, clock).loss
            gradients = torch.autograd.grad(loss, own, allow_unused=True)
            found += [
                torch.zeros(p.numel(), dtype=torch.float64) if g is None else -g.double().flatten()
                for p, g in zip(own, gradients, strict=True)
            ]
        return torch.cat([one.cpu() for one in found])

    def state_dict(self) -> dict[str, Any]:
        return {"before": self._before}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        before = state_dict["before"]
        self._before = None if before is None else (before[0], before[1])


@torch.no_grad()
def _set(parameters: list[nn.Parameter], value: float) -> None:
    for parameter in parameters:
        parameter.fill_(value)


def _score(word: str, value: float) -> Score:
    nothing = dict.fromkeys(("n_real", "split", "backbone", "noise_seed"))
    return Score(value, {"score": word, "direction": DIRECTIONS.get(word), "n_fake": 0, **nothing})
