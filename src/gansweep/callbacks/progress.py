"""The progress of training, with the numbers that matter for GANs."""

import math
import sys
import time

import pytorch_lightning as pl
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from gansweep.callbacks.journal import Journal
from gansweep.callbacks.pace import Pace
from gansweep.callbacks.watcher import GameCallback
from gansweep.models.adversarial import Adversarial

REFRESH_SECONDS = 0.25
PLAIN_LINES = 10
SHOWN = (
    ("memorised/distance", "to batch"),
    ("balance/real_mean", "D(x)"),
    ("balance/fake_mean", "D(G)"),
    ("critic/gap", "gap"),
    ("loss/discriminator", "loss D"),
    ("loss/generator", "G"),
)
MOST_LOSSES = 3  # those of players with other names fill up
# In this order where the line is too narrow.
DROPPED = ("img/s", "D(G)", "gap", "D(x)", "objective", "to batch")
BAR_COLUMNS = 10
PLAIN_COLUMNS = 80


class ProgressBar(GameCallback):
    """A bar on a terminal, otherwise a line at each tenth of the budget.

    Either way a line soon after the start says how long the training will take.
    """

    def __init__(self, budget_kimg: float) -> None:
        self.budget_kimg = budget_kimg
        self._decimals = max(0, 1 - math.floor(math.log10(budget_kimg)))  # two digits of it
        self.console = Console(file=sys.stderr)
        self._bar: Progress | None = None
        self._drawn = 0.0
        self._tenth = 0
        self._pace = Pace()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Open the bar, or find which tenth of the run is printed next."""
        assert isinstance(pl_module, Adversarial)
        if not trainer.is_global_zero:
            return
        kimg = pl_module.images_seen / 1000
        self._tenth = int(PLAIN_LINES * kimg / self.budget_kimg)
        if self.console.is_terminal:
            numbers = Column(no_wrap=True, overflow="ellipsis")
            self._bar = Progress(
                BarColumn(bar_width=BAR_COLUMNS),
                TextColumn("{task.fields[clock]}"),
                TimeRemainingColumn(compact=True),
                TextColumn("{task.fields[shown]}", "cyan", markup=False, table_column=numbers),
                console=self.console,
                auto_refresh=False,
            )
            self._bar.add_task("train", total=self.budget_kimg, clock="", shown="")
            self._draw(kimg)
            self._bar.start()

    def _room(self) -> int:
        """Columns that the bar, the clock and the time left do not take."""
        clock = len(self._clock(self.budget_kimg, self._decimals))
        return self.console.width - BAR_COLUMNS - clock - len("00:00:00") - 3

    def _clock(self, kimg: float, decimals: int) -> str:
        """ "30/100 kimg"; of a budget of a few images "0.06/0.16 kimg"."""
        return f"{kimg:.{decimals}f}/{self.budget_kimg:.9g} kimg"

    def after_step(self, trainer: pl.Trainer, module: Adversarial, images: int) -> None:
        """Redraw the bar every `REFRESH_SECONDS`, or print a line at each tenth."""
        kimg = module.images_seen / 1000
        if trainer.is_global_zero:
            self._forecast(module)
        if self._bar is not None:
            now = time.monotonic()
            if now - self._drawn >= REFRESH_SECONDS:
                self._drawn = now
                self._draw(kimg)
                self._bar.refresh()
        elif trainer.is_global_zero and int(PLAIN_LINES * kimg / self.budget_kimg) > self._tenth:
            self._tenth = int(PLAIN_LINES * kimg / self.budget_kimg)
            clock = f"{self._clock(kimg, max(1, self._decimals))}  "
            numbers = watched(self.journal, PLAIN_COLUMNS - len(clock))
            self.console.print(f"{clock}{numbers}".rstrip(), soft_wrap=True)

    def _forecast(self, module: Adversarial) -> None:
        """Print the time that training takes, once enough steps were measured."""
        seconds = self.journal.training_seconds
        words = self._pace.estimate(module.images_seen, self.budget_kimg, seconds)
        if words is not None:
            self.console.print(words, soft_wrap=True, highlight=False)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, Adversarial)
        self._draw(pl_module.images_seen / 1000)
        self._close()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _draw(self, kimg: float) -> None:
        if self._bar is not None:
            shown = watched(self.journal, self._room())
            clock = self._clock(kimg, self._decimals)
            self._bar.update(self._bar.tasks[0].id, completed=kimg, clock=clock, shown=shown)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def watched(journal: Journal, room: int) -> str:
    """The numbers to show in at most `room` columns: the losses in any case."""
    latest, words = journal.latest, {}
    if journal.objective is not None and journal.objective in journal.last:
        value = journal.last[journal.objective]["value"]
        words["objective"] = f"{journal.protocols[journal.objective]['score']} {value:.3g}"
    shown = [(key, label) for key, label in SHOWN if key in latest]
    losses = [key for key, _ in shown if key.startswith("loss/")]
    if len(losses) < 2:
        others = [key for key in latest if key.startswith("loss/") and key not in losses]
        shown += [(k, k.removeprefix("loss/")) for k in others[: MOST_LOSSES - len(losses)]]
    words |= {label: f"{label} {latest[key]:.2f}" for key, label in shown}
    if "throughput/images_per_second" in latest:
        words["img/s"] = f"{latest['throughput/images_per_second']:,.0f} img/s"
    for label in DROPPED:
        if len("  ".join(words.values())) > room:
            words.pop(label, None)
    return "  ".join(words.values())
