"""How a command ended, for the fixture `command`."""

from typing import NamedTuple


class Finished(NamedTuple):
    """How a command ended, and what it wrote."""

    code: int
    out: str
    err: str

    def is_refused_with(self, *words: str, after: str | None = None) -> None:
        """Exit code 2 and one paragraph on stderr, in which every word occurs.

        after: what every line has in it that was written before, of how far the command was.
        """
        assert self.code == 2, self
        *before, paragraph = self._without_opening()
        assert paragraph.startswith("gansweep: "), self.err
        assert all(after is not None and after in line for line in before), self.err
        missing = [word for word in words if word not in paragraph]
        assert not missing, f"{missing} not in: {paragraph}"

    def _without_opening(self) -> list[str]:
        """The lines of stderr, without those that say what a run trains where."""
        lines = self.err.strip().splitlines()
        return [x for x in lines if not x.startswith("  ") and " kimg, on the CPU (" not in x]
