"""`gansweep repair`: restore the study of a sweep whose file was damaged."""

from gansweep.cli.arguments import Parser, only_sweep, parser_of_one_sweep
from gansweep.errors import visible

HELP = """\
Usage: gansweep repair SWEEP_DIR

Restore the study of a sweep whose file was damaged, by a failing disk or by
hand.

  gansweep repair runs/demo-digits

It keeps the file up to the first line that is damaged, missing or there twice,
and takes what is then missing from the records of the runs: every trial that
ended keeps its result, and the others continue from their checkpoints. The
damaged file is kept beside it. A damaged study in SQLite (storage=sqlite) is
made anew from the records.

Stop all workers first: 'gansweep cancel' does so. Afterwards the same
'gansweep sweep' command continues the sweep.
"""


def parser() -> Parser:
    return parser_of_one_sweep("repair", HELP)


def main(words: list[str]) -> int:
    directory = only_sweep("repair", parser().read(words)[1])
    from gansweep.engine.storage.repair import repair

    print(visible(repair(directory)))
    return 0
