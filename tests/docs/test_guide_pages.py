"""The pages of the guide that are made at each build: the catalogue, the option reference."""

import re
from pathlib import Path
from types import ModuleType

import pytest
from loaded_scripts import script
from places import TOP

CONF = TOP / "conf"


@pytest.fixture(scope="module")
def catalogue() -> ModuleType:
    return script("guide/catalogue")


@pytest.fixture(scope="module")
def options() -> ModuleType:
    return script("guide/options")


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
    """Beside the one of its model, an experiment must say what it adds."""
    shown = {model.experiment for model in catalogue.models()}
    others = [e for name, e in catalogue.experiments().items() if name not in shown]
    assert [experiment.name for experiment in others if not experiment.purpose] == []


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("fid_digitsnet1_1k_train", "fid"),
        ("fid_fashion_mnistnet1_1k_train", "fid"),
        ("psnr_gain_10k_test", "psnr_gain"),
        ("auroc_reconstruction_360_test", "auroc_reconstruction"),
        ("reverse_kl_2500", "reverse_kl"),
    ],
)
def test_the_catalogue_shortens_the_names_of_scores(
    catalogue: ModuleType, name: str, word: str
) -> None:
    assert catalogue.word_of(name) == word


def test_experiments_on_real_images_have_a_table_and_the_first_pictures(
    catalogue: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stated = catalogue.Experiment("mnist_x", "gansweep train experiment=mnist_x", 9, "fid 3", "A.")
    known = catalogue.experiments() | {"mnist_x": stated}
    monkeypatch.setattr(catalogue, "experiments", lambda: known)
    monkeypatch.setattr(catalogue, "PICTURES", tmp_path)
    for picture in ("digits_a.png", "mnist_x.png"):
        (tmp_path / picture).touch()
    page = catalogue.page()
    at = page.index("## At 28x28"), page.index("## Pictures")
    assert "| `gansweep train experiment=mnist_x` | A | fid 3 | 9 |" in page[at[0] : at[1]]
    assert page.count("experiment=mnist_x`") == 1
    assert page.index("![mnist_x:") < page.index("![digits_a:")


def test_a_comment_behind_a_key_and_the_lines_below_it_say_what_an_option_is(
    options: ModuleType, tmp_path: Path
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "two.yaml").write_text("rate: 1  # of the base\nn_critic: 2  # turns\n")
    (tmp_path / "one.yaml").write_text(
        "# The file\n"
        "defaults: [base/two@_here_, _self_]\n"
        "rate: 3      # its own\n"
        "part:        # the whole part\n"
        "  a: '#1'    # first,\n"
        "             #   and more | of it\n"
        "  b: {c: 1, d: 2}  # both\n"
        "plain: 4\n"
    )
    assert options._comments_with_defaults(tmp_path / "one.yaml", "model") == {
        "model.rate": "its own",
        "model.n_critic": "turns",
        "model.part": "the whole part",
        "model.part.a": "first, and more | of it",
        "model.part.b": "both",
    }


def test_options_of_a_sweep_have_their_values_and_ranges(options: ModuleType) -> None:
    page = options.sweep_page()
    assert "| `sweep.confirm.top` | `3` | a whole number from 0 to 10,000 |" in page
    assert "| `launcher.gpus_per_trial` | `1` |" in page
    assert "## sweep=pareto" in page


def test_docstrings_become_lists() -> None:
    markdown = script("guide/docstrings").markdown
    given = "A loss.\n\nreal, fake: (N,).   Returns: scalar.\nweight: above 0,\n    as in\n"
    assert markdown(given).splitlines()[3:] == [
        "- `real, fake`: (N,).",
        "- **Returns**: scalar.",
        "- `weight`: above 0,",
        "    as in",
    ]
    assert markdown("Two things: a note.") == "Two things: a note."
