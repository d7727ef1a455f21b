"""`gansweep worker`: work on a sweep from another shell or machine."""

from gansweep.cli.arguments import Parser, only_sweep, parser_of_one_sweep
from gansweep.config import permissions

HELP = """Usage: gansweep worker SWEEP_DIR [extra_packages=[NAME]]

Work on a sweep that 'gansweep sweep' started, from another shell or machine
that sees the same directory: take a trial, train it, report it, until the
sweep's budget is spent.

  gansweep worker runs/demo-digits
  CUDA_VISIBLE_DEVICES=3 gansweep worker /shared/runs/demo-digits

Start as many as you like. Ctrl-C saves and stops one, and another continues its
trial. 'gansweep status SWEEP_DIR' shows them all, 'gansweep cancel SWEEP_DIR'
stops them all. extra_packages= allows packages of yours whose classes its
trials use.

Exit code
  0   the sweep is finished
  2   a mistake; the message says how to correct it
  3   the sweep was stopped, because its first trials failed by the same bug
  4   the sweep was cancelled
  75  stopped: start it again
"""


def parser() -> Parser:
    return parser_of_one_sweep("worker", HELP)


def main(words: list[str]) -> int:
    """Run the verb; the exit code. A UserError is left to the caller."""
    _, words = parser().read(words)
    granted = [word for word in words if permissions.is_package_option(word)]
    directory = only_sweep("worker", [word for word in words if word not in granted])
    for word in granted:
        permissions.allow_packages(permissions.packages_in(word.partition("=")[2]))
    from gansweep.engine.worker import run_worker

    return run_worker(directory)
