"""The duality gap: how much each player could still gain by moving alone."""

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
from gansweep.terms.collectives import alone

ROWS_KEPT = 6400  # of the validation split: half to train worst opponents, half to evaluate
SEED = 20181112


class DualityGap(ImageClockWatcher):
    """Logs game/duality_gap = M(u, worst v) - M(worst u, v): 0 at an equilibrium, otherwise above.

    M(u, v) is the value of the game between generator u and discriminator v (see `game_value`).
    To find a worst opponent, a copy of the current player is trained for `steps` steps with its
    own loss, while the other player is fixed. If that does not make it worse, the current player
    counts. One half of the validation split trains the copies, the other half evaluates them; no
    player was trained on either. game/worst_discriminator is M(u, worst v), game/worst_generator
    is M(worst u, v). The estimate is a lower bound; more steps come closer to the true gap.

    The run is not affected: weights, statistics, optimizers and random numbers are restored. The
    game does not change while it is measured: schedules and the memory of a model are fixed, and
    lazy terms act in every step with their own weight (see `Clock`). A discriminator that judges
    samples together gets whole groups; held-out images that do not fill a group are left out.

    steps, batch_size, learning_rate: of Adam (beta_1 0.5). They do not follow the run's own
        optimizer, so that gaps of different runs are comparable and an untrained discriminator is
        detected. batch_size is rounded down to whole groups, at least one. Sidheekh et al. 2020 (On
        Duality Gap as a Measure for Monitoring GAN Training) used 249 steps of 64 at 5e-4.
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
        self._cost_reported = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Check the data and the game before training.

        Raises: UserError for data without held-out images, or a game without a duality gap.
        """
        assert isinstance(pl_module, Adversarial)
        least = 2 * max(2, pl_module.judged_together)
        if self.data.n_validation < least:
            raise UserError(
                f"The duality gap needs at least {least} held-out images for two halves, but "
                f"data={self.data.name} has {self.data.n_validation} validation images. Set "
                "data.n_validation, for example to a tenth of the training images, or leave the "
                "gap out with '~callbacks.duality_gap'."
            )
        players = list(pl_module.players)
        makers = set(players) & set(pl_module.makers)
        if len(players) != 2 or len(makers) != 1 or pl_module.needs_source:
            raise UserError(
                "The duality gap is defined for one generator of new samples and one "
                f"discriminator, but this model's players are {', '.join(players)}. Leave the gap "
                "out with '~callbacks.duality_gap'."
            )
        self._adversary, self._judging = Rows.of(self.data, "validation", ROWS_KEPT).halves()
        with unchanged(pl_module):
            self._value(pl_module)  # raises for kinds of scores that have no game value

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        self._images_seen_here += images
        super().after_step(trainer, module, images)

    def work(self, module: Adversarial) -> None:
        """Log the gap and the two values whose difference it is. The model is not changed."""
        if not self._cost_reported:
            say(self._cost(module))
            self._cost_reported = True
        discriminator, generator = sorted(module.players, key=lambda name: name in module.makers)
        with unchanged(module):
            value = self._value(module)
        worst = {}
        for player in (discriminator, generator):
            with unchanged(module):
                self._train(player, module)
                worst[player] = self._value(module)
        # the current opponent is also a candidate
        worst_discriminator = torch.maximum(value, worst[discriminator])
        worst_generator = torch.minimum(value, worst[generator])
        gap = worst_discriminator - worst_generator
        numbers = torch.stack([gap, worst_discriminator, worst_generator]).tolist()
        names = ("game/duality_gap", "game/worst_discriminator", "game/worst_generator")
        self.journal.log(module.images_seen, dict(zip(names, numbers, strict=True)))

    def _cost(self, module: Adversarial) -> str:
        """What one measurement costs, estimated from the time of the run's own steps."""
        seconds_an_image = self.journal.training_seconds / self._images_seen_here
        # the cost is counted in moves of a player
        moves_an_image = 1 + module.n_generator * module.generator_batch / module.n_critic
        # a move costs about three evaluations; three values evaluate every judging image once
        images = (2 * self.steps * self.batch_size + len(self._judging)) / moves_an_image
        share = images / (self.every_kimg * 1000)
        return (
            f"the duality gap trains a copy of each player for {self.steps} steps of "
            f"{self.batch_size} images every {self.every_kimg:g} kimg: about "
            f"{images * seconds_an_image:.1f} s each time, {share:.0%} on top of training."
        )

    def _train(self, player: str, module: Adversarial) -> None:
        """Train one player in place, with its own loss, on the half for training."""
        rng = generator_for(SEED, module.images_seen)
        draws = Draws(SEED, module.device)
        parameters = [p for p in module.players[player].parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=self.learning_rate, betas=(0.5, 0.999))
        clock = replace(module.clock, lazy=False)
        together = module.judged_together
        size = max(1, self.batch_size // together) * together
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
        """M of the current players on the half for evaluation, always with the same noise."""
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
            # training mode and training weights, not the averages that make samples
            scores = module.player_loss(first, batch, drawn, fakes, clock).scores
            assert scores is not None, "the first player's loss states its scores"
            total += game_value(scores.real, scores.fake, scores.kind) * (len(rows) / n)
        return total


def slices(n: int, size: int, together: int) -> Iterator[Tensor]:
    """Batches of the numbers 0 to n - 1, of about `size` each and of whole groups of neighbours.

    n: a multiple of `together`, the size of a group.
    """
    groups = torch.arange(n).reshape(-1, together)
    parts = min(math.ceil(n / size), len(groups))
    return (part.flatten() for part in groups.tensor_split(parts))


@contextlib.contextmanager
def unchanged(module: Adversarial) -> Iterator[None]:
    """On exit, restore everything that was changed in the players, exactly.

    It restores weights, buffers, memory, gradients and the global random state. The optimizers
    and the run's own noise must not be used inside. The other processes take no part.
    """
    kept_by = (*module.players.values(), *module.memory.values())
    tensors = [t for net in kept_by for t in (*net.parameters(), *net.buffers())]
    kept = [tensor.detach().clone() for tensor in tensors]
    gradients = [(p, p.grad) for net in module.players.values() for p in net.parameters()]
    devices = [module.device] if module.device.type == "cuda" else []
    for parameter, _ in gradients:
        parameter.grad = None
    with torch.random.fork_rng(devices=devices), torch.enable_grad(), alone():
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, kept, strict=True):
                    tensor.copy_(value)
            for parameter, gradient in gradients:
                parameter.grad = gradient
            torch.clear_autocast_cache()
