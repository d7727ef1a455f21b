"""The folder of what runs share: trained classifiers, statistics, measured times."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """$GANSWEEP_CACHE, else $XDG_CACHE_HOME/gansweep, else ~/.cache/gansweep."""
    if own := os.environ.get("GANSWEEP_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).expanduser() if shared else Path.home() / ".cache") / "gansweep"
