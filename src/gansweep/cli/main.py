"""The verbs of the command line. Nothing heavy is imported before a verb is chosen."""

from __future__ import annotations

import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansweep import __version__
from gansweep.errors import UserError, nearest, tell

if TYPE_CHECKING:
    from omegaconf import DictConfig

HELP = f"""gansweep {__version__}: experiment tracking and hyperparameter sweeps for GANs

Usage: gansweep VERB [options]

  train     train one GAN:              gansweep train model=dcgan data=digits
  sweep     search hyperparameters:     gansweep sweep sweep=demo data=digits
  worker    help a sweep from a shell:  gansweep worker runs/demo-digits
  status    say how a sweep fares:      gansweep status runs/demo-digits
  cancel    stop a sweep everywhere:    gansweep cancel runs/demo-digits
  repair    restore a damaged study:    gansweep repair runs/demo-digits
  report    compare runs on one page:   gansweep report runs/demo-digits
  evaluate  score trained runs again:   gansweep evaluate runs/digits/dcgan-001
  generate  draw pictures with a run:   gansweep generate runs/digits/cgan-001
  doctor    say what ails a run:        gansweep doctor runs/digits/dcgan-001
  sync      upload offline W&B runs:    gansweep sync runs

'gansweep VERB --help' lists the options of a verb. Most are Hydra's key=value:
'model=wgan_gp' takes a file of conf/model/, 'model.n_critic=1' a value in it.

  gansweep train model=wgan_gp data=ring budget_kimg=500 tracker=none
  gansweep train resume=runs/digits/dcgan-001 budget_kimg=200
  gansweep train --multirun model=gan,dcgan seed=0,1,2
  gansweep sweep sweep=demo data=digits n_trials=30 workers=4 name=first

Tab completion (bash): eval "$(gansweep train -sc install=bash)"
"""

WORKER_HELP = """Usage: gansweep worker SWEEP_DIR [extra_packages=[NAME]]

Work on a sweep that 'gansweep sweep' started, from another shell or machine
that sees the same directory: take a trial, train it, report it, until the
sweep's budget is spent.

  gansweep worker runs/demo-digits
  CUDA_VISIBLE_DEVICES=3 gansweep worker /shared/runs/demo-digits

Start as many as you like; Ctrl-C lets one save and stop, and another takes its
trial up again. 'gansweep status SWEEP_DIR' shows them all, 'gansweep cancel
SWEEP_DIR' stops them all. extra_packages= allows packages of yours whose
classes its trials use.

Exit code
  0   the sweep is finished
  2   a mistake, and the message says how to mend it
  3   the sweep was stopped, since its first trials failed alike
  4   the sweep was cancelled
  75  stopped: start me again
"""

EVALUATE_HELP = """Usage: gansweep evaluate PATH [PATH ...] [metrics=CHOICE] [KEY=VALUE ...]

Score the trained runs at or below each PATH, under the protocol you choose.
The scores are added to each run's record (evaluations.jsonl), and 'gansweep
report' shows them in columns of their own.

  gansweep evaluate runs/digits/dcgan-001                every score that fits
  gansweep evaluate runs/demo-digits metrics.split=test  against the test images
  gansweep evaluate runs/cifar10 metrics=inception_50k   as papers have them
  gansweep evaluate runs metrics.scores=[fid,kid] metrics.n_fake=5000

  metrics=CHOICE         a file of conf/metrics/ (default: full)
  metrics.KEY=VALUE      an option in it: n_fake, n_real, split, scores,
                         noise_seed, error_bars, ...
  checkpoint=best|last   which weights (default: best, by the run's objective)
  accelerator=auto       auto, cpu or cuda
  extra_packages=[NAME]  packages of yours whose classes the runs may use
"""

