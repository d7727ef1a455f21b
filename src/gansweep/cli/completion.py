"""`gansweep completion`: complete verbs, flags, options and paths in the shell, by argcomplete."""

import argparse
import os
from collections.abc import Callable
from typing import Any, TextIO

import argcomplete

from gansweep.cli.arguments import Parser
from gansweep.errors import UserError

SHELLS = ("bash", "zsh", "fish")
HELP = """\
Usage: gansweep completion bash|zsh|fish

Print the code that makes the Tab key complete words of gansweep: verbs, flags,
groups, their choices, options, and paths of runs.

  eval "$(gansweep completion bash)"      in ~/.bashrc
  eval "$(gansweep completion zsh)"       in ~/.zshrc, after compinit
  gansweep completion fish | source       in ~/.config/fish/config.fish
"""


def parser() -> Parser:
    made = Parser("completion", HELP)
    made.add_argument("shell", choices=SHELLS)
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, more = parser().read(words)
    if more:
        raise UserError(
            f"'gansweep completion' takes one shell, not also '{' '.join(more)}'. Give one, as in "
            f"'gansweep completion {options.shell}'."
        )
    print(argcomplete.shellcode(["gansweep"], shell=options.shell))
    return 0


def complete(end: Callable[[int], object] = os._exit, out: TextIO | None = None) -> None:
    """Answer the shell and end the process. Only the file of the verb on the line is imported.

    out: by default where the shell's function reads.
    """
    from gansweep.cli.main import VERBS, module_of

    typed = f"{os.environ['COMP_LINE'][: int(os.environ['COMP_POINT'])]}|".split(None, 2)
    root = argparse.ArgumentParser(prog="gansweep")
    root.add_argument("--version", "-V", action="store_true")
    verbs = root.add_subparsers()
    for verb, (does, _) in VERBS.items():
        is_chosen = len(typed) > 2 and typed[1] == verb
        parents = [module_of(verb).parser()] if is_chosen else []
        verbs.add_parser(verb, help=does, parents=parents, conflict_handler="resolve")
    Finder()(root, always_complete_options="long", exit_method=end, output_stream=out)


class Finder(argcomplete.CompletionFinder):
    """One that also completes the words after a flag that follows others: argparse leaves them."""

    def collect_completions(
        self,
        active_parsers: list[argparse.ArgumentParser],
        parsed_args: argparse.Namespace,
        cword_prefix: str,
    ) -> list[str]:
        found: list[str] = super().collect_completions(active_parsers, parsed_args, cword_prefix)
        current: Any = active_parsers[-1]
        if current.active_actions or cword_prefix.startswith("-"):
            return found
        words = (action for action in current._actions if action.dest == "words")
        more = (one for action in words for one in action.completer(cword_prefix, parsed_args))
        return [*found, *(one for one in more if one.startswith(cword_prefix))]
