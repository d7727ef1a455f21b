"""The words of a verb: its flags, its paths and its KEY=VALUE options."""

import argparse
import itertools
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from gansweep.cli.candidates import Directories
from gansweep.config import permissions
from gansweep.errors import UserError, nearest

# options of the verbs that use a trained run, and their choices
USE: dict[str, tuple[str, ...]] = {
    "checkpoint": ("best", "last"),
    "accelerator": ("auto", "cpu", "cuda"),
    permissions.OPTION: (),
}


class Parser(argparse.ArgumentParser):
    """What one verb accepts, for reading its words and for completing them.

    text: what `--help` prints; "" for argparse's own list of the options.
    """

    def __init__(self, verb: str, text: str = "", **given: Any) -> None:
        given = {"allow_abbrev": False, **given}
        super().__init__(
            prog=f"gansweep {verb}", formatter_class=argparse.RawDescriptionHelpFormatter, **given
        )
        self.text = text

    def add_words(self, completer: Callable[..., Iterable[str]], **given: Any) -> None:
        """Take words that are no flags; `completer` says which can be typed next."""
        words = self.add_argument("words", nargs="*", **given)
        words.completer = completer  # type: ignore[attr-defined]

    def format_help(self) -> str:
        heads = re.compile("^(usage|options|positional)", re.MULTILINE)
        return self.text or heads.sub(lambda found: found[0].title(), super().format_help())

    def error(self, message: str) -> NoReturn:
        """Raises: UserError; argparse would print the usage and exit."""
        message = message.replace("argument -", "the flag -", 1)
        message = message.replace("expected one argument", "a value must follow it")
        message = message.replace("ignored explicit argument", "it takes no value such as")
        raise UserError(f"'{self.prog}', {message}. '{self.prog} --help' lists the options.")

    def read(self, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """The flags with their values, and all other words in their order.

        Raises: UserError for a flag that the verb does not have, for an empty word, for "--" with
            nothing after it, for a flag of one value that is given twice, and for a --config-dir
            that is no folder; SystemExit after `--help`.
        """
        if {"-h", "--help"} & {*words}:
            self.print_help()
            self.exit()
        if "" in words:
            raise UserError(
                f"A word of '{self.prog}' is empty, as \"$NAME\" is in a shell where NAME is not "
                "set. Give it a value, or remove it."
            )
        if [*words][-1:] == ["--"]:
            raise UserError(f"'--' of '{self.prog}' has nothing after it: remove it.")
        self._refuse_repeated(words)
        options, rest = self.parse_known_args(list(words))
        folder = getattr(options, "config_dir", None)
        if folder is not None and not Path(folder).is_dir():
            raise UserError(f"--config-dir {folder} is not a folder. Give one that exists.")
        known = self._option_string_actions
        for word in rest:
            if word.startswith("-"):
                flag = word.partition("=")[0]
                raise UserError(
                    f"'{self.prog}' has no flag '{flag}'.{nearest(flag, known)} "
                    f"'{self.prog} --help' lists the options."
                )
        return options, [*getattr(options, "words", ()), *rest]

    def _refuse_repeated(self, words: Sequence[str]) -> None:
        """argparse would take the last of two values without a word."""
        known = self._option_string_actions
        given = set()
        for word in itertools.takewhile(lambda word: word != "--", words):
            name = word.partition("=")[0]
            if self.allow_abbrev and name.startswith("--") and name not in known:
                longer = [flag for flag in known if flag.startswith(name)]
                action = known[longer[0]] if len(longer) == 1 else None
            else:
                action = known.get(name)
            if not isinstance(action, argparse._StoreAction):
                continue
            if action.dest in given:
                self.error(f"argument {name}: it takes one value and is given twice")
            given.add(action.dest)


def parser_of_one_sweep(verb: str, text: str) -> Parser:
    """The parser of `gansweep VERB SWEEP_DIR`; text: what `--help` prints."""
    parser = Parser(verb, text)
    parser.add_words(Directories("sweep.yaml"))
    return parser


def parser_of_paths(verb: str, description: str, examples: str) -> Parser:
    """The parser of `gansweep VERB PATH ...`, to which the verb adds its own flags.

    description, examples: printed above and below the options as they stand.
    """
    parser = Parser(verb, description=description, epilog=examples, allow_abbrev=True)
    parser.add_words(
        Directories(),
        metavar="PATH",
        help="a run, a group of runs, a sweep, or any directory above them",
    )
    return parser


def add_metric(parser: Parser, more: str = "") -> None:
    """Take --metric, the score that ranks.   more: added to its help."""
    parser.add_argument(
        "--metric",
        metavar="NAME",
        help="the score that ranks (default: the sweep's objective, else the score that most "
        f"runs have){more}",
    )


def paths_of(verb: str, words: Sequence[str | Path]) -> list[Path]:
    """Raises: UserError where none was named."""
    if not words:
        raise UserError(f"Name a run or a sweep, as in 'gansweep {verb} runs/demo-digits'.")
    return [Path(word) for word in words]


def only_sweep(verb: str, words: Sequence[str]) -> Path:
    """The one directory that the words name. Raises: UserError for none or several."""
    if len(words) != 1:
        given = f"not '{' '.join(words)}'" if words else "and none was named"
        raise UserError(
            f"'gansweep {verb}' takes the directory of one sweep, {given}. Give one, as in "
            f"'gansweep {verb} runs/demo-digits'."
        )
    return Path(words[0])


def paths_and_options(
    verb: str, words: Sequence[str], known: Mapping[str, Sequence[str]], why: str = ""
) -> tuple[list[Path], list[tuple[str, str]]]:
    """The paths and the (KEY, VALUE) pairs among the words; a word that exists is a path.

    known: each key with its choices, none where it takes any value; a key that ends in "." stands
    for all keys that begin so.   why: added to the refusal of other keys.
    Raises: UserError for a key or a value that is not known.
    """
    paths, options = [], []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or Path(word).exists():
            paths.append(Path(word))
            continue
        if key not in known and f"{key.lstrip('+~').partition('.')[0]}." not in known:
            raise UserError(
                f"'{word}' is no option of 'gansweep {verb}'{why}.{nearest(key, known)} "
                f"Options are: {', '.join(f'{k}KEY' if k.endswith('.') else k for k in known)}."
            )
        choices = known.get(key, ())
        if choices and value not in choices:
            raise UserError(
                f"{word} is not known.{nearest(value, choices)} "
                f"Choose {key}={' or '.join(choices)}."
            )
        options.append((key, value))
    return paths, options


def in_lines(command: str, width: int, indent: int = 4) -> str:
    """The command in lines that a shell reads as one, none wider than `width` where no word is."""
    lines = [" " * (indent - 1)]
    for word in map(shlex.quote, shlex.split(command)):
        if lines[-1].strip() and len(lines[-1]) + len(word) + 3 > width:  # with " " and " \\"
            lines.append(" " * (indent + 1))
        lines[-1] += f" {word}"
    return " \\\n".join(lines)
