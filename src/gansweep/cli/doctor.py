"""`gansweep doctor`: what is wrong with runs, in words, and what to try next."""

from gansweep.cli.arguments import Parser, parser_of_paths, paths_of
from gansweep.errors import UserError

DESCRIPTION = """\
Say in words what is wrong with runs, which numbers show it, and what to try
next.

It finds runs that never learned, mode collapse, a vanishing generator gradient,
a discriminator that overpowers or is fooled, divergence, oscillation,
over-generalisation, memorisation and slow convergence. It looks mainly at the
last third of a run, so a run that has recovered is healthy. Running and killed
runs are judged by what they have written so far."""

EXAMPLES = """\
Examples:
  gansweep doctor runs/digits/dcgan-001      one run: findings, curves, commands
  gansweep doctor runs/demo-digits           a sweep: which settings go wrong
  gansweep doctor runs/demo-digits --show 9  nine of its runs in full

A finding is a failure (the run is not usable) or a warning (worth a look). Each
remedy is a complete command, which trains a new run beside the old one. What
the run's numbers cannot show is listed under "not judged", with the way to
measure it.
"""
SHOWN = 3  # of many runs, printed in full


def parser() -> Parser:
    made = parser_of_paths("doctor", DESCRIPTION, EXAMPLES)
    made.add_argument(
        "--show",
        type=int,
        default=SHOWN,
        metavar="N",
        help=f"runs to print in full, the worst first (default: {SHOWN})",
    )
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    if options.show < 1:
        raise UserError(f"--show {options.show}: give a whole number from 1, as in '--show 9'.")
    from gansweep.cli.diagnoses import examined, print_diagnoses
    from gansweep.judging.statuses import judged_runs

    runs = judged_runs(paths_of("doctor", words))
    print_diagnoses([examined(run) for run in runs], options.show)
    return 0
