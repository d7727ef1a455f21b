"""What the README shows is what there is."""

import re
import shlex
from pathlib import Path

import pytest

from gansweep import config

TOP = Path(__file__).parents[1]
README = (TOP / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, flags=re.MULTILINE)
COMMANDS = [
    line.strip()
    for block in BLOCKS
    for line in block.splitlines()
    if line.startswith(("    gansweep train", "    gansweep sweep"))
]


@pytest.mark.parametrize("name", ["my_nets.py", "conf/model/my_gan.yaml"])
def test_the_worked_example_is_the_one_that_is_tested(name: str) -> None:
    shown = README.split(f"`{name}`\n\n", 1)[1].split("\n`", 1)[0].split("\nand then", 1)[0]
    code = "".join(line.removeprefix("    ") for line in shown.splitlines(keepends=True))
    assert code.rstrip() == (TOP / "tests" / "example" / name).read_text().rstrip()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_composes(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP / "tests" / "example")
    _, verb, *words = shlex.split(command, comments=True)
    config_dir = None
    if "--config-dir" in words:
        at = words.index("--config-dir")
        config_dir = words[at + 1]
        del words[at : at + 2]
    multirun = "-m" in words
    words = [w for w in words if not w.startswith("-") and not w.startswith("resume=")]
    if verb == "sweep":
        own = ("sweep=", "n_trials=", "workers=", "name=")
        config.compose([w for w in words if w.startswith(own)], config_name="sweep")
        words = [w for w in words if not w.startswith(own)]
    if multirun or verb == "sweep":
        words = [w for w in words if "," not in w]
    config.compose(words, config_dir=config_dir)


def test_every_model_and_data_set_is_listed() -> None:
    for group in ("model", "data"):
        for path in (config.conf_dir() / group).glob("*.yaml"):
            assert f"`{path.stem}" in README, f"{group}={path.stem}"


def test_figures_of_the_models_are_those_of_their_files() -> None:
    for path in (config.conf_dir() / "experiment").glob("digits_*.yaml"):
        seconds, score = re.search(r"# (\d+) s .*train ([\d.]+) at", path.read_text()).groups()  # type: ignore[union-attr]
        row = next(r for r in README.splitlines() if f"`{path.stem}` |" in r)
        assert row.endswith(f"| {score} | {seconds} |"), path.stem
