"""What README.md, CONTRIBUTING.md and the guide show is what there is."""

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from places import TOP

from gansweep.cli.sweep_options import check_engine, flags, settings_of, split
from gansweep.config import compose as config

EXAMPLE = TOP / "tests" / "docs" / "example"
PAGES = [TOP / "README.md", TOP / "CONTRIBUTING.md", *sorted((TOP / "docs").rglob("*.md"))]
MADE = ["catalogue", *(f"reference/{name}" for name in ("cli", "run", "data", "model", "sweep"))]
BUILT = {TOP / "docs" / f"{name}.md" for name in MADE}  # only in the built site
SNIPPET = re.compile(r'^--8<-- "(.+)"$', flags=re.MULTILINE)
PLACES = r"`((?:src|conf|tests|scripts|docs|\.github)/[\w./-]*)`"


def commands(page: Path) -> Iterator[str]:
    """The commands of a page: in indented blocks, and behind a $ in fenced ones."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for line in text.splitlines():
        found = re.match(r"(?: {4,}|\$ )(gansweep [a-z].*)", line)
        if found:
            yield shlex.join(shlex.split(found[1], comments=True))


SHOWN = sorted({command for page in PAGES for command in commands(page)})
TRAIN = [command for command in SHOWN if command.startswith("gansweep train")]
SWEEP = [command for command in SHOWN if command.startswith("gansweep sweep")]


def name(page: Path) -> str:
    return str(page.relative_to(TOP))


def test_commands_are_found() -> None:
    assert len(TRAIN) > 40 and len(SWEEP) > 12
    assert not set(TRAIN) & set(SWEEP)


@pytest.mark.parametrize("command", TRAIN)
def test_every_run_composes(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    words = shlex.split(command)[2:]
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


@pytest.mark.parametrize("command", SWEEP)
def test_every_sweep_is_checked(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(EXAMPLE)
    words, config_dir, _, dry_run = flags(shlex.split(command)[2:])

    def compose(overrides: list[str], **options: Any) -> Any:
        return config.compose(overrides, config_dir=config_dir, **options)

    own, given = split([word.replace("[runs/first]", "[defaults]") for word in words])
    cfg = compose(own, config_name="sweep")
    check_engine(str(cfg.engine), dry_run, launcher=str(cfg.launcher.name))
    settings, _, remarks = settings_of(cfg, words, given, compose)
    assert settings.n_trials > 0 and remarks is not None


def test_every_verb_that_is_shown_exists_and_readme_lists_each(
    command: Callable[..., Any],
) -> None:
    known = set(re.findall(r"^ {2,4}([a-z][a-z-]+) {2,}\S", command("--help").out, re.MULTILINE))
    assert {"train", "sweep", "sync"} <= known
    assert {shlex.split(shown)[1] for shown in SHOWN} <= known
    listed = (TOP / "README.md").read_text().split("## Verbs")[1].split("##")[0]
    assert set(re.findall(r"^\| `([a-z-]+)` \|", listed, flags=re.MULTILINE)) == known


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_files_that_a_page_names_are_there(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = {word for word in re.findall(PLACES, text) if "NAME" not in word}
    assert {word for word in named if not (TOP / word).exists()} == set()
    assert {shown for shown in SNIPPET.findall(text) if not (TOP / shown).is_file()} == set()


def anchors(page: Path) -> set[str]:
    """The automatic anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_and_pictures_lead_somewhere_in_the_repository(page: Path) -> None:
    dead = []
    for link in re.findall(r"\]\(([^):\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if target in BUILT:
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_names_the_files_that_it_includes(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [shown for shown in SNIPPET.findall(text) if f"`{shown}`:" not in text] == []


def test_files_of_the_engine_lie_in_the_rooms_that_the_guide_names() -> None:
    room = ""
    found = []
    for line in (TOP / "docs" / "engine.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) == 5 and ".py`" in cells[2]:
            room = cells[1].strip("`") or room
            found += [f"src/gansweep/{room}{file}" for file in re.findall(r"`(\S+\.py)`", cells[2])]
    assert len(found) > 20 and [path for path in found if not (TOP / path).exists()] == []


def test_every_data_set_has_a_row() -> None:
    text = (TOP / "docs" / "data.md").read_text()
    for path in (config.conf_dir() / "data").glob("*.yaml"):
        assert f"`{path.stem}" in text, path.stem


def test_every_term_has_a_row() -> None:
    text = (TOP / "docs" / "models.md").read_text()
    for path in (config.conf_dir() / "term").glob("*.yaml"):
        assert f"| `{path.stem}` |" in text, path.stem


def test_every_extra_has_a_row() -> None:
    text = (TOP / "docs" / "install.md").read_text()
    listed = (TOP / "pyproject.toml").read_text().split("[project.optional-dependencies]")[1]
    extras = set(re.findall(r"^(\w+) = \[", listed.split("\n[")[0], flags=re.MULTILINE)) - {"dev"}
    assert len(extras) > 8 and {one for one in extras if f"`gansweep[{one}]`" not in text} == set()
