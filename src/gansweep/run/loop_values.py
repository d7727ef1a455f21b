"""What a training loop of one's own gives to `gansweep.track`, as a record keeps it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from gansweep.errors import UserError, nearest, tell
from gansweep.records.plain_values import mapping, plain
from gansweep.records.record import TRACKED


def images_of(kimg: float) -> int:
    return round(1000 * kimg)


def number_of(name: str, value: Any) -> float:
    try:
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"'{name}' is no number: {str(value)[:60]}.") from error


def plain_of(value: Any) -> Any:
    """The value as a record keeps it: mappings, lists, numbers, text, true, false, null."""
    if isinstance(value, Mapping):
        return {str(key): plain_of(one) for key, one in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain_of(one) for one in value]
    if isinstance(value, bool) or value is None:
        return value
    for kind in (int, float, str):  # not a subclass, which YAML would refuse
        if isinstance(value, kind):
            return kind(value)
    if getattr(value, "ndim", None) == 0:
        return value.item()
    return str(value)


def refuse_others(
    directory: Path,
    config: Mapping[str, Any],
    stored: Mapping[str, Any],
    group: str | None,
    name: str | None,
) -> None:
    """Refuse what differs from the record that is continued; None was not given.

    config: settings, and under "choices" the names of model and data.   stored: those of the
        record.   group, name: of its place.
    Raises: UserError naming the first difference.
    """
    place = directory.resolve()
    among = f"/{place.parent.as_posix()}".endswith(f"/{group}")  # a group may be several folders
    for given, here in (
        ({k: v for k, v in config.items() if k not in ("choices", TRACKED)}, stored),
        (mapping(config["choices"]), mapping(stored.get("choices"))),
        ({"name": name, "group": group}, {"name": place.name, "group": place.parent.name}),
    ):
        for key, value in given.items():
            same = value is None or here.get(key) == plain(value)  # plain: as it was read
            if not same and not (key == "group" and among):
                raise UserError(
                    f"{directory} was recorded with {key}={here.get(key)}, not {value}: a "
                    "continued run keeps its settings. Start a new run for others."
                )


def tell_of_unscored(objective: str | None, scored: Collection[str], directory: Path) -> None:
    """Say that the objective which was asked for is none of the scores."""
    if objective is None or objective in scored:
        return
    names = f" Scores: {', '.join(scored)}." if scored else " There is no score at all."
    tell(
        f"gansweep: objective={objective} of {directory} was never scored, so no score judges "
        f"the run.{nearest(objective, scored)}{names}"
    )
