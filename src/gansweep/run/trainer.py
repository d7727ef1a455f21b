"""Lightning's Trainer with the options that gansweep passes on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.profilers import AdvancedProfiler, PyTorchProfiler, SimpleProfiler
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from gansweep.errors import UserError
from gansweep.run.devices import TrainerOptions

PROFILERS = {"simple": SimpleProfiler, "advanced": AdvancedProfiler, "pytorch": PyTorchProfiler}


def made_trainer(options: Mapping[str, Any], directory: Path, **own: Any) -> pl.Trainer:
    """A Trainer.

    options: the trainer's part of the configuration; all but gansweep's own go to Lightning.
    directory: of the run; a profiler writes fit-profile.txt there.
    own: what gansweep sets itself.
    Raises: UserError if Lightning refuses an option.
    """
    passed = {k: v for k, v in options.items() if k not in TrainerOptions.__annotations__}
    profiler = PROFILERS.get(str(passed.get("profiler")))
    made = {"profiler": profiler(dirpath=directory, filename="profile")} if profiler else {}
    try:
        return pl.Trainer(**own, **{**passed, **made})
    except (MisconfigurationException, ValueError, TypeError) as error:
        if not passed:
            raise
        words = " ".join(f"trainer.{name}={value}" for name, value in passed.items())
        raise UserError(f"Lightning's Trainer refuses {words}: {error}") from error
