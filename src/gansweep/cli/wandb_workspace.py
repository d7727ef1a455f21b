"""`gansweep wandb-workspace`: save a prepared workspace in a project of Weights & Biases."""

from __future__ import annotations

from pathlib import Path

from gansweep.cli.arguments import Parser
from gansweep.cli.candidates import Directories
from gansweep.config.wandb_login import logged_in_to_wandb
from gansweep.errors import UserError

DESCRIPTION = """\
Save a workspace in a project of Weights & Biases: scores with their mean and
standard error over seeds, samples with a slider of steps, losses, the game, the
panels of a sweep, and runs grouped by label, that is by all but the seed."""

EXAMPLES = """\
Examples:
  gansweep wandb-workspace gansweep runs            panels of its scores
  gansweep wandb-workspace mine --entity team       a project of a team
  gansweep wandb-workspace gansweep runs --dry-run  print it as JSON only

Log in first with 'wandb login'. The workspace is a saved view: nobody else's
view changes, and the same command makes another one.
"""


def parser() -> Parser:
    made = Parser("wandb-workspace", description=DESCRIPTION, epilog=EXAMPLES)
    made.add_words(
        Directories(), metavar="PROJECT [PATH ...]", help="the project, and local runs of it"
    )
    made.add_argument("--entity", metavar="NAME", help="user or team (default: yours)")
    made.add_argument("--name", metavar="NAME", default="gansweep", help="of the workspace")
    made.add_argument("--dry-run", action="store_true", help="print it as JSON and save nothing")
    return made


def main(words: list[str]) -> int:
    """Run the verb: 0. A UserError is left to the caller."""
    options, words = parser().read(words)
    if not words:
        raise UserError(
            "'gansweep wandb-workspace' takes a project, as in 'gansweep wandb-workspace gansweep "
            "runs'."
        )
    if not options.dry_run and not logged_in_to_wandb():
        raise UserError(
            "You are not logged in to Weights & Biases: run 'wandb login' or set WANDB_API_KEY, or "
            "print the workspace with --dry-run."
        )
    from gansweep.integrations.wandb_workspace import workspace
    from gansweep.judging.statuses import judged_runs

    project, *paths = words
    runs = judged_runs([Path(path) for path in paths]) if paths else []
    entity = options.entity or ("" if options.dry_run else _own_entity())
    made = workspace(project, entity, runs, options.name)
    if options.dry_run:
        print(made._to_model().model_dump_json(by_alias=True, indent=2))
        return 0
    made.save()
    print(f"saved {made.url}")
    return 0


def _own_entity() -> str:
    import wandb

    entity = wandb.Api().default_entity
    if not entity:
        raise UserError("Your account has no default entity: name one with --entity NAME.")
    return str(entity)
