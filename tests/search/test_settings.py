"""sweep.yaml: read again by every worker, also where an older version wrote it."""

from __future__ import annotations

from pathlib import Path

from sweep_studies import settings

from gansweep.search.settings import WARM_UP, Settings


def test_sweep_of_an_older_version_is_run_by_the_functions_of_today(tmp_path: Path) -> None:
    today = settings()
    older = settings(
        target="gansweep.sweep.child.train_trial", preload=["gansweep.sweep.warm", "mine"]
    )
    older.save(tmp_path)
    loaded = Settings.load(tmp_path)
    assert (loaded.target, loaded.preload) == (today.target, [WARM_UP, "mine"])
