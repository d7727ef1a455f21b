"""Continue a run from another run's checkpoint, and keep its own record."""

from gansweep.callbacks.checkpoint import as_bytes, last_intact, read_checkpoint
from gansweep.records.record import ROW_OF_SOURCE, RunRecord, Source


def take_over(record: RunRecord, source: Source) -> None:
    """Make the source's checkpoint the last checkpoint of `record`.

    The state of the game, random states and the clock come from the source. The run keeps its
    history, its best scores (with its own best.pt) and its time. The history is cut at the new
    clock and gets a row that names the source. After a kill the same call gives the same result.
    """
    taken, mine = read_checkpoint(source.checkpoint), last_intact(record, or_anew=True)
    kimg = taken["game"]["images_seen"] / 1000
    record.checkpoints.mkdir(parents=True, exist_ok=True)
    record.truncate_history(kimg)
    history = record.history()
    seconds = float(history[-1].get("seconds", 0.0)) if history else 0.0
    row = {"kimg": kimg, "seconds": seconds, ROW_OF_SOURCE: source.run}
    if row not in history:
        record.append(row)
    if mine:
        taken["journal"] = mine["journal"]
    else:  # the run has no checkpoint of its own yet
        announced = sorted({name for row in history for name in row.get("protocol") or {}})
        own = {"announced": announced, "seconds": seconds}
        taken["journal"] |= {"best": {}, "last": {}, "latest": {}, **own}
    record.write(record.last, as_bytes(taken))
