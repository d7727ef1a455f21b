"""What SLURM's sbatch refuses, and the mend that is told with its words."""

from __future__ import annotations

import pytest

from gansweep.sweep.launch import slurm


@pytest.mark.parametrize(
    ("said", "mend"),
    [
        ("sbatch: error: Invalid --mem specification", "memory="),
        ("sbatch: unrecognized option '--nonsense'", "Correct the words of launcher.options="),
        ("sbatch: error: invalid partition specified: gpuu", "Choose one with launcher.partition="),
        ("Batch job submission failed: Invalid node name specified", "launcher.options="),
        ("Batch job submission failed: Invalid qos specification", "launcher.options="),
        ("Batch job submission failed: Invalid feature specification", "launcher.constraint="),
        ("Invalid generic resource (gres) specification", "gpus="),
        ("Invalid account or account/partition combination specified", "launcher."),
        ("Unable to contact slurm controller (connect failure)", "Try again"),
    ],
)
def test_refusal_names_the_option_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, said: str, mend: str
) -> None:
    monkeypatch.setattr(slurm, "partitions", lambda: "")
    told = str(slurm._refused(said))
    assert mend in told.partition(". ")[2], told
