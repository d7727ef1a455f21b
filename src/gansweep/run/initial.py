"""Start from another run's weights, with fresh optimizers and a fresh clock: fine-tuning.

The other run's directory may be somebody else's: of its checkpoint only tensors are read, of its
configuration nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from gansweep.callbacks.checkpoint import (
    DamagedCheckpointError,
    intact_beside,
    named,
    read_with_digest,
)
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.models.transfer import transfer
from gansweep.records.notation import listing, number
from gansweep.records.record import RunRecord
from gansweep.run.early import initial_run

NAMED = 3  # tensors that the opening names; the record names all
WORDS = {"other_shape": "other shape", "new": "new", "unused": "unused"}


def begin_with(model: Adversarial, init: str) -> dict[str, Any]:
    """Copy into a model what fits of another run's networks, by the names of players and tensors.

    init: RUN, RUN@best, RUN@last or RUN@KIMG.
    Returns: what the result states of it: the run, its checkpoint with its digest and kimg; of each
        player how many tensors were taken, and the names of the others (see `transfer`); the
        players that are unknown here, and those whose moving averages were taken.
    Raises: UserError if there is no such run or checkpoint, it is damaged, or no weight fits.
    """
    record, which = initial_run(init)
    path, game, digest = _found(record, which)
    states = {name: game["players"].get(name, {}) for name in model.players}
    found = {name: transfer(network, states[name]) for name, network in model.players.items()}
    weights = (  # a bias fits by chance
        name in found[player]["taken"]
        for player, network in model.players.items()
        for name, parameter in network.named_parameters()
        if parameter.dim() > 1
    )
    if not any(weights):
        raise UserError(
            f"Nothing of {record.directory} fits this model: no layer's weights there have the "
            "player, the name and the shape of one here. Give a run of the same model, or make the "
            "networks alike, as by model.generator.width=."
        )
    averages = [
        name
        for name in model.averaged
        if game["averages"].get(name)
        and model.begin_average(name, game["averages"][name], game["images_seen"])
    ]
    return {
        "run": str(record.directory),
        "checkpoint": path.name,
        "digest": digest,
        "kimg": game["images_seen"] / 1000,
        "players": {name: {**parts, "taken": len(parts["taken"])} for name, parts in found.items()},
        "no_player": sorted(game["players"].keys() - model.players.keys()),
        "averages": averages,
    }


def in_words(taken: Mapping[str, Any]) -> str:
    """What `begin_with` returned, for the opening: "last.pt of RUN at 20 kimg: generator all 12
    tensors, discriminator 10 of 12 (other shape: head.weight)"."""
    parts = []
    for player, found in taken["players"].items():
        n = found["taken"]
        total = n + len(found["other_shape"]) + len(found["new"])
        share = f"all {n} tensors" if n == total else f"{n} of {total} tensors"
        notes = [f"{words}: {_some(found[key])}" for key, words in WORDS.items() if found[key]]
        parts.append(f"{player} {share}" + (f" ({'; '.join(notes)})" if notes else ""))
    if taken["averages"]:
        parts.append(f"the moving average of {listing(taken['averages'], 'and')}")
    if taken["no_player"]:
        parts.append(f"nothing of {listing(taken['no_player'], 'and')}, which is no player here")
    at = f"{taken['checkpoint']} of {taken['run']} at {number(taken['kimg'])} kimg"
    return f"{at}: {', '.join(parts)}"


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def _found(record: RunRecord, which: str) -> tuple[Path, dict[str, Any], str | None]:
    """The checkpoint that `which` names: its path, its game, its digest."""
    if which in ("best", "last"):
        path = named(record, which)
        return path, *_read(path)
    there = {}
    for path in filter(Path.exists, (record.best, record.last, record.previous)):
        game, digest = _read(path)
        kimg = game["images_seen"] / 1000
        if kimg == float(which):
            return path, game, digest
        there[path.stem] = f"@{path.stem} ({number(kimg)} kimg)"
    raise UserError(
        f"{record.directory} has no checkpoint at {which} kimg. It has "
        f"{listing(list(there.values()), 'and')}."
    )


def _read(path: Path) -> tuple[dict[str, Any], str | None]:
    """Raises: UserError, with the fix of an initial checkpoint."""
    try:
        state, digest = read_with_digest(path)
    except DamagedCheckpointError as error:
        others = listing([f"init=RUN@{stem}" for stem in intact_beside(path)], "or")
        fix = f"Take {others}, or another run." if others else "Take another run."
        raise DamagedCheckpointError(error.what, fix) from error
    if not _is_game(state.get("game") if isinstance(state, dict) else None):
        raise UserError(
            f"{path} is not a checkpoint of gansweep: it lacks the networks of players. Give the "
            "directory of a run that `gansweep train` or a sweep wrote."
        )
    return state["game"], digest


def _is_game(game: Any) -> bool:
    """Whether it has what is read of it, which somebody else may have written."""
    if not isinstance(game, dict) or not isinstance(game.get("images_seen"), int):
        return False
    networks = [game.get("players"), game.get("averages")]
    if not all(isinstance(one, dict) for one in networks):
        return False
    return all(isinstance(t, Tensor) for t in _tensors(networks))


def _tensors(networks: list[Any]) -> Iterator[Any]:
    for states in networks:
        for state in states.values():
            yield from state.values() if isinstance(state, dict) else (None,)
