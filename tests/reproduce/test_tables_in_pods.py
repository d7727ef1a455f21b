"""A table with launcher=kubernetes: its manifest, and what its pods tell each other."""

from __future__ import annotations

from collections.abc import Callable

import yaml
from command_line import Finished

Command = Callable[..., Finished]


def test_a_dry_run_for_kubernetes_prints_a_job_that_runs_the_table(
    command: Command, small: str
) -> None:
    given = ["launcher=kubernetes", "launcher.image=r/g:1", "launcher.claim=runs", "workers=2"]
    done = command("reproduce", "small", "--config-dir", small, "--dry-run", *given)
    assert done.code == 0, done.err
    job = yaml.safe_load(done.out)
    (container,) = job["spec"]["template"]["spec"]["containers"]
    script = container["command"][-1]
    words = f"exec gansweep reproduce small --config-dir {small} launcher=local workers=1\n"
    assert script.startswith(f'if [ "$JOB_COMPLETION_INDEX" = 0 ]; then\n  {words}fi\n')
    assert "exec gansweep worker runs/reproduce-small" in script
    assert (job["spec"]["completions"], job["spec"]["parallelism"]) == (2, 2)
