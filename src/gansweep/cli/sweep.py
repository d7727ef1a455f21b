"""`gansweep sweep`: try many configurations and confirm the best; report at the end."""

from gansweep.cli.arguments import Parser
from gansweep.cli.candidates import Options
from gansweep.cli.waiting import waiting

HELP = """\
Usage: gansweep sweep [GROUP=CHOICE ...] [KEY=VALUE ...]

Try many configurations, confirm the best with fresh seeds.

  gansweep sweep sweep=demo data=digits                 the demonstration
  gansweep sweep sweep=own model=progan data=digits     a model's own options
  gansweep sweep sweep=tpe model=dcgan data=digits      tune one variant
  gansweep sweep sweep=gan_family n_trials=100          compare all variants
  gansweep sweep sweep=pareto model=dcgan               quality, coverage, time
  gansweep sweep sweep=pbt model=dcgan                  tune while training

Options of the sweep
  sweep=NAME         the search: its space, sampler, pruner, objective
                     (conf/sweep/NAME.yaml, or sweep/NAME.yaml in --config-dir)
  n_trials=N         configurations to try, confirmation runs not counted
  workers=auto|N     trials at a time; auto: one per GPU, else one per core
  name=NAME          its directory is RUNS_DIR/NAME; default: sweep and data
  runs_dir=DIR       by default runs
  storage=journal    where the study is kept: journal, sqlite,
                     postgresql://HOST/DATABASE, grpc://HOST:PORT
  launcher=local     where workers run: local (this machine), slurm, ray; or
                     kubernetes, with --dry-run
  launcher.KEY=VALUE a key of its file: launcher.slots_per_gpu=4
  sweep.KEY=VALUE    any key of the sweep's file: sweep.sampler.name=tpe
  engine=optuna      what searches: optuna (our workers), wandb (a W&B sweep)
  ui=true            print an address at which the sweep can be watched live
  --dry-run          engine=wandb: only write the sweep's file, print commands;
                     launcher=kubernetes: print the manifest of a Job
  --config-dir DIR   also search the folder DIR for groups of your own
  --leaderboard      print the leaderboard so far again, and exit
  --cfg job          print every key of the composed sweep, and exit

Every other KEY=VALUE is an option of `gansweep train` and holds for every trial
(budget_kimg=50 model.batch_size=64), or is searched where it names several:
  gansweep sweep model=dcgan,wgan_gp \\
    'model.optimizer.generator.lr=tag(log, interval(1e-5, 1e-3))'

Ctrl-C saves and stops; the same command continues. From any shell that sees the
directory, on this machine or another:
  gansweep status RUNS_DIR/NAME    its progress
  gansweep worker RUNS_DIR/NAME    one more worker
  gansweep cancel RUNS_DIR/NAME    save and stop everywhere
"""


def parser() -> Parser:
    made = Parser("sweep", HELP)
    made.add_words(Options({"engine": ("optuna", "wandb"), "ui": ("true", "false")}, "sweep"))
    made.add_argument("--config-dir", "-cd", metavar="DIR")
    made.add_argument("--cfg", "-c", nargs="?", const="job", metavar="job")
    made.add_argument("--dry-run", action="store_true")
    made.add_argument("--leaderboard", action="store_true")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, _ = parser().read(words)  # a mistaken flag is refused before heavy imports
    if not options.cfg:
        waiting.show(f"gansweep sweep {' '.join(words)}")
    try:
        from gansweep.cli.sweep_run import run_sweep, sweep_directory

        if options.leaderboard:
            from gansweep.cli.report import print_leaderboard

            place = sweep_directory(words)
            waiting.stop()
            print_leaderboard(place)
            return 0
        directory = run_sweep(words)
    finally:
        waiting.stop()  # before a refusal is printed
    from gansweep.cli.report import conclude

    conclude(directory)
    return 0
