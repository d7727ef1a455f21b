"""How long a run will take on this machine, by its first steps."""

from gansweep.records.notation import plural

WARM_UP = 2  # steps that also build what later ones reuse
STEPS, SECONDS = 10, 2.0  # measured over as many, and for as long
PATIENCE = 20.0  # seconds after which fewer steps must do


class Pace:
    """Times the first steps of this process, once."""

    def __init__(self) -> None:
        self._steps = 0
        self._begin: tuple[int, float] | None = None  # images and seconds after the warm-up
        self.step_seconds: float | None = None

    def estimate(self, images_seen: int, budget_kimg: float, seconds: float) -> str | None:
        """ "about 8 min of training on this machine (52 ms a step)", after enough steps, once.

        To be called after each step.   seconds: of training so far, without scores and samples.
        """
        self._steps += 1
        if self.step_seconds is not None or self._steps < WARM_UP:
            return None
        if self._begin is None:
            self._begin = (images_seen, seconds)
            return None
        steps, spent = self._steps - WARM_UP, seconds - self._begin[1]
        if spent < PATIENCE and (steps < STEPS or spent < SECONDS):
            return None
        self.step_seconds = spent / steps
        image_seconds = spent / (images_seen - self._begin[0])
        left = max(0.0, 1000 * budget_kimg - images_seen) * image_seconds
        step = self.step_seconds
        each = f"{1000 * step:.0f} ms" if step < 1 else f"{step:.1f} s"
        return f"{about(seconds + left)} of training on this machine ({each} a step)"


def about(seconds: float) -> str:
    """ "about 40 s", "about 8 min" or "about 3 h 20 min": as precise as a forecast is."""
    if seconds < 90:
        return f"about {max(5, 5 * round(seconds / 5))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"about {minutes} min"
    hours, rest = divmod(10 * round(minutes / 10), 60)
    if hours >= 48:
        return f"about {plural(round(hours / 24), 'day')}"
    return f"about {hours} h" + (f" {rest} min" if rest else "")
