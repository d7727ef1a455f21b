"""`gansweep train`: a Hydra application that trains one run, or several with --multirun."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import shlex
import sys
import textwrap
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansweep.cli.arguments import Parser, in_lines
from gansweep.cli.candidates import Options
from gansweep.cli.waiting import waiting
from gansweep.config.choices import choices
from gansweep.errors import UserError, tell

if TYPE_CHECKING:
    from omegaconf import DictConfig

HELP = """\
Usage: gansweep train [GROUP=CHOICE ...] [KEY=VALUE ...]

Train one GAN, with a live progress bar, samples, scores, a record in runs/.

  gansweep train model=wgan_gp data=digits         a variant on a data set
  gansweep train experiment=digits_progan          small and tuned, for one core
  gansweep train term=[lecam,consistency]          terms that improve any GAN
  gansweep train model.n_critic=1 budget_kimg=200  any option
  gansweep train resume=runs/digits/dcgan-001      continue a run exactly
  gansweep train init=runs/digits/dcgan-001        begin with another's weights
  gansweep train -m seed=0,1,2 model=gan,dcgan     a run for each combination
  gansweep train model=dcgan debug=fast            does it run? in seconds

Groups and their choices (GROUP=CHOICE)
{groups}

Common options (KEY=VALUE); --cfg job prints all of them with their values
  budget_kimg=100        thousands of real images shown to the discriminator
  batch_size=64          over all devices together
  seed=0                 weights, noise and data order
  runs_dir=runs          a run is written to RUNS_DIR/GROUP/NAME
  group=NAME name=NAME   default: the data's name; the model's name and a number
  resume=RUN             the directory of a run to continue
  init=RUN               begin with this run's weights; also RUN@last, RUN@KIMG
  +trainer.NAME=VALUE    an option of Lightning's Trainer: profiler=simple
  extra_packages=[NAME]  packages of yours whose classes the options may name

Flags
  --cfg job              print the composed options and exit
  --config-dir DIR       also search the folder DIR for groups of your own
  --multirun, -m         a run for each combination of comma-separated values
  --hydra-help           Hydra's own options
"""
BARE = re.compile(r"[\w./@+-]*", re.ASCII)  # a value that Hydra's grammar takes without quotes
INFO = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")


def parser() -> Parser:
    """The flags of Hydra, and ours."""
    made = Parser("train", add_help=False)
    made.add_words(Options({"resume": (), "init": ()}))
    for flags in ("--help -h", "--hydra-help", "--version", "--multirun -m", "--run -r"):
        made.add_argument(*flags.split(), action="store_true")
    made.add_argument("--resolve", action="store_true")
    made.add_argument("--shell-completion", "-sc", action="store_true", help=argparse.SUPPRESS)
    made.add_argument("--cfg", "-c", choices=("job", "hydra", "all"))
    made.add_argument("--info", "-i", nargs="?", choices=INFO)
    for flags in ("--package -p", "--config-path -cp", "--config-name -cn", "--experimental-rerun"):
        made.add_argument(*flags.split(), metavar="VALUE")
    made.add_argument("--config-dir", "-cd", metavar="DIR")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError, and the end of an interrupted run, are left to the caller."""
    overrides = [w for w in words if not w.startswith("-") and ("=" in w or w.startswith("~"))]
    # Flags first: Hydra's parser refuses overrides on both sides of one.
    flags = [w for w in words if w not in overrides]
    options, _ = parser().read([w for w in flags if w not in ("--help", "-h")])
    if {*flags} & {"--help", "-h"}:
        print(HELP.format(groups=_groups(options.config_dir)), end="")
        return 0
    if options.shell_completion:
        raise UserError(
            "gansweep has a completion of its own in place of Hydra's: "
            'eval "$(gansweep completion bash)".'
        )
    elsewhere = any(word.startswith("hydra/launcher=") for word in words)  # it prints there
    if not (options.cfg or options.info or elsewhere):
        waiting.show(f"gansweep train {' '.join(words)}")
    import hydra

    from gansweep.config.compose import conf_dir, explained
    from gansweep.records.record import disk_error

    overrides = [*map(_readable, overrides)]
    # Hydra would print errors in its own words and exit with 1.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    # On a full disk every line of a tracker's log would print a traceback before our paragraph.
    logging.raiseExceptions = False
    sys.argv = ["gansweep train", *flags, *overrides]
    application = hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(
        _run_one
    )
    try:
        with explained(overrides):
            application()
    except OSError as error:  # the folder of a multirun is Hydra's to write
        runs_dir = next((w[9:] for w in overrides if w.startswith("runs_dir=")), "runs")
        raise (disk_error(error, Path(runs_dir)) or error) from None
    except Exception as error:
        if type(error).__module__.split(".")[0] not in ("submitit", "joblib"):
            raise
        raise UserError(f"A job of the multirun ended without a message. {error}") from error
    finally:
        waiting.stop()
    return 0


def _readable(word: str) -> str:
    """The word in Hydra's grammar, whatever the name of an existing directory in it: messages name
    it as it is."""
    from hydra.core.override_parser.types import Quote, QuotedString

    key, _, value = word.partition("=")
    if key not in ("resume", "init") or BARE.fullmatch(value):
        return word
    places = (value, value.rpartition("@")[0]) if key == "init" else (value,)
    if not any(map(os.path.exists, places)):
        return word
    return f"{key}={QuotedString(value, quote=Quote.single).with_quotes()}"


