"""The duality gap: how much either player could still win by moving alone."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import replace

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from gansweep.callbacks.real_samples import Rows
from gansweep.callbacks.watcher import ImageClockWatcher
from gansweep.config.ranges import Count, Kimg, Rate
from gansweep.data.order import generator_for
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.metrics.cache import say
from gansweep.metrics.scores.equilibrium import game_value
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws

ROWS_KEPT = 6400  # of the validation split, half for the worst opponents and half for the scores
SEED = 20181112


class DualityGap(ImageClockWatcher):
    """Logs game/duality_gap = M(u, worst v) - M(worst u, v), 0 at an equilibrium, else above.

    M(u, v) is the value of the game between generator u and discriminator v (see `game_value`).
    The worst opponent of each is found by training a copy of the present one for `steps` steps of
    its own loss while the other stands still; what training did not make worse stays as it was.
    Half of the validation split, which no player was trained on, trains them; the other half scores
    them. game/worst_discriminator is M(u, worst v), game/worst_generator M(worst u, v). The more
    steps, the closer to the true gap, from below.

    The game is that of the moment: schedules stand still, what a model remembers beside its weights
    too, and lazy terms act in every step with their own weight (see `Clock`), so that the gap is
    the same at any interval. A discriminator that judges samples together is given whole groups
    (see `judged_together`); held-out images that fill no group are left out.

    The run goes on as if nobody had looked: weights, statistics, optimizers and random numbers
    are left as they are found.

    steps, batch_size, learning_rate: of Adam (beta_1 0.5), the same whatever optimizer the run
        has: the gaps of different runs compare, and a discriminator that a run holds still is
        found out. A batch_size of no whole groups is lowered to whole ones, of at least one. As
        published with Sidheekh et al. 2020 (On Duality Gap as a Measure for Monitoring GAN
        Training): 249 steps of 64 at 5e-4.
    Source: Grnarova et al. 2019, arXiv:1811.05512.
    """

    data: DataSource

    def __init__(
        self, every_kimg: Kimg, steps: Count, batch_size: Count, learning_rate: Rate
    ) -> None:
        super().__init__(every_kimg)
        self.steps = steps
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self._images_seen_here = 0
        self._said = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Raises: UserError for data or a game that have no such gap, before any training."""
        assert isinstance(pl_module, Adversarial)
        least = 2 * max(2, pl_module.judged_together)
        if self.data.n_validation < least:
            raise UserError(
                f"The duality gap is measured on held-out images, and data={self.data.name} sets "
                f"{self.data.n_validation} aside to validate with, fewer than the {least} that two "
                "halves need here. Set data.n_validation to a tenth of the training images, say, "
                "or leave the gap out with '~callbacks.duality_gap'."
            )
        players = list(pl_module.players)
        makers = set(players) & set(pl_module.makers)
        if len(players) != 2 or len(makers) != 1 or pl_module.needs_source:
            raise UserError(
                "The duality gap is that of one generator of new samples and one discriminator; "
                f"this model's players are {', '.join(players)}. Leave it out with "
                "'~callbacks.duality_gap'."
            )
        self._adversary, self._judging = Rows.of(self.data, "validation", ROWS_KEPT).halves()
        with unchanged(pl_module):
            self._value(pl_module)  # refuses scores without a common value

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        self._images_seen_here += images
        super().after_step(trainer, module, images)

    def work(self, module: Adversarial) -> None:
        """Log the gap and the two worst cases whose difference it is.

        The model is left as it was, its weights and the random state included.
        """
        if not self._said:
            say(self._cost(module))
            self._said = True
        generator = next(name for name in module.players if name in module.makers)
        discriminator = next(name for name in module.players if name != generator)
        with unchanged(module):
            value = self._value(module)
        worst = {}
        for player in (discriminator, generator):
            with unchanged(module):
                self._train(player, module)
                worst[player] = self._value(module)
        # each maximum is also over the opponent as it stands
        worst_discriminator = torch.maximum(value, worst[discriminator])
        worst_generator = torch.minimum(value, worst[generator])
        gap = worst_discriminator - worst_generator
        numbers = torch.stack([gap, worst_discriminator, worst_generator]).tolist()
        names = ("game/duality_gap", "game/worst_discriminator", "game/worst_generator")
        self.journal.log(module.images_seen, dict(zip(names, numbers, strict=True)))

    def _cost(self, module: Adversarial) -> str:
        """What one measurement costs, by the time that the run's own steps have taken."""
        seconds_an_image = self.journal.training_seconds / self._images_seen_here
        moves_an_image = 1 + 1 / module.n_critic  # a player's move is what both kinds share
        # a move is about three looks, and three values look once at every judging image
        images = (2 * self.steps * self.batch_size + len(self._judging)) / moves_an_image
        share = images / (self.every_kimg * 1000)
        return (
            f"the duality gap trains a copy of each player for {self.steps} steps of "
            f"{self.batch_size} images every {self.every_kimg:g} kimg: about "
            f"{images * seconds_an_image:.1f} s each time, {share:.0%} on top of training."
        )

    def _train(self, player: str, module: Adversarial) -> None:
        """Move one player, in place, by its own loss on the adversary's half."""
        rng = generator_for(SEED, module.images_seen)
        draws = Draws(SEED, module.device)
        parameters = [p for p in module.players[player].parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999))
        clock = replace(module.clock, lazy=False)
        size = whole_groups(self.batch_size, module)
        for _ in range(self.steps):
            batch = self._adversary.draw(size, rng, module)
            drawn = module.draw(draws, batch, clock)
            with torch.set_grad_enabled(player in module.makers):
                fakes = module.make(batch, drawn, clock)
            loss = module.player_loss(player, batch, drawn, fakes, clock).loss
            optimizer.zero_grad(set_to_none=True)
            loss.backward(inputs=parameters)
            if module.clip_grad_norm is not None:
                nn.utils.clip_grad_norm_(parameters, module.clip_grad_norm)
            optimizer.step()
            module.after_move(player)

    def _value(self, module: Adversarial) -> Tensor:
        """M of the players as they stand, on the judging half, with the same noise every time."""
        draws = Draws(SEED + 1, module.device)
        clock = replace(module.clock, lazy=False)
        first = next(iter(module.players))
        total = torch.zeros((), dtype=torch.float64, device=module.device)
        n = len(self._judging) // module.judged_together * module.judged_together
        for rows in slices(n, self.batch_size, module.judged_together):
            batch = self._judging.batch(rows, module)
            drawn = module.draw(draws, batch, clock)
            with torch.no_grad():
                fakes = module.make(batch, drawn, clock)
            # in the mode and with the weights that play, not with the averages that are sampled
            scores = module.player_loss(first, batch, drawn, fakes, clock).scores
            assert scores is not None, "the first player's loss states its scores"
            total += game_value(scores.real, scores.fake, scores.kind) * (len(rows) / n)
        return total


