"""`gansweep reproduce`: re-make a published table, and say whether ours agrees with it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from gansweep.cli.arguments import Parser
from gansweep.cli.candidates import Options
from gansweep.cli.waiting import waiting
from gansweep.errors import UserError

HELP = """\
Usage: gansweep reproduce TABLE [--budget NAME] [--seeds N] [--only NAME]
                                [KEY=VALUE ...]

Train every cell of a published table with several seeds, and print ours beside
the paper's figures, with the test of agreement. What has ended never runs
again; Ctrl-C saves and stops, and the same command continues.

  gansweep reproduce                                     the tables
  gansweep reproduce dirac_gan                           all of one
  gansweep reproduce pacgan_2d --dry-run                 what it would cost
  gansweep reproduce pacgan_2d --budget small --only GAN
  gansweep reproduce pacgan_2d launcher=slurm            on a cluster
  gansweep reproduce pacgan_2d --show --latex table.tex

  --budget NAME    how much of the paper's budget; by default the table's first
  --minutes N      all of the table's images, or the largest of 1/2, 1/4, ... of
                   them that ends in so long
  --seeds N        runs of each cell; by default as the budget says
  --only NAME      one row, one setting, or 'ROW / SETTING'; can be repeated
  --dry-run        only print cells, runs, measured hours and disk
  --show           only print what there is so far, while others run
  --verify         score the stored checkpoints again, and compare
  --csv FILE       write the table as CSV; with --show "-" is the terminal
  --latex FILE     write it as a booktabs table
  --badge          print its badge, a line of Markdown
  --config-dir DIR also search DIR/reproduce/ for tables of your own

  runs_dir=runs          where the runs are written: RUNS_DIR/reproduce-TABLE
  results_dir=results    where TABLE.json is kept, to which seeds are added
  workers=auto           runs at a time
  launcher=local         where they run; launcher.KEY=VALUE, storage=, as of
                         'gansweep sweep --help'
  trainer.KEY=VALUE      of every run, as trainer.accelerator=cpu
  tracker=none           of every run
  extra_packages=[NAME]  packages of yours whose classes your table may name
"""
VALUED = {"--budget": "NAME", "--seeds": "N", "--minutes": "N"}
FILES = ("--csv", "--latex")
FLAGS = ("--dry-run", "--show", "--verify", "--badge")


class Tables:
    """Completes the name of a table, then options."""

    def __call__(self, prefix: str, parsed_args: argparse.Namespace, **given: Any) -> Iterator[str]:
        if not getattr(parsed_args, "words", None):
            from gansweep.reproduce.table_file import table_names

            yield from table_names(getattr(parsed_args, "config_dir", None))
        keys = dict.fromkeys(("runs_dir", "results_dir", "workers", "launcher", "storage"), ())
        yield from Options(keys, "sweep", groups={})(prefix, parsed_args, **given)


def _is_time(text: str) -> bool:
    try:
        return 0 < float(text) < 1e6
    except ValueError:
        return False


def _refuse_unused(options: argparse.Namespace) -> None:
    """Raises: UserError for options that would do nothing beside another."""
    for flag in ("show", "badge"):
        for given in ("only", "seeds"):
            if getattr(options, flag) and getattr(options, given) is not None:
                raise UserError(
                    f"--{flag} is of the whole table, and --{given} says what is trained: leave "
                    "one of them out."
                )
    printed = [flag for flag in FILES if getattr(options, flag.strip("-")) == "-"]
    if printed and (not options.show or len(printed) > 1):
        raise UserError(
            f"{' and '.join(f'{flag} -' for flag in printed)}: one table alone can be printed, and "
            f"nothing else with it. Use --show {printed[0]} -."
        )
    for flag in ("dry_run", "verify", "badge"):
        for file in ("csv", "latex"):
            if getattr(options, flag) and getattr(options, file):
                raise UserError(
                    f"--{flag.replace('_', '-')} prints no table, so --{file} would write none. "
                    f"Use --show --{file} {getattr(options, file)}."
                )


def parser() -> Parser:
    made = Parser("reproduce", HELP)
    made.add_words(Tables())
    for name, value in {**VALUED, **dict.fromkeys(FILES, "FILE")}.items():
        made.add_argument(name, metavar=value)
    made.add_argument("--only", metavar="NAME", action="append")
    made.add_argument("--config-dir", "-cd", metavar="DIR")
    for name in FLAGS:
        made.add_argument(name, action="store_true")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0; 1 where --verify finds a score that differs, or finds nothing to score. A
    UserError is left."""
    options, rest = parser().read(words)
    chosen = [name for name in FLAGS if getattr(options, name.strip("-").replace("-", "_"))]
    if len(chosen) > 1:
        raise UserError(f"{' and '.join(chosen)} do not go together: give one of them.")
    if options.seeds is not None and not (options.seeds.isdecimal() and int(options.seeds) > 0):
        raise UserError(f"--seeds {options.seeds} is no number of runs. Use --seeds 3, say.")
    if options.minutes is not None and not _is_time(options.minutes):
        raise UserError(f"--minutes {options.minutes} is no time. Use --minutes 30, say.")
    if options.minutes is not None and options.budget is not None:
        raise UserError("--minutes chooses a budget, and --budget names one: give one of them.")
    _refuse_unused(options)
    waiting.show(f"gansweep reproduce {' '.join(words)}")
    try:
        from gansweep.cli.reproduce_run import list_tables, reproduce

        if not rest:
            waiting.stop()
            print(list_tables(options.config_dir), end="")
            return 0
        return reproduce(rest, options, words)
    finally:
        waiting.stop()
