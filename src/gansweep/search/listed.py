"""Runs that are listed one by one, in the place of a search: the cells of a published table.

The list may grow while trials of it have ended: only what is listed now is to be run. A trial
carries its point, so that what was begun stays what it was when the list changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from optuna.trial import FrozenTrial

POINT = "point"  # the attribute of a trial that holds its point


class Point(TypedDict):
    """One run of the list.

    key: of its trial, and the name of its directory; different for each.
    params: what tells it apart, in words.   overrides: of `gansweep train`, its seed among them.
    note: what its target needs to know beside them.
    """

    key: str
    params: dict[str, Any]
    overrides: list[str]
    note: dict[str, Any]


class Listed:
    """The points of a sweep. It keeps no state: it reads the study's trials, each once."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points: dict[str, Point] = {point["key"]: point for point in points}

    def next_point(self, trials: Sequence[FrozenTrial]) -> dict[str, Any] | None:
        """The attributes of the trial to queue after `trials`; None if all points were begun."""
        begun = {trial.user_attrs["key"] for trial in trials}
        point = next((p for key, p in self._points.items() if key not in begun), None)
        return None if point is None else {**begin(point), POINT: dict(point)}

    def point(self, attrs: Mapping[str, Any]) -> Point | None:
        """The point of a trial as it is listed now, else as it was when the trial was queued: what
        the key does not say, such as a tracker, is that of the last command."""
        return self._points.get(attrs["key"]) or point_of(attrs)

    def wants(self, trial: FrozenTrial) -> bool:
        """Whether a trial is among the points that are listed now."""
        return trial.user_attrs["key"] in self._points


def begin(point: Point) -> dict[str, Any]:
    """The attributes of the first attempt at a point."""
    return {"key": point["key"], "attempt": 1, "kills": 0}


def point_of(attrs: Mapping[str, Any]) -> Point | None:
    """The point of a trial with these attributes; None outside a list."""
    return attrs.get(POINT)
