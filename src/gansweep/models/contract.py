"""What a training procedure writes and declares; `Adversarial` does all the rest.

A procedure writes for each player a loss that is a function of the networks, its memory, a batch,
given noise and a clock alone, and that changes none of them.

Shapes: N batch, C channels, H and W pixels, D coordinates of a point.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource
from gansweep.errors import UserError
from gansweep.models.draws import Draws
from gansweep.models.player_loss import Drawn, Memories, PlayerLoss, Scores
from gansweep.models.refusals import NO_SOURCES, refuse_turns
from gansweep.terms.clock import Clock
from gansweep.terms.losses import Loss


class Contract(pl.LightningModule):
    """Every procedure writes the abstract members; the others have a usual value."""

    sample_shape: tuple[int, ...]
    n_classes: int | None
    class_names: Sequence[str] | None = None  # of the data, by the numbers of their labels
    source_shape: tuple[int, ...] | None
    optimizer_makers: Mapping[str, Any]
    n_generator: int
    shared_noise: bool
    simultaneous: bool
    generator_batch: int
    accumulate: int
    generator: nn.Module
    discriminator: nn.Module
    makers: tuple[str, ...] = ("generator",)  # the players that make samples
    conditional = False  # whether the makers follow the labels of a batch
    takes_points = True  # whether it can be built for points as well as for images
    needs_labels = False
    needs_source = False
    needs_pairs = False  # whether the sources must be counterparts of the images
    sliceable = True  # whether its losses are means over samples, so that `accumulate` is exact
    uses_labelled = False  # whether it learns from the few labels of a `Batch.labelled`
    truncated = ""  # how far samples are held near the average ones, in words; "" for not at all
    from_noise = False  # whether its samples need no real ones: there can be any number of them
    makes_without_noise = False  # whether nothing random goes into the samples of a step
    pairs_classes = False  # whether a fake is judged beside a real sample, and has its class
    compares_samples = False  # whether the discriminator weighs a sample against all of its batch
    judged_together = 1  # neighbours that the discriminator looks at as one: divides every batch

    def refuse_what_is_missing(self) -> None:
        """Raises: UserError where the data lack what this model needs."""
        if self.needs_labels and self.n_classes is None:
            raise UserError(
                "This model learns classes, and the data have no labels. Use labelled data "
                "(data=digits, or a folder with one sub-folder for each class), or a model "
                "without classes, as model=dcgan."
            )
        if self.needs_source and self.source_shape is None:
            raise UserError(NO_SOURCES)
        if len(self.sample_shape) == 1 and not self.takes_points:
            raise UserError(
                "This model needs images, and the data are points. Use data=digits, or a model "
                "that takes points, as model=gan."
            )

    def refuse_turns_that_do_not_fit(self) -> None:
        """Raises: UserError for moves that this game cannot have."""
        refuse_turns(
            n_players=len(self.optimizer_makers),
            n_generator=self.n_generator,
            shared_noise=self.shared_noise,
            simultaneous=self.simultaneous,
            generator_batch=self.generator_batch,
            from_noise=self.from_noise,
            makes_without_noise=self.makes_without_noise,
        )

    @property
    def players(self) -> dict[str, nn.Module]:
        """Name -> network, in the order of their turns; the first moves on every batch."""
        return {"discriminator": self.discriminator, "generator": self.generator}

    @property
    def averaged(self) -> tuple[str, ...]:
        """The players that have a moving average where `ema_kimg` is set: the makers."""
        return self.makers

    @abstractmethod
    def draw(self, draws: Draws, batch: Batch, clock: Clock) -> Drawn:
        """Everything random in one step, each with the batch as its first dimension."""

    @abstractmethod
    def make(self, batch: Batch, drawn: Drawn, clock: Clock) -> Tensor:
        """The fakes of a batch, (N, C, H, W) or (N, D); all losses of the step share them."""

    @abstractmethod
    def player_loss(
        self, player: str, batch: Batch, drawn: Drawn, fakes: Tensor, clock: Clock
    ) -> PlayerLoss:
        """The loss of one player: a pure function of networks, memory, batch, draw and clock.

        What a step changes beside weights and the networks' own buffers (batch statistics, power
        iteration) follows from the `PlayerLoss`, see `remembered`. A loss that must not reach the
        makers detaches `fakes` itself.
        """

    @abstractmethod
    def fakes(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Samples to look at and to measure, (N, C, H, W) in [-1, 1] or (N, D), no gradient.

        batch: says how many, and carries the labels or sources that a generator may be asked for.
        rng: a CPU generator. The averaged weights are used where there are any.
        """

    @abstractmethod
    def scores(self, batch: Batch, rng: torch.Generator) -> Scores | None:
        """The discriminator's scores of a batch and of as many fakes, no gradient."""

    @property
    def takes(self) -> frozenset[str]:
        """The shared terms that an option can still bring into this game:

        "loss", another one in the place of its own; "penalties"; "augment"; "ada"; "packing";
        "spectral_norm" and "head", those of the discriminator's network.
        """
        return frozenset({"loss"} if isinstance(getattr(self, "loss", None), Loss) else ())

    @property
    def uses(self) -> frozenset[str]:
        """Which terms it has that a loss must combine with (see `Loss.combines_with`)."""
        return frozenset({"accumulate"} if self.accumulate > 1 else ())

    def declared(self) -> dict[str, Any]:
        """What others need to know of this game, in plain values, for the record."""
        loss = getattr(self, "loss", None)
        return {
            "players": list(self.players),
            "sample_shape": list(self.sample_shape),
            "judged_together": self.judged_together,
            "takes": sorted(self.takes),
            "uses": sorted(self.uses),
            "loss": loss.declared() if isinstance(loss, Loss) else {},
        }

    @property
    def kinds(self) -> int | None:
        """How many kinds of sample it can be asked for: classes, or values of a code of its own."""
        return self.n_classes if self.conditional else None

    def fakes_of(self, kind: int, batch: Batch, rng: torch.Generator) -> Tensor:
        """As `fakes`, all of one of the `kinds`; from alike `rng` nothing but the kind differs."""
        labels = torch.full((len(batch),), kind, device=batch.images.device)
        return self.fakes(replace(batch, labels=labels), rng)

    def truncate(self, value: float | None) -> None:
        """Hold the samples of `fakes` near the average ones: cleaner, and less varied.

        value: None for as trained.
        Sets `truncated`.   Raises: UserError where the model or its range does not allow it.
        """
        if value is None:
            return
        raise UserError(
            f"truncation={value:g}: {type(self).__name__} has no latents to truncate. Leave "
            "truncation= out, or use a run of model=stylegan2 or model=stylegan2_conditional "
            "(psi, in w) or of model=biggan (the largest entry of z)."
        )

    def answers(self, batch: Batch) -> dict[str, Tensor]:
        """What the model says of real samples besides making new ones, no gradient.

        The held-out scores are measured on what is there:
        "logits": (N, n_classes), of the sample's class; "images": what it makes of the batch's
        sources, or of its images where there are none, shaped as `batch.images`;
        "cycle": the sources made again from "images", shaped as `batch.source`;
        "codes": (N, L), where near codes mean alike images;
        "anomaly/NAME": (N,), the higher the less normal by that criterion.
        """
        return {}

    @property
    def memory(self) -> dict[str, nn.Module]:
        """State of the next step beside the networks: name -> module whose buffers hold it."""
        return {}

    def remembered(self, player: str, slices: Sequence[PlayerLoss]) -> Memories:
        """What buffers of `memory` become after a player's move, the same on every process.

        slices: the losses of the move, one for each slice of the batch.
        """
        return {}

    def begin_on(self, data: DataSource) -> None:  # noqa: B027
        """Set the first weights that depend on the training data; most models have none."""

    def after_move(self, player: str) -> None:
        """What a procedure does to a player's weights after its step (clipping, say)."""
