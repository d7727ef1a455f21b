"""Stop a run that cannot recover, and say when it broke."""

from __future__ import annotations

import math

from gansweep.callbacks.watcher import Watcher
from gansweep.models.adversarial import Adversarial


class Guard(Watcher):
    """Ends a run with status "diverged" or "collapsed".

    Diverged: a loss is not finite. Collapsed: the generator's output has hardly varied over a
    batch for long, whatever the noise.

    collapse_spread: mean over pixels of the standard deviation over the batch, in units of the
        data ([-1, 1] for images), under which the fakes count as constant.
    collapse_kimg: thousands of images through which they must stay so.
    """

    def __init__(
        self, every_steps: int, collapse_spread: float = 1e-3, collapse_kimg: float = 5.0
    ) -> None:
        super().__init__(every_steps)
        self.collapse_spread = collapse_spread
        self.collapse_kimg = collapse_kimg
        self.constant_since: int | None = None

    def look(self, module: Adversarial) -> None:
        # Means over many batches: one bad loss among them makes its mean bad too.
        for name, value in self.journal.latest.items():
            if name.startswith(("loss/", "penalty/")) and not math.isfinite(value):
                self.journal.stop("diverged", f"{name} is {value}", module.images_seen)
        fakes = module.last_fakes
        if fakes is None or len(fakes) < 2:
            return
        spread = float(fakes.float().std(dim=0).mean())
        if not math.isfinite(spread):
            self.journal.stop(
                "diverged", "the generator's output is not finite", module.images_seen
            )
        elif spread >= self.collapse_spread:
            self.constant_since = None
        elif self.constant_since is None:
            self.constant_since = module.images_seen
        elif module.images_seen - self.constant_since >= self.collapse_kimg * 1000:
            self.journal.stop(
                "collapsed",
                f"the generator's output has been constant (spread {spread:.1e}) since "
                f"{self.constant_since / 1000:.1f} kimg",
                module.images_seen,
            )

    def state_dict(self) -> dict[str, int | None]:
        return {"constant_since": self.constant_since}

    def load_state_dict(self, state_dict: dict[str, int | None]) -> None:
        self.constant_since = state_dict["constant_since"]
