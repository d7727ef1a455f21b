"""The verbs of the command line. Only the chosen verb's file is imported."""

import errno
import os
import re
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from gansweep import __version__
from gansweep.cli.quick_exit import QuickExit
from gansweep.errors import UserError, nearest, tell

# each in the file of its name, whose main() gives the exit code: what it does, an example
VERBS = {
    "train": ("train one GAN", "gansweep train model=dcgan data=digits"),
    "sweep": ("search hyperparameters", "gansweep sweep sweep=demo data=digits"),
    "worker": ("add a worker to a sweep", "gansweep worker runs/demo-digits"),
    "status": ("show a sweep's progress", "gansweep status runs/demo-digits"),
    "cancel": ("stop a sweep everywhere", "gansweep cancel runs/demo-digits"),
    "repair": ("restore a damaged study", "gansweep repair runs/demo-digits"),
    "ls": ("list runs and sweeps", "gansweep ls runs"),
    "compare": ("say what differs", "gansweep compare runs/first runs/second"),
    "tag": ("give runs a word", "gansweep tag runs/digits/dcgan-001 good"),
    "note": ("keep a note about a run", 'gansweep note runs/digits/gan-001 "good"'),
    "prune": ("free disk", "gansweep prune runs --dry-run"),
    "report": ("compare runs on a page", "gansweep report runs/demo-digits"),
    "ui": ("the same page live", "gansweep ui runs"),
    "evaluate": ("score runs again", "gansweep evaluate runs/digits/dcgan-001"),
    "reproduce": ("re-make a paper's table", "gansweep reproduce dirac_gan"),
    "generate": ("draw samples of a run", "gansweep generate runs/digits/cgan-001"),
    "interpolate": ("from sample to sample", "gansweep interpolate runs/a seeds=0,1"),
    "arithmetic": ("add concepts", 'gansweep arithmetic runs/a "7 - 1 + 3"'),
    "directions": ("how samples change", "gansweep directions runs/a"),
    "project": ("codes of pictures", "gansweep project runs/a mine.png"),
    "translate": ("turn pictures", "gansweep translate runs/a photos -o new"),
    "detect": ("find strange pictures", "gansweep detect runs/a photos"),
    "classify": ("sort pictures", "gansweep classify runs/a photos"),
    "retrieve": ("find like pictures", "gansweep retrieve runs/a mine.png"),
    "export": ("a folder for others", "gansweep export runs/a --to onnx"),
    "inspect": ("read marks back", "gansweep inspect sevens.png"),
    "doctor": ("diagnose runs", "gansweep doctor runs/digits/dcgan-001"),
    "sync": ("upload offline W&B runs", "gansweep sync runs"),
    "wandb-workspace": ("W&B workspace", "gansweep wandb-workspace mine runs"),
    "completion": ("complete words by Tab", "gansweep completion bash"),
}
LINES = [f"  {verb:<11}  {does}".ljust(40) + line for verb, (does, line) in VERBS.items()]
HELP = f"""gansweep {__version__}: experiment tracking and hyperparameter sweeps for GANs

Usage: gansweep VERB [options]

{chr(10).join(LINES)}

'gansweep VERB --help' lists the options of a verb. Most are Hydra's key=value:
'model=wgan_gp' takes a file of conf/model/, 'model.n_critic=1' a value in it.

  gansweep train model=wgan_gp data=ring budget_kimg=500 tracker=none
  gansweep train resume=runs/digits/dcgan-001 budget_kimg=200
  gansweep train --multirun model=gan,dcgan seed=0,1,2
  gansweep sweep sweep=demo data=digits n_trials=30 workers=4 name=first

Tab completion: eval "$(gansweep completion bash)", and so for zsh;
fish: gansweep completion fish | source
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code: 0 done, 1 failed, 2 a mistake in the command, 130 stopped.

    argv: the words; None: those of this process, which ends with the command.
    """
    if argv is not None:
        return _main(list(argv))
    ending = QuickExit()
    ending.code = _main(sys.argv[1:])
    return ending.code


def _main(words: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what can be typed next
        from gansweep.cli.completion import complete

        complete()
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # a shell has closed it, as by >&-
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if words[0] in ("-V", "--version"):
        print(f"gansweep {__version__}")
        return 0
    try:
        return _run(*words)
    except UserError as error:
        tell(f"gansweep: {error}")
        return 2
    except KeyboardInterrupt:
        print("gansweep: interrupted.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, `| head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        long = str(error.filename)[:80]
        tell(f"gansweep: '{long}...' is longer than the name of a file can be. Use a shorter one.")
        return 2


def _run(verb: str, *words: str) -> int:
    for word in (verb, *words):
        if re.search("[\ud800-\udfff]", word):  # how Python keeps bytes that are not UTF-8
            raise UserError(
                f"'{word}' is not UTF-8, as names and options must be: rename the file."
            )
    if verb not in VERBS:
        raise UserError(
            f"there is no verb '{verb}'.{nearest(verb, VERBS)} 'gansweep --help' lists them."
        )
    code: int = module_of(verb).main(list(words))
    return code


def module_of(verb: str) -> ModuleType:
    """The file of a verb, imported."""
    return import_module(f"gansweep.cli.{verb.replace('-', '_')}")
