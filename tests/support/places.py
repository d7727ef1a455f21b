"""Where things stand in a checkout."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
TOP = TESTS.parent
SUPPORT = TESTS / "support"
SLURM_CLUSTER = TOP / "scripts" / "slurm_cluster.sh"
