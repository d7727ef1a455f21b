"""`python -m gansweep.engine DIRECTORY`: a worker, as a launcher starts it."""

import argparse
import signal
import sys

from gansweep.engine.child import die_with_parent
from gansweep.engine.worker import run_worker
from gansweep.errors import UserError


def main() -> int:
    """Run one worker; the exit code. A UserError goes to standard error, without a traceback."""
    parser = argparse.ArgumentParser(prog="python -m gansweep.engine", description=__doc__)
    parser.add_argument("directory")
    parser.add_argument("--name")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--launched", action="store_true", help="stop when the parent ends")
    given = parser.parse_args()
    if given.launched:
        die_with_parent(signal.SIGTERM)
    try:
        return run_worker(given.directory, given.name, given.threads)
    except UserError as error:
        print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
