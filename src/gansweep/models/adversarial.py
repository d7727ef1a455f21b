"""What every training procedure shares: the turns of a game, its optimizers, its state.

Manual optimization, gradients over several processes, accumulation, clipping, memory, moving
averages, schedules, and the recent losses, which stay on the device until someone asks for them.
The members that each procedure writes itself are in contract.py.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gansweep.config.ranges import Count, Kimg, KimgOrNone, Positive, Range, Scheduled, Share
from gansweep.data.batch import Batch, widened
from gansweep.models.averages import MovingAverages
from gansweep.models.contract import Contract
from gansweep.models.distributed import average_gradients, broadcast
from gansweep.models.draws import Draws
from gansweep.models.optimizers import Maker
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss, Scores, checked, whole
from gansweep.models.stretch import Stretch
from gansweep.terms.clock import Clock
from gansweep.terms.schedules import value_at


class Adversarial(Contract):
    """A game between players, trained by manual optimization.

    sample_shape: (C, H, W) of the data's images, or (D,) of points.
    n_classes: how many classes the labels of a batch tell apart; None without labels.
    source_shape: (C', H, W) of the batch's sources; None without sources.
    optimizer: player -> a callable that makes its optimizer from its parameters.
    n_critic: the players beyond the first move on every n_critic-th batch only.
    n_generator: moves that these make there, one after the other. The first is against the fakes
        that the first player saw; each further one draws noise anew and makes fakes of its own. The
        images seen, and with them schedules and moving averages, count the batch once.
    shared_noise: whether a move may be against the fakes that the first player saw. False: each
        move of the other players draws noise anew, and the classes of the fakes from those of the
        training data, unless the loss compares each fake with a real sample of its class.
    simultaneous: whether the players of a turn move at once, by gradients at the weights before any
        of them moved, for which n_generator is 1; False: one after the other.
    generator_batch: fakes in a move of the other players for each image of a batch; more than 1
        needs shared_noise=false. Real samples in their losses count as many times.
    accumulate: slices into which a batch is cut so that it fits into memory.
    sync_batch_norm: whether batch normalisation in training takes the statistics of the samples of
        all processes, as one process does; False: each process takes those of its own.
    clip_grad_norm: largest 2-norm of a player's gradient; None for no clipping.
    ema_kimg: half-life of the makers' moving averages in thousands of images; None for none. It
        grows from 5 % of the images seen; a schedule states it throughout.
    judged_by: held-out scores, of which the first that is measured ranks the runs; empty: the
        quality of new samples does.
    lr_schedule: (kimg, budget_kimg) -> factor of every learning rate; None for constant rates.
    """

    images_seen: int
    steps: int
    class_ends: Tensor  # (n_classes,) int64

    def __init__(
        self,
        *,
        sample_shape: tuple[int, ...],
        n_classes: int | None = None,
        source_shape: tuple[int, ...] | None = None,
        optimizer: Mapping[str, Callable[[Any], Optimizer]],
        n_critic: Count = 1,
        n_generator: Annotated[int, Range(1, 1_000)] = 1,
        shared_noise: bool = True,
        simultaneous: bool = False,
        generator_batch: Annotated[int, Range(1, 1_000)] = 1,
        accumulate: Count = 1,
        sync_batch_norm: bool = False,
        clip_grad_norm: Positive | None = None,
        ema_kimg: Kimg | Scheduled[KimgOrNone] | None = None,
        lr_schedule: Scheduled[Share] | None = None,
        judged_by: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.sample_shape = tuple(sample_shape)
        self.n_classes = n_classes
        self.source_shape = None if source_shape is None else tuple(source_shape)
        self.refuse_what_is_missing()
        self.optimizer_makers = {player: Maker(make) for player, make in optimizer.items()}
        self.n_critic = n_critic
        self.n_generator = n_generator
        self.shared_noise = shared_noise
        self.simultaneous = simultaneous
        self.generator_batch = generator_batch
        self.refuse_turns_that_do_not_fit()
        # a class ends where its share of the training data does; all alike until these are known
        ends = torch.arange(1, (n_classes or 0) + 1)
        self.register_buffer("class_ends", ends, persistent=False)
        self.accumulate = accumulate
        self.sync_batch_norm = sync_batch_norm
        self.clip_grad_norm = clip_grad_norm
        self.lr_schedule = lr_schedule
        self.judged_by = tuple(judged_by)
        self.budget_kimg = float("inf")
        self.until_kimg = float("inf")  # where this process pauses, short of the budget
        self.images_seen = 0
        self.steps = 0
        self.last_scores: Scores | None = None
        self.last_fakes: Tensor | None = None
        self.last_asked: Batch | None = None  # the rows for which these were made
        self.last_clock: Clock | None = None
        self.draws: Draws | None = None
        self._optimizers: dict[str, Optimizer] = {}
        self._parameters_of: dict[str, list[nn.Parameter]] = {}
        self._averages = MovingAverages(ema_kimg)
        # Bounded, so that a run in which nobody asks for the means keeps no history.
        self._recent: dict[str, deque[Tensor]] = defaultdict(lambda: deque(maxlen=1000))

    def configure_optimizers(self) -> list[Optimizer]:
        """One optimizer a player over what requires a gradient; averages begin with the weights."""
        for player, network in self.players.items():
            parameters = [p for p in network.parameters() if p.requires_grad]
            self._parameters_of[player] = parameters
            optimizer = self.optimizer_makers[player](parameters)
            for group in optimizer.param_groups:
                group.setdefault("initial_lr", group["lr"])
            self._optimizers[player] = optimizer
        for player in self.averaged:
            self._averages.begin(player, self.players[player])
        return list(self._optimizers.values())

    def on_fit_start(self) -> None:
        for average in self._averages.networks.values():
            average.to(self.device)

    def transfer_batch_to_device(
        self, batch: Batch | Stretch, device: torch.device, dataloader_idx: int
    ) -> Batch | Stretch:
        if isinstance(batch, Stretch) or batch.images.device == device:
            return batch
        return batch.to(device)

    def training_step(self, batch: Batch | Stretch, batch_idx: int) -> None:
        """A turn of the game on the batch, or on each of a stretch."""
        for part in [batch] if isinstance(batch, Batch) else batch:
            self.step(part)

    def step(self, batch: Batch) -> None:
        """One turn of the game on a batch: draw, make, then each player whose turn it is moves.

        Without accumulation the losses share one set of fakes, made before the first player moves,
        but for those of the moves that draw noise anew.
        """
        assert self.draws is not None
        clock = self.last_clock = self.clock
        for player, optimizer in self._optimizers.items():
            self.optimizer_makers[player].set(optimizer, clock)
        self._set_learning_rates()
        drawn = self.draw(self.draws, batch, clock)
        moves = tuple(_with_repeats(self.turn()))
        sharing = [player for player, repeat in moves if not self._draws_anew(player, repeat)]
        shared: Tensor | None = None
        if self.accumulate == 1:
            with torch.set_grad_enabled(any(player in self.makers for player in sharing)):
                shared = self.make(batch, drawn, clock)
        learnt: list[tuple[str, list[PlayerLoss]]] = []
        for player, repeat in moves:
            if self._draws_anew(player, repeat):
                now, asked = replace(clock, repeat=repeat), self._asked_anew(batch)
                losses = self._learn(player, asked, self.draw(self.draws, asked, now), None, now)
            else:
                losses = self._learn(player, batch, drawn, shared, clock)
            learnt.append((player, losses))
            if not self.simultaneous:
                self._move(*learnt.pop())
        for player, losses in learnt:
            self._move(player, losses)
        self.steps += 1
        self.images_seen += len(batch) * self.draws.world
        moved = dict.fromkeys(player for player, _ in moves)
        self._update_averages(tuple(moved), len(batch) * self.draws.world)

    def _learn(
        self, player: str, batch: Batch, drawn: Drawn, shared: Tensor | None, clock: Clock
    ) -> list[PlayerLoss]:
        """A player's gradient for its move.   Returns: the losses of the slices.

        shared: the fakes of the batch; None: made here, by slices.
        """
        self._optimizers[player].zero_grad(set_to_none=True)
        slices = []
        for part, part_drawn in self._slices(batch, drawn):
            if shared is None:
                with torch.set_grad_enabled(player in self.makers):
                    fakes = self.make(part, part_drawn, clock)
            else:
                fakes = shared
            terms = self.player_loss(player, part, part_drawn, fakes, clock)
            checked(terms, type(self).__name__, player)
            loss = terms.loss / self.accumulate
            loss.backward(inputs=self._parameters_of[player])  # the idle players stay frozen
            terms.loss = terms.loss.detach()  # its graph is spent
            slices.append(terms)
        self.last_asked = part
        self._record(player, whole(slices), fakes)
        return slices

    @property
    def clock(self) -> Clock:
        """The moment before the next step."""
        return Clock(self.steps, self.images_seen, self.budget_kimg)

    def turn(self) -> tuple[str, ...]:
        """The players that move on this batch, in the order of their moves."""
        names = tuple(self.players)
        if (self.steps + 1) % self.n_critic:
            return names[:1]
        return names[:1] + names[1:] * self.n_generator

    def _draws_anew(self, player: str, repeat: int) -> bool:
        """Whether a move has noise of its own.   repeat: moves of the player before, this turn."""
        return player != next(iter(self.players)) and (repeat > 0 or not self.shared_noise)

    @property
    def draws_classes(self) -> bool:
        """Whether it draws classes of fakes from those of the training data."""
        return self._redraws_classes

    @property
    def _redraws_classes(self) -> bool:
        anew = self.n_generator > 1 or not self.shared_noise
        return self.conditional and anew and not self.pairs_classes

    def _asked_anew(self, batch: Batch) -> Batch:
        """What the fakes of a move with its own noise are made for, of a batch of real samples."""
        assert self.draws is not None
        wide = widened(batch, self.generator_batch, self.judged_together)
        if not self._redraws_classes:
            return wide
        return replace(wide, labels=self.draws.classes(len(wide), self.class_ends))

    def _slices(self, batch: Batch, drawn: Drawn) -> Iterator[tuple[Batch, Drawn]]:
        if self.accumulate == 1:
            yield batch, drawn
            return
        for k in range(self.accumulate):

            def part(tensor: Tensor, k: int = k) -> Tensor:
                n = len(tensor) // self.accumulate
                return tensor[k * n : (k + 1) * n]

            yield batch.each(part), {name: part(value) for name, value in drawn.items()}

    def _record(self, player: str, terms: PlayerLoss, fakes: Tensor) -> None:
        self._recent[f"loss/{player}"].append(terms.loss)
        for name, value in terms.parts.items():
            self._recent[name].append(value)
        if terms.scores is not None:
            self.last_scores = terms.scores
        self.last_fakes = fakes.detach()

    def _move(self, player: str, losses: Sequence[PlayerLoss]) -> None:
        """Step by the gradient, and keep what the player remembers of its losses."""
        parameters = self._parameters_of[player]
        if self.draws is not None and self.draws.world > 1:
            average_gradients(parameters)
        if self.clip_grad_norm is not None:
            norm = nn.utils.clip_grad_norm_(parameters, self.clip_grad_norm)
            self._recent[f"grad_norm/{player}"].append(norm.detach())
        self._optimizers[player].step()
        self.after_move(player)
        # autocast keeps 16-bit copies of weights: the next player must meet the moved ones
        torch.clear_autocast_cache()
        self._keep(self.remembered(player, losses))

    @torch.no_grad()
    def _keep(self, memories: Memories) -> None:
        for name, contents in memories.items():
            buffers = dict(self.memory[name].named_buffers())
            for key, content in contents.items():
                buffers[key].copy_(content)

    def _set_learning_rates(self) -> None:
        if self.lr_schedule is None:
            return
        factor = value_at(self.lr_schedule, self.clock)
        for optimizer in self._optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * factor

    def scheduled(self, clock: Clock) -> dict[str, float]:
        """The settings that follow a schedule at that moment, except the learning rates.

        SETTING/PLAYER of the optimizers, "ema_kimg", and NAME/SETTING of terms -> value.
        """
        found = {
            f"{setting}/{player}": value
            for player, maker in self.optimizer_makers.items()
            for setting, value in maker.values(clock).items()
        }
        half_life = self._averages.half_life_kimg
        return found | ({"ema_kimg": value_at(half_life, clock)} if callable(half_life) else {})

    def _update_averages(self, moved: tuple[str, ...], images: int) -> None:
        first = next(iter(self.players))
        for player in moved:
            since = images if player == first else images * self.n_critic
            self._averages.follow(player, self.players[player], since, self.clock)

    def sampler(self, player: str = "generator") -> nn.Module:
        """The network to sample with: the moving average, or the player itself without one."""
        return self._averages.networks.get(player, self.players[player])

    @property
    def paused(self) -> bool:
        """Whether it has reached its pause with some of its budget left."""
        return self.until_kimg * 1000 <= self.images_seen < self.budget_kimg * 1000

    @property
    def is_done(self) -> bool:
        """Whether no step is left: it has reached its pause, or the end of its budget."""
        return self.paused or self.images_seen >= self.budget_kimg * 1000

    @property
    def learning_rates(self) -> dict[str, float]:
        return {name: o.param_groups[0]["lr"] for name, o in self._optimizers.items()}

    def recent_means(self, *, forget: bool = True) -> dict[str, float]:
        """Mean of each loss and part since they were forgotten; one wait for the device in all."""
        if not self._recent:
            return {}
        names = list(self._recent)
        counts = [len(values) for values in self._recent.values()]
        values = torch.stack([v for values in self._recent.values() for v in values]).double()
        means = torch.stack([part.mean() for part in values.split(counts)])
        if forget:
            self._recent.clear()
        return dict(zip(names, means.tolist(), strict=True))

    def share_buffers(self) -> None:
        """Give every process the main one's batch statistics; called on all, before measuring."""
        for network in (*self.players.values(), *self._averages.networks.values()):
            for buffer in network.buffers():
                broadcast(buffer)

    def compile_networks(self) -> None:
        """Compile what allows it, in place: every network by default."""
        for network in self.players.values():
            network.compile()

    def game_state(self) -> dict[str, Any]:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "players": {name: net.state_dict() for name, net in self.players.items()},
            "averages": {name: net.state_dict() for name, net in self._averages.networks.items()},
            "optimizers": {name: o.state_dict() for name, o in self._optimizers.items()},
            "memory": {name: module.state_dict() for name, module in self.memory.items()},
            "averages_before": self._averages.images_before,
            "draws": None if self.draws is None else self.draws.generator.get_state(),
            "recent": {name: torch.stack(tuple(v)) for name, v in self._recent.items()},
            "images_seen": self.images_seen,
            "steps": self.steps,
        }

    def load_networks(self, state: Mapping[str, Any]) -> None:
        """Weights, averages and the clock. Raises: RuntimeError where the networks differ."""
        for name, network in self.players.items():
            network.load_state_dict(state["players"][name])
        self._averages.load(self.players, state["averages"])
        self._averages.images_before = state.get("averages_before", 0)  # older ones have none
        for name, module in self.memory.items():
            module.load_state_dict(state["memory"][name])
        self.images_seen = state["images_seen"]
        self.steps = state["steps"]

    def begin_average(self, player: str, state: Mapping[str, Tensor], images: int) -> bool:
        """See `MovingAverages.begin_with`."""
        return self._averages.begin_with(player, self.players[player], state, images)

    def load_optimizers(self, state: Mapping[str, Any]) -> None:
        """Optimizer moments, the noise stream and the recent losses; once the optimizers exist.

        Their settings (lr, betas, ...) stay those of the configuration: a population may change it.
        """
        for name, optimizer in self._optimizers.items():
            configured = ("initial_lr", *optimizer.defaults)
            settings = [{k: group[k] for k in configured} for group in optimizer.param_groups]
            optimizer.load_state_dict(state["optimizers"][name])
            for group, kept in zip(optimizer.param_groups, settings, strict=True):
                group.update(kept)
        if self.draws is not None and state["draws"] is not None:
            self.draws.restore(state["draws"].cpu(), self.images_seen)
        for name, values in state.get("recent", {}).items():  # older checkpoints have none
            self._recent[name].extend(values.to(self.device).unbind())

    def go_back(self, state: Mapping[str, Any]) -> None:
        """Undo the steps since `game_state` returned `state`, whose tensors were copied."""
        self._recent.clear()
        self.load_networks(state)
        self.load_optimizers(state)
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        self.last_scores = self.last_fakes = self.last_asked = self.last_clock = None


def _with_repeats(players: Sequence[str]) -> Iterator[tuple[str, int]]:
    """Each player of a turn, and how many moves it has made in it before."""
    for place, player in enumerate(players):
        yield player, players[:place].count(player)
