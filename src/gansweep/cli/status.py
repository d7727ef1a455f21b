"""`gansweep status`: the progress of a sweep, in at most 80 columns."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gansweep.cli.arguments import Parser, only_sweep, parser_of_one_sweep
from gansweep.errors import UserError, folded, visible
from gansweep.records.notation import aligned, clock

if TYPE_CHECKING:
    from gansweep.engine.status import Status

HELP = """\
Usage: gansweep status SWEEP_DIR [--leaderboard | --json]

Show the progress of a sweep. It only reads, from any shell that sees the
sweep's directory.

  gansweep status runs/demo-digits
  gansweep status runs/demo-digits --leaderboard  also who leads so far
  gansweep status runs/demo-digits --json         the progress for scripts
  watch -n 10 gansweep status runs/demo-digits    again every ten seconds

The states of a trial
  done          ran to its end
  running       a worker trains it
  waiting       queued
  interrupted   continues from its checkpoint when a worker is free
  pruned        ended early, because it was behind the others
  diverged, collapsed, never learned, failed
                failed: its log.txt and `gansweep doctor` say why
  to come       not started

Where the study's storage does not answer, the state is read from the records of
the runs. Scripts read "state" of --json: running, stopping (workers save),
queued (by SLURM or Ray), finished, cancelled, stopped (its first trials failed
by the same bug), or idle (no worker is running).
"""
COLUMNS = 80
MOST_WORKERS = 16  # that are listed one by one
STATES = {
    "running": "at work",
    "stopping": "its workers save and stop",
    "queued": "its workers wait for a place on the cluster",
    "finished": "finished",
    "cancelled": "cancelled, and nobody works on it",
    "stopped": "stopped, because its first trials failed alike",
    "idle": "nobody works on it",
}


def parser() -> Parser:
    made = parser_of_one_sweep("status", HELP)
    made.add_argument("--json", action="store_true")
    made.add_argument("--leaderboard", action="store_true")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    directory = only_sweep("status", words)
    if options.json and options.leaderboard:
        raise UserError(
            "Of --json and --leaderboard 'gansweep status' takes one. Scripts read the ranks of a "
            f"finished sweep from {directory / 'leaderboard.json'}."
        )
    from gansweep.engine.status import status_of

    status = status_of(directory)
    print(json.dumps(asdict(status), indent=2) if options.json else visible(text_of(status)))
    if options.leaderboard:
        from gansweep.cli.report import print_leaderboard

        print()
        print_leaderboard(directory)
    return 0


def text_of(status: Status) -> str:
    """Blocks of at most 80 columns: the sweep, its runs, workers and jobs, what to run next."""
    left = ""
    if status.seconds_left and status.state in ("running", "queued"):
        left = f", about {clock(status.seconds_left)} left"
    # "auto" stands for a score that no run has measured yet
    known = status.objective and not status.objective.endswith(" auto")
    goal = f" ({status.objective})" if known else ""
    head = [f"sweep {status.sweep}{goal}", f"{STATES[status.state]}{left}"]
    if status.storage_error:
        head += folded(f"its storage does not answer: {status.storage_error}").splitlines()
        head += ["the rest is read from the records of the runs"]
    head += [f"damaged: {line}" for line in status.damaged]
    blocks = [head, _runs(status), _workers(status.workers), _jobs(status)]
    if status.stopped:
        blocks.append(folded(status.stopped).splitlines())
    text = "\n\n".join("\n".join(map(_wrapped, block)) for block in blocks if block)
    width = max(map(len, status.next.values()))
    # the commands are not broken, so that they can be copied
    commands = (f"{does:<{width}}   {command}" for command, does in status.next.items())
    return "\n".join([text, "", *commands])


def _runs(status: Status) -> list[str]:
    lines = [f"trials   {_counts(status.trials)}"]
    if status.failures:
        from gansweep.judging.statuses import FAILURES

        failures = {FAILURES.get(kind, kind): many for kind, many in status.failures.items()}
        lines.append(f"failed   {_counts(failures)}")
    if status.confirmations:
        lines.append(f"confirm  {_counts(status.confirmations)}")
    if best := status.best:
        words = f"best     {best['value']:.5g} ({best['trial']}) {best['parameters']}"
        lines += textwrap.wrap(words, COLUMNS, subsequent_indent=" " * 9)
    return lines


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{many} {state}" for state, many in counts.items())


def _workers(workers: list[dict[str, Any]]) -> list[str]:
    if not workers:
        return []
    keys = {"worker": "name", "on": "host", "job": "job", "GPU": "gpus", "doing": "doing"}
    columns = {head: [w[key] or "" for w in workers] for head, key in keys.items()}
    columns["for"] = [clock(w["seconds"]) for w in workers]
    shown = {head: cells for head, cells in columns.items() if any(cells)}
    rows = [tuple(shown), *zip(*shown.values(), strict=True)]
    more = len(workers) - MOST_WORKERS
    return aligned(rows[: MOST_WORKERS + 1], width=10_000) + (
        [f"and {more} more"] if more > 0 else []
    )


def _jobs(status: Status) -> list[str]:
    if status.queue_error:
        return folded(f"SLURM   {status.queue_error}").splitlines()
    words = (j["state"].lower() + (f" ({j['reason']})" if j["reason"] else "") for j in status.jobs)
    lines = [f"SLURM   {_counts(dict(Counter(words)))}"] if status.jobs else []
    for job in status.jobs[:MOST_WORKERS]:
        if job["node"]:
            lines.append(f"        {job['id']} on {job['node']}, {job['time_left']} left")
    return lines


def _wrapped(line: str) -> str:
    """The line; what does not fit stands below it, indented."""
    line = line.rstrip()
    whole = len(line) <= COLUMNS
    return line if whole else textwrap.fill(line, COLUMNS, subsequent_indent=" " * 9)