def _groups(config_dir: str | None) -> str:
    """The groups and their choices, a paragraph each."""
    return "\n".join(
        textwrap.fill(f"  {group}: {', '.join(names)}", 80, subsequent_indent="    ")
        for group, names in choices("train", [Path(config_dir)] if config_dir else []).items()
    )


def _run_one(raw: object) -> dict[str, object]:
    """The Hydra application: one run, in this process or in one that a launcher started.

    Returns: how the run ended, for the summary of a multirun.
    """
    from gansweep.config.compose import explained
    from gansweep.run.multirun import failure, is_multirun

    try:
        with explained(()):
            return _train(raw)
    except Exception as error:  # here, before Hydra wraps it in words of its own
        waiting.stop()
        if not isinstance(error, UserError):
            if not is_multirun():
                raise
            traceback.print_exc()
        tell(f"gansweep: {error}")
        if is_multirun():
            return failure(error)  # the next run starts all the same
        raise SystemExit(2) from None


def _train(raw: object) -> dict[str, object]:
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import OmegaConf

    from gansweep.records.record import RunRecord
    from gansweep.run import jobs, multirun
    from gansweep.run.early import refuse_early
    from gansweep.run.opening import headline, nothing_left
    from gansweep.run.quick_imports import quick_imports
    from gansweep.run.summary import finished_before, summary

    cfg, run_dir, overrides, config_dir = _composed(raw)
    hydra_config = HydraConfig.get()
    how = multirun.launcher(hydra_config) if multirun.is_multirun() else "alone"
    if multirun.is_stopped():
        return dict(multirun.NOT_BEGUN)
    waiting.stop()
    stem = None
    if how != "alone":
        words: Any = OmegaConf.to_container(hydra_config.overrides.task, resolve=False)
        stem = jobs.stem(cfg, words)
        tell(f"\njob {hydra_config.job.num + 1}: {' '.join(jobs.differing(words)) or 'the run'}")
    if run_dir is None:
        refuse_early(cfg)
    elif nothing_left(RunRecord(run_dir), cfg.budget_kimg):
        result = RunRecord(run_dir).result() or {}
        print(finished_before(result, run_dir))
        return multirun.outcome_of(result, run_dir)
    progress = how != "joblib"  # what several processes print would mix
    if progress:
        place = Path(cfg.runs_dir) / (cfg.group or str(cfg.choices.data)) / (cfg.name or "")
        tell(headline(cfg, run_dir or place))
        waiting.show("importing PyTorch")
    with quick_imports():
        from gansweep.run.train import train

    waiting.stop()
    saving: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if how == "submitit":
        job = multirun.SubmititJob()
        run_dir = run_dir or job.directory(cfg, words)
        saving = job.saving_first(run_dir)
    with saving:
        result = train(
            cfg,
            run_dir=run_dir,
            progress=progress,
            overrides=overrides,
            config_dir=config_dir,
            stem=stem,
        )
    directory = Path(result["directory"])
    print(summary(result, directory), flush=True)
    if how == "submitit":
        job.requeue(result, directory)
    if result["status"] == "interrupted" and how != "joblib":
        if how == "basic":
            _tell_jobs_left(jobs.words_left(hydra_config.job.num))
        raise KeyboardInterrupt  # the exit code says so, and a multirun ends here
    return multirun.outcome_of(result, directory)


def _tell_jobs_left(left: list[list[str]]) -> None:
    """Print the commands of the jobs that a multirun did not begin.   left: their overrides."""
    # a word with ~ is an override, also without a value
    flags = [w for w in sys.argv[1:] if w.startswith("-") or not ("=" in w or w.startswith("~"))]
    if left:
        tell("gansweep: the jobs after this one were not started. To train them:")
    for words in left:
        print(in_lines(shlex.join(["gansweep", "train", *flags, *words]), 80), file=sys.stderr)


def _composed(raw: object) -> tuple[DictConfig, Path | None, list[str] | None, str | None]:
    """The configuration, the run that it continues, and the overrides and --config-dir given; the
    overrides are None if those of the run are not known."""
    import omegaconf
    from hydra.core.hydra_config import HydraConfig

    from gansweep.config.compose import checked, refuse_unread
    from gansweep.run.multirun import is_multirun

    assert isinstance(raw, omegaconf.DictConfig)
    hydra_config = HydraConfig.get()
    cfg = checked(raw, dict(hydra_config.runtime.choices))
    # as they were given: an interpolation in a word is not resolved for the record
    words: Any = omegaconf.OmegaConf.to_container(hydra_config.overrides, resolve=False)
    if not is_multirun():  # another of its runs may take the variable
        refuse_unread(cfg, words["task"], hydra_config)
    own = [word for word in words["hydra"] if "hydra.searchpath" in word]
    overrides = [*own, *words["task"]]
    given = [s.path for s in hydra_config.runtime.config_sources if s.provider == "command-line"]
    config_dir = given[0] if given else None
    if cfg.resume is None:
        return cfg, None, overrides, config_dir
    from gansweep.run.resume import resumed

    run_dir = Path(str(cfg.resume))
    saved, known, config_dir = resumed(cfg, overrides, config_dir)
    return saved, run_dir, known, config_dir
