"""`gansweep note`: write, show or remove a sentence about a run."""

from pathlib import Path

from gansweep.cli.arguments import Parser
from gansweep.cli.candidates import Directories
from gansweep.errors import UserError

DESCRIPTION = """\
Keep a note about a run in its record, also while it trains. A new note replaces
the old one. 'gansweep ls', 'compare' and the report show it, and
'--where "note ~ word"' finds it."""

EXAMPLES = """\
examples:
  gansweep note runs/digits/dcgan-001 "best so far, but class 8 is missing"
  gansweep note runs/digits/dcgan-001            print the note
  gansweep note runs/digits/dcgan-001 --remove
"""


def parser() -> Parser:
    made = Parser("note", description=DESCRIPTION, epilog=EXAMPLES)
    made.add_words(Directories(), metavar="RUN TEXT", help="a run, and the note")
    made.add_argument("--remove", action="store_true", help="remove the note")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    if not words or len(words) > (1 if options.remove else 2):
        raise UserError(
            "Give one run and the note in quotes, as in "
            "'gansweep note runs/digits/dcgan-001 \"best so far\"'; with --remove the run alone."
        )
    from gansweep.records.find import existing_run
    from gansweep.records.remarks import checked_note, remarks_of, writable, write_note

    record = existing_run(Path(words[0]))
    if len(words) == 1 and not options.remove:
        print(remarks_of(record).note or f"{words[0]} has no note.")
        return 0
    text = "" if options.remove else checked_note(words[1])
    with writable(record):
        write_note(record, text)
    print(f"Note of {words[0]} {'written' if text else 'removed'}.")
    return 0
