"""`gansweep ui`: the board live in a browser."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import secrets
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gansweep.cli.arguments import (
    USE,
    Parser,
    add_metric,
    only_sweep,
    parser_of_paths,
    paths_and_options,
)
from gansweep.config import permissions
from gansweep.errors import UserError, tell
from gansweep.records.find import existing_run

if TYPE_CHECKING:
    from gansweep.inference.request import Use

DESCRIPTION = """\
Show the board live: the page of 'gansweep report', served on this machine
alone, with new rows, samples and runs as they are written. Nothing can be
changed through it, and nobody without the address can read it.

Ctrl-C ends it."""

EXAMPLES = """\
Examples:
  gansweep ui                                     what is in runs
  gansweep ui runs/demo-digits                    a sweep while it runs
  gansweep ui runs --port 8765 --no-browser       for an ssh tunnel
  gansweep ui runs/demo-digits --optuna           its study in optuna-dashboard
  gansweep ui --play runs/digits/cgan-001         sliders for a trained run
"""
HOST = "127.0.0.1"
TOKEN_BYTES = 16


def parser() -> Parser:
    made = parser_of_paths("ui", DESCRIPTION, EXAMPLES)
    made.add_argument(
        "--port", type=int, default=0, metavar="N", help="by default one that is free"
    )
    made.add_argument("--no-browser", action="store_true", help="only print the address")
    add_metric(made)
    made.add_argument(
        "--optuna",
        action="store_true",
        help="open the study of one sweep in optuna-dashboard, with the samples of each trial",
    )
    made.add_argument(
        "--play",
        action="store_true",
        help="a page to play with one trained run: directions, classes, uploads; it takes "
        "checkpoint=, accelerator= and extra_packages= as 'gansweep generate' does",
    )
    # for `gansweep sweep ui=true`: end with the process that has started this one
    made.add_argument("--attached", action="store_true", help=argparse.SUPPRESS)
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    use = _run_to_play(words) if options.play else None
    paths = _paths(words) if use is None else [use.run]
    if options.optuna:
        only_sweep("ui --optuna", words)
        from gansweep.integrations.optuna_dashboard import serve_study
    with contextlib.suppress(KeyboardInterrupt), _listening(options.port) as listening:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        address = f"http://{HOST}:{listening.getsockname()[1]}/{token}/"
        print(f"Live at {address}", flush=True)
        if not options.attached:
            print("Ctrl-C ends it.", flush=True)
        if not options.no_browser and _has_display():
            _open(address)
        if options.optuna:
            serve_study(listening, paths[0], token)
        elif use is not None:
            from gansweep.inference.play.server import serve as serve_play

            serve_play(listening, use, token)
        else:
            from gansweep.report.live.server import serve

            serve(listening, paths, token, options.metric, options.attached)
    return 0


def _run_to_play(words: Sequence[str]) -> Use:
    """Raises: UserError where not one run was named, and for a word that is no option of runs."""
    from gansweep.inference.request import Use

    paths, pairs = paths_and_options("ui --play", words, USE)
    if len(paths) != 1:
        raise UserError("--play takes one run, as in 'gansweep ui --play runs/digits/cgan-001'.")
    existing_run(paths[0])
    given = dict(pairs)
    return Use(
        paths[0],
        given.get("checkpoint", "best"),
        given.get("accelerator", "auto"),
        tuple(permissions.packages_in(given.get(permissions.OPTION, ""))),
        verb="ui --play",
    )


def _paths(words: Sequence[str]) -> list[Path]:
    """Raises: UserError for a path that does not exist; runs/ may come later."""
    for word in words:
        if not Path(word).exists():
            raise UserError(
                f"{word} does not exist. Give the directory of a run, of a group of runs or of a "
                "sweep, such as runs/digits."
            )
    return [Path(word) for word in words] or [Path("runs")]


def _listening(port: int) -> socket.socket:
    """A socket that listens on this machine alone.   Raises: UserError where the port is taken."""
    if not 0 <= port <= 65535:
        raise UserError(f"--port {port}: give a number from 1 to 65535, or 0 for a free port.")
    made = socket.socket()
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((HOST, port))
        made.listen(128)
    except OSError as error:
        made.close()
        why = "another program uses it" if error.errno == errno.EADDRINUSE else error.strerror
        raise UserError(
            f"The port {port} cannot be used: {why}. Give another --port, or leave it out for a "
            "free one."
        ) from error
    return made


def _has_display() -> bool:
    """Whether a person sits at a terminal of a desktop."""
    desktop = sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return sys.stdout.isatty() and desktop and "SSH_CONNECTION" not in os.environ


def _open(address: str) -> None:
    import webbrowser

    if not webbrowser.open(address):
        tell("No browser could be opened: open the address yourself.")
