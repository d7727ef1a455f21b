"""`gansweep worker`: work on a sweep from another shell or machine."""

import os
from pathlib import Path

from gansweep.cli.arguments import Parser, only_sweep, parser_of_one_sweep
from gansweep.config import permissions
from gansweep.errors import tell

HELP = """Usage: gansweep worker SWEEP_DIR [extra_packages=[NAME]]

Work on a sweep that 'gansweep sweep' started, from another shell or machine
that sees the same directory: take a trial, train it, report it, until the
sweep's budget is spent. It prints each trial that starts or ends.

  gansweep worker runs/demo-digits
  CUDA_VISIBLE_DEVICES=3 gansweep worker /shared/runs/demo-digits

Start as many as you like. Ctrl-C saves and stops one, and another continues its
trial. 'gansweep status SWEEP_DIR' shows them all, 'gansweep cancel SWEEP_DIR'
stops them all. extra_packages= allows packages of yours whose classes its
trials use. Relative paths of its options, as data.root=photos, begin in the
folder where the sweep was started, if this machine has it.

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

    return run_worker(_from_its_folder(directory))


def _from_its_folder(directory: Path) -> Path:
    """Go to the folder of the sweep's command, where relative paths of its options begin.

    Returns: the sweep's directory as it is named from there.
    """
    from gansweep.search.settings import Settings

    folder = Settings.load(directory).folder if (directory / "sweep.yaml").exists() else None
    if folder is None or Path(folder) == Path.cwd():
        return directory
    absolute = directory.resolve()
    try:
        os.chdir(folder)
    except OSError as error:
        tell(
            f"gansweep: the sweep was started in {folder}, where this host cannot go "
            f"({error.strerror}): relative paths of its options are looked for in {Path.cwd()}."
        )
    return absolute
