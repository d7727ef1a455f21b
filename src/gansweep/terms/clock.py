"""When a loss is asked for: the clock that its schedules and its lazy terms read."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """A moment of training.

    step: turns of the game made before this one.
    images_seen: by all processes before this step.   budget_kimg: the whole of training.
    repeat: moves that the player has made before in this turn.
    lazy: whether a term with an interval of k acts in every k-th step with k times its weight, as
        in training (Karras et al. 2020, arXiv:1912.04958, Section 3.1); else every term acts in
        every step with its own weight, as for the worst opponents of the duality gap.
    """

    step: int = 0
    images_seen: int = 0
    budget_kimg: float = math.inf
    lazy: bool = True
    repeat: int = 0

    @property
    def kimg(self) -> float:
        return self.images_seen / 1000

    def factor(self, interval: int, every: int = 1, moves: int = 1) -> int:
        """What to multiply a lazy term's weight by now; 0 where the term is left out.

        interval: moves from one appearance of the term to the next.
        every: steps from one turn of its player to the next.   moves: it makes in each of them.
        """
        if not self.lazy:
            return 1
        made = self.step // every * moves + self.repeat
        return 0 if made % interval else interval