GENERATE_HELP = """Usage: gansweep generate RUN [label=CLASS | code=VALUE] [KEY=VALUE] [-o FILE]

Draw samples of a trained run into one PNG. A run that follows labels can be
asked for a class; one that learnt a code of its own (model=infogan), for a
value of that code. Without either it draws what the run's own sample sheets
show: a column for each class, or what it makes of given images.

  gansweep generate runs/digits/cgan-001 label=7 n=16 -o sevens.png
  gansweep generate runs/fashion_mnist/cgan-001 label=sneaker
  gansweep generate runs/digits/infogan-001 code=3 n=8  along its first code
  gansweep generate runs/digits/dcgan-001 n=100 seed=1  other noise

  label=CLASS            a class of the data, by name or number
  code=VALUE             a value of the learnt code, from 0
  n=16                   how many images
  seed=0                 of the noise: the same samples every time
  -o FILE.png            the picture (default: named after the run, here)
  checkpoint=best|last   which weights (default: best, by the run's objective)
  accelerator=auto       auto, cpu or cuda
  extra_packages=[NAME]  packages of yours whose classes the runs may use
"""

SYNC_HELP = """Usage: gansweep sync PATH [PATH ...]

Upload the Weights & Biases runs that were made offline at or below each PATH,
such as 'gansweep sync runs'. Log in first with 'wandb login' or WANDB_API_KEY.
"""


