"""The pages of the guide that are made at each build: the catalogue, the option reference."""

import importlib.util
import re
import sys
from types import ModuleType

import pytest
from places import TOP

CONF = TOP / "conf"


def load(name: str) -> ModuleType:
    path = TOP / "scripts" / "guide" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"guide_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def catalogue() -> ModuleType:
    return load("catalogue")


@pytest.fixture(scope="module")
def options() -> ModuleType:
    return load("options")


def test_every_model_and_experiment_is_in_the_catalogue(catalogue: ModuleType) -> None:
    page = catalogue.page()
    for path in (CONF / "model").glob("*.yaml"):
        assert f"| [`{path.stem}`](reference/model.md#{path.stem}) |" in page
    for path in (CONF / "experiment").glob("*.yaml"):
        assert re.search(rf"\| `(gansweep train experiment=)?{path.stem}\b", page), path.stem


def test_a_model_states_the_figures_of_its_experiment(catalogue: ModuleType) -> None:
    known = catalogue.experiments()
    for model in catalogue.models():
        line = (CONF / "model" / f"{model.name}.yaml").read_text().splitlines()[1]
        stated = re.search(r"experiment=\w+, (\d+) s .*: (\w+) ([\d.]+)$", line)
        assert stated is not None, line
        shown = known[model.experiment]
        word = catalogue.word_of(stated[2])
        assert shown.seconds == int(stated[1]) and shown.score.endswith(f"{word} {stated[3]}")
        assert shown.command.startswith(f"gansweep train experiment={shown.name}")


def test_tasks_say_what_they_are_for(catalogue: ModuleType) -> None:
    shown = {model.experiment for model in catalogue.models()}
    silent = [
        e.name for name, e in catalogue.experiments().items() if name not in shown and not e.told
    ]
    assert silent == []


def test_a_comment_behind_a_key_and_the_lines_below_it_say_what_an_option_is(
    options: ModuleType,
) -> None:
    told = options._comments(CONF / "sweep.yaml")
    assert told["workers"] == "trials at a time: auto, or a number"
    assert told["storage"].startswith("journal, sqlite:") and told["storage"].endswith("HOST:PORT")
    assert told["sweep.confirm.per"].startswith("winners are the best configurations")


def test_options_of_a_sweep_have_their_values_and_ranges(options: ModuleType) -> None:
    page = options.sweep_page()
    assert "| `sweep.confirm.top` | `3` | a whole number from 0 to 10,000 |" in page
    assert "| `launcher.gpus_per_trial` | `1` |" in page
    assert "## sweep=pareto" in page


def test_options_of_a_model_are_those_of_its_file(options: ModuleType) -> None:
    path = CONF / "model" / "began.yaml"
    told = options._comments_with_defaults(path, "model")
    assert told["model.lambda_k"] == "how fast k follows it"
    assert told["model.n_critic"] == "discriminator steps for one generator step"


def test_docstrings_become_lists() -> None:
    markdown = load("docstrings").markdown
    given = "A loss.\n\nreal, fake: (N,).   Returns: scalar.\nweight: above 0,\n    as in\n"
    assert markdown(given).splitlines()[3:] == [
        "- `real, fake`: (N,).",
        "- **Returns**: scalar.",
        "- `weight`: above 0,",
        "    as in",
    ]
    assert markdown("Two things: a note.") == "Two things: a note."
