"""The quick end of a command skips nothing but the interpreter's own end."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
import atexit, os, sys, threading
{before}
from gansweep.cli.quick_exit import QuickExit

ending = QuickExit()
class Torn:
    def __del__(self):
        os.write(1, b"torn down\\n")
kept = Torn()
atexit.register(lambda: print("handler"))
threading.Thread(target=lambda: (threading.Event().wait(0.05), print("thread"))).start()
sys.stdout.write("buffered ")
{last}
"""


def ended(before: str = "", last: str = "ending.code = 3; sys.exit(3)") -> tuple[int, list[str]]:
    """The exit code and the output of a process.   before: its `QuickExit`; last: its last line."""
    program = PROGRAM.format(before=before, last=textwrap.dedent(last))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    return done.returncode, done.stdout.split()


def test_threads_handlers_and_output_are_done_with_and_nothing_is_torn_down() -> None:
    assert ended() == (3, ["buffered", "thread", "handler"])


@pytest.mark.parametrize(
    ("before", "last", "code"),
    [
        ("atexit.register(lambda: None)", "ending.code = 3; sys.exit(3)", 3),
        ("", "raise RuntimeError", 1),
        ("", "sys.exit(5)", 5),
    ],
    ids=["a handler that must come last", "an exception", "another way out"],
)
def test_the_process_ends_in_the_ordinary_way(before: str, last: str, code: int) -> None:
    found, said = ended(before, last)
    assert found == code and said[-2:] == ["torn", "down"]


def test_a_fork_of_the_process_has_an_exit_code_of_its_own() -> None:
    last = """
    ending.code = 3
    if os.fork() == 0:
        sys.exit(7)
    print(os.waitstatus_to_exitcode(os.wait()[1]))
    sys.exit(3)
    """
    code, said = ended(last=last)
    assert code == 3 and said.count("7") == 1
