"""Where things stand in a checkout."""

from pathlib import Path

TESTS = Path(__file__).parents[1]
TOP = TESTS.parent
SUPPORT = TESTS / "support"