def whole_groups(n: int, module: Adversarial) -> int:
    """The largest number up to n that the discriminator can be given; one group at least."""
    return max(1, n // module.judged_together) * module.judged_together


def slices(n: int, size: int, together: int) -> Iterator[Tensor]:
    """The numbers below n, a multiple of `together`, in runs of about `size` whole groups of that
    many neighbours."""
    groups = torch.arange(n).reshape(-1, together)
    parts = min(math.ceil(n / size), len(groups))
    return (part.flatten() for part in groups.tensor_split(parts))


@contextlib.contextmanager
def unchanged(module: Adversarial) -> Iterator[None]:
    """Whatever is done to the players in here is undone, to the last bit.

    Weights, buffers, memory, gradients and the global random state are put back; the optimizers
    and the run's own stream of noise must not be used.
    """
    kept_by = (*module.players.values(), *module.memory.values())
    tensors = [t for net in kept_by for t in (*net.parameters(), *net.buffers())]
    kept = [tensor.detach().clone() for tensor in tensors]
    gradients = [(p, p.grad) for net in module.players.values() for p in net.parameters()]
    devices = [module.device] if module.device.type == "cuda" else []
    for parameter, _ in gradients:
        parameter.grad = None
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, kept, strict=True):
                    tensor.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            torch.clear_autocast_cache()