ANY: tuple[str, ...] = ()  # value
HYDRA_FLAGS: dict[str, tuple[str, ...] | None] = {  # with the values that it takes; None: no value
    **dict.fromkeys(("--help", "-h", "--hydra-help", "--version", "--resolve", "--run", "-r")),
    **dict.fromkeys(("--multirun", "-m", "--shell-completion", "-sc")),
    **dict.fromkeys(("--cfg", "-c"), ("job", "hydra", "all")),
    **dict.fromkeys(("--package", "-p", "--config-path", "-cp", "--config-name", "-cn"), ANY),
    **dict.fromkeys(("--config-dir", "-cd", "--experimental-rerun"), ANY),
    **dict.fromkeys(
        ("--info", "-i"),
        ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath", ""),
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; the exit code: 0 done, 1 failed, 2 a mistake in the command, 130 stopped."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # a shell has closed it, as by >&-
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP, end="")
        return 0
    if words[0] in ("-V", "--version"):
        print(f"gansweep {__version__}")
        return 0
    if (wrong := next((w for w in words if not _is_utf8(w)), None)) is not None:
        tell(f"gansweep: '{wrong}' is not UTF-8, which names and options must be: rename the file.")
        return 2
    verb, rest = words[0], words[1:]
    if verb == "-sc":  # the shell's completion calls the program without its verb
        verb, rest = "train", words
        _hide_verb_from_completion()
    if verb not in VERBS:
        print(
            f"gansweep: there is no verb '{verb}'.{nearest(verb, VERBS)} "
            "'gansweep --help' lists them.",
            file=sys.stderr,
        )
        return 2
    try:
        return VERBS[verb](rest)
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
        told = f"No file or directory can have so long a name: {str(error.filename)[:80]}..."
        tell(f"gansweep: {told} Use a shorter one.")
        return 2


def _is_utf8(word: str) -> bool:
    """Whether the shell gave text, not other bytes, which Python keeps as surrogates."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _hide_verb_from_completion() -> None:
    line = os.environ.get("COMP_LINE", "")
    program, _, tail = line.partition(" ")
    verb, _, tail = tail.lstrip().partition(" ")
    if verb == "train":
        os.environ["COMP_LINE"] = f"{program} {tail}"


def _train(words: list[str]) -> int:
    import hydra

    from gansweep.config.compose import conf_dir, explained
    from gansweep.records.record import disk_error

    # Hydra would print errors in its own words and exit with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # On a full disk every line of a tracker's log would print a traceback before our paragraph.
    logging.raiseExceptions = False
    overrides = [w for w in words if not w.startswith("-") and ("=" in w or w.startswith("~"))]
    # Flags first: Hydra's parser refuses overrides on both sides of one.
    sys.argv = ["gansweep train", *_checked(w for w in words if w not in overrides), *overrides]
    application = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(
        _train_one
    )
    try:
        with explained(overrides):
            application()
    except OSError as error:  # the folder of a multirun is Hydra's to write
        raise (disk_error(error, Path("runs")) or error) from None
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("submitit", "joblib"):
            raise
        raise UserError(f"A job of the multirun ended without a word. {error}") from error
    return 0


def _checked(words: Iterable[str]) -> list[str]:
    """The words. Raises: UserError for a flag that Hydra does not have, or not with its value."""
    known = list(words)
    for word, following in zip(known, [*known, ""][1:], strict=True):
        flag, equals, value = word.partition("=")
        if not flag.startswith("-"):
            continue
        if flag not in HYDRA_FLAGS:
            raise UserError(
                f"'gansweep train' has no flag '{flag}'.{nearest(flag, HYDRA_FLAGS)} "
                "'gansweep train --help' lists the options."
            )
        takes = HYDRA_FLAGS[flag]
        value = value if equals else following
        if takes is None:
            fits = not equals
        else:
            fits = value in takes if takes else not value.startswith(("-", " ")) and value != ""
        if not fits:
            example = "" if takes is None else f" {takes[0]}" if takes else " VALUE"
            raise UserError(f"'{word}' is not how the flag is given: use '{flag}{example}'.")
    return known


def _train_one(raw: object) -> dict[str, object]:
    """The Hydra application: one run, in this process or in one that a launcher started.

    Returns: what the run came to, for the end of a multirun.
    """
    from gansweep.config.compose import explained
    from gansweep.run.multirun import failure, is_multirun

    try:
        with explained(()):
            return _train_composed(raw)
    except Exception as error:  # here, lest Hydra wrap it in words of its own
        if not isinstance(error, UserError):
            if not is_multirun():
                raise
            traceback.print_exc()
        tell(f"gansweep: {error}")
        if is_multirun():
            return failure(error)  # the next run comes all the same
        raise SystemExit(2) from None


def _settled(raw: object) -> tuple[DictConfig, Path | None, list[str], str | None]:
    """What to train, the run that it continues, and the words and folder that it was made of."""
    import omegaconf
    from hydra.core.hydra_config import HydraConfig

    from gansweep.config.compose import settled

    assert isinstance(raw, omegaconf.DictConfig)
    hydra_config = HydraConfig.get()
    cfg = settled(raw, dict(hydra_config.runtime.choices))
    # as they were given: an interpolation in a word is not resolved for the record
    words: Any = omegaconf.OmegaConf.to_container(hydra_config.overrides, resolve=False)
    own = [word for word in words["hydra"] if "hydra.searchpath" in word]
    overrides = [*own, *words["task"]]
    given = [s.path for s in hydra_config.runtime.config_sources if s.provider == "command-line"]
    config_dir = given[0] if given else None
    if cfg.resume is None:
        return cfg, None, overrides, config_dir
    from gansweep.run.resume import resumed

    run_dir = Path(str(cfg.resume))
    cfg, overrides, config_dir = resumed(cfg, overrides, config_dir)
    return cfg, run_dir, overrides, config_dir


def _train_composed(raw: object) -> dict[str, object]:
    from hydra.core.hydra_config import HydraConfig

    from gansweep.run import multirun
    from gansweep.run.summary import summary

    cfg, run_dir, overrides, config_dir = _settled(raw)
    from gansweep.run.train import train

    hydra_config = HydraConfig.get()
    how = multirun.launcher(hydra_config) if multirun.is_multirun() else "alone"
    if multirun.is_stopped():
        return multirun.NOT_BEGUN

    def trained(run_dir: Path | None) -> dict[str, Any]:
        return train(
            cfg,
            run_dir=run_dir,
            progress=how != "joblib",  # bars of several processes would run into each other
            overrides=overrides,
            config_dir=config_dir,
        )

    if how == "submitit":
        job = multirun.SubmititJob()
        run_dir = run_dir or job.directory(cfg)
        with job.saving_first(run_dir):
            result = trained(run_dir)
    else:
        result = trained(run_dir)
    directory = run_dir or Path(cfg.runs_dir) / result["group"] / result["name"]
    print(summary(result, directory), flush=True)
    if how == "submitit":
        job.requeue(result, directory)
    if result["status"] == "interrupted" and how != "joblib":
        raise KeyboardInterrupt  # the exit code says so, and a multirun ends here
    return multirun.outcome_of(result, directory)


def _sweep(words: list[str]) -> int:
    from gansweep.cli import sweep as run

    if any(w in ("-h", "--help") for w in words):
        print(run.HELP, end="")
        return 0
    directory = run.run_sweep(words)
    from gansweep.cli.report import conclude

    conclude(directory)
    return 0


def _worker(words: list[str]) -> int:
    if _told_how(words, WORKER_HELP):
        return 0
    from gansweep.config import permissions
    from gansweep.search.settings import only_sweep

    granted = [word for word in words if permissions.is_package_option(word)]
    directory = only_sweep("worker", [word for word in words if word not in granted])
    for word in granted:
        permissions.allow_packages(permissions.packages_in(word.partition("=")[2]))
    from gansweep.engine.worker import run_worker

    return run_worker(directory)


def _status(words: list[str]) -> int:
    from gansweep.cli.status import main as status_main

    return status_main(words)


def _cancel(words: list[str]) -> int:
    from gansweep.cli.cancel import main as cancel_main

    return cancel_main(words)


def _repair(words: list[str]) -> int:
    from gansweep.engine.storage.repair import main as repair_main

    return repair_main(words)


def _report(words: list[str]) -> int:
    from gansweep.cli.report import main as report_main

    return report_main(words)


def _told_how(words: list[str], text: str) -> bool:
    """Print a verb's help where it is asked for; whether it was."""
    wanted = any(word in ("-h", "--help") for word in words)
    if wanted:
        print(text, end="")
    return wanted


def _evaluate(words: list[str]) -> int:
    if _told_how(words, EVALUATE_HELP):
        return 0
    if not words:
        raise UserError("Name a run, as in 'gansweep evaluate runs/digits/dcgan-001'.")
    from gansweep.config.compose import compose

    compose([word for word in words if word.lstrip("+~").startswith("metrics")])  # before PyTorch
    from gansweep.run.evaluate import main as evaluate_main

    return evaluate_main(words)


def _generate(words: list[str]) -> int:
    if _told_how(words, GENERATE_HELP):
        return 0
    if not words:
        raise UserError("Name a run, as in 'gansweep generate runs/digits/cgan-001 label=7'.")
    from gansweep.cli import generate as picture_request

    request = picture_request.read(words)
    from gansweep.inference.generate import main as generate_main

    return generate_main(request)


def _doctor(words: list[str]) -> int:
    from gansweep.cli.doctor import main as doctor_main

    return doctor_main(words)


def _sync(words: list[str]) -> int:
    if _told_how(words, SYNC_HELP):
        return 0
    if not words or any(word.startswith("-") for word in words):
        raise UserError(
            "'gansweep sync' takes directories that hold runs and no flag, as in "
            "'gansweep sync runs'."
        )
    from gansweep.callbacks.tracking import sync

    return sync([Path(word) for word in words])


VERBS: dict[str, Callable[[list[str]], int]] = {
    "train": _train,
    "sweep": _sweep,
    "worker": _worker,
    "status": _status,
    "cancel": _cancel,
    "repair": _repair,
    "report": _report,
    "evaluate": _evaluate,
    "generate": _generate,
    "doctor": _doctor,
    "sync": _sync,
}
