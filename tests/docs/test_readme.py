"""What the README shows is what there is."""

import re
import shlex

import pytest
from places import TOP

from gansweep.cli.sweep_options import check_engine, flags, settings_of, split
from gansweep.config import compose as config

README = (TOP / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", README, flags=re.MULTILINE)
COMMANDS = [
    line.strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.startswith(("    gansweep train", "    gansweep sweep"))
]


@pytest.mark.parametrize("name", ["my_nets.py", "conf/model/my_gan.yaml"])
def test_the_worked_example_is_the_one_that_is_tested(name: str) -> None:
    shown = README.split(f"`{name}`\n\n", 1)[1].split("\n`", 1)[0].split("\nand then", 1)[0]
    code = "".join(line.removeprefix("    ") for line in shown.splitlines(keepends=True))
    assert code.rstrip() == (TOP / "tests" / "docs" / "example" / name).read_text().rstrip()


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("gansweep train")])
def test_every_run_composes(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(TOP / "tests" / "docs" / "example")
    words = shlex.split(command, comments=True)[2:]
    config_dir = None
    if "--config-dir" in words:
        at = words.index("--config-dir")
        config_dir = words[at + 1]
        del words[at : at + 2]
    multirun = "-m" in words
    words = [w for w in words if not w.startswith("-") and not w.startswith("resume=")]
    if multirun:
        words = [w for w in words if "," not in w and not w.startswith("hydra")]
    config.compose(words, config_dir=config_dir)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("gansweep sweep")])
def test_every_sweep_is_checked(command: str) -> None:
    words, _, _, dry_run = flags(shlex.split(command, comments=True)[2:])
    own, given = split([word.replace("[runs/first]", "[defaults]") for word in words])
    cfg = config.compose(own, config_name="sweep")
    check_engine(str(cfg.engine), dry_run)
    settings, _, remarks = settings_of(cfg, words, given, config.compose)
    assert settings.n_trials > 0 and remarks is not None


def test_every_model_and_data_set_is_listed() -> None:
    for group in ("model", "data"):
        for path in (config.conf_dir() / group).glob("*.yaml"):
            assert f"`{path.stem}" in README, f"{group}={path.stem}"


ROWS = dict(re.findall(r"\| `((?:digits|grid|ring)_\w+)` \|(.*)\|$", README, flags=re.MULTILINE))


def test_every_model_has_an_experiment_with_its_figure() -> None:
    shown = "".join(line for line in README.splitlines() if " | `" in line)
    for path in (config.conf_dir() / "model").glob("*.yaml"):
        assert f"`{path.stem}`" in shown, path.stem
        cited = re.search(r"experiment=(\w+), (\d+) s .*: (\w+) ([\d.]+)$", path.read_text(), re.M)
        assert cited is not None, path.stem
        experiment, seconds, _, value = cited.groups()
        cells = [cell.strip() for cell in ROWS[experiment].split("|")]
        assert cells[-2].endswith(f" {value}") and cells[-1] == seconds, path.stem


@pytest.mark.parametrize("name", ROWS)
def test_figures_are_those_of_the_experiments(name: str) -> None:
    lines = (config.conf_dir() / "experiment" / f"{name}.yaml").read_text().splitlines()
    stated = re.search(r"^# (\d+) s .*: \w+ ([\d.]+) (?:at the end|of the best)", lines[2])
    assert stated is not None, lines[2]
    seconds, score = stated.groups()
    cells = [cell.strip() for cell in ROWS[name].split("|")]
    assert cells[-2].endswith(f" {score}") and cells[-1] == seconds
    assert lines[1].startswith(f"# gansweep train experiment={name}")


def test_pictures_are_there() -> None:
    shown = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert len(shown) > 10 and all((TOP / picture).is_file() for picture in shown)


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    text = (TOP / page).read_text(encoding="utf-8")
    named = re.findall(r"(?<=`)(?:[a-z_.]+/)*[a-z_]+(?:/|\.py|\.sh|\.md|\.toml|\.txt)(?=`)", text)
    example = {
        "my_nets.py",
        "runs/first/",
        "log.txt",
        "leases/",
        "workers/",
    }
    rooms = (TOP, TOP / "src/gansweep", TOP / "src/gansweep/sweep")
    missing = {n for n in named if not any((room / n).exists() for room in rooms)} - example
    assert missing == set()
