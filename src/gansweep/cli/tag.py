"""`gansweep tag`: give runs a word by which they are found again, or take it away."""

from pathlib import Path

from gansweep.cli.arguments import Parser
from gansweep.cli.candidates import Directories
from gansweep.errors import UserError
from gansweep.records.notation import plural

DESCRIPTION = """\
Give runs a tag, or take it away. Tags are kept in the record of the run, also
while it trains; 'gansweep ls' and the report show them, and
'--where "tag = baseline"' finds them. Checkpoints of a run with the tag "keep"
are not removed by 'gansweep prune'."""

EXAMPLES = """\
examples:
  gansweep tag runs/digits/dcgan-001 baseline
  gansweep tag runs/demo-digits/t0004 runs/digits good   two runs or more
  gansweep tag runs/digits/dcgan-001 baseline --remove
"""


def parser() -> Parser:
    made = Parser("tag", description=DESCRIPTION, epilog=EXAMPLES)
    made.add_words(
        Directories(), metavar="PATH TAG", help="runs, or directories above them; the tag is last"
    )
    made.add_argument("--remove", action="store_true", help="take the tag away")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    if len(words) < 2:
        raise UserError(
            "Name one run or more and then the tag, as in "
            "'gansweep tag runs/digits/dcgan-001 baseline'."
        )
    from gansweep.records.find import find_records
    from gansweep.records.remarks import checked_tag, tag, writable

    word = checked_tag(words[-1])
    records = find_records(map(Path, words[:-1]))
    changed = 0
    for record in records:
        with writable(record):
            changed += tag(record, word, remove=options.remove)
    kept = len(records) - changed
    before = f" ({kept} {'did not have' if options.remove else 'had'} it before)" if kept else ""
    print(
        f"'{word}' {'removed from' if options.remove else 'given to'} "
        f"{plural(changed, 'run')}{before}."
    )
    return 0
