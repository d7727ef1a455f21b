"""scripts/figures writes results to the places where the guide's catalogue reads them."""

from pathlib import Path
from typing import Any

import pytest
from loaded_scripts import script
from PIL import Image

from gansweep.provenance.reading import marks_of
from gansweep.records.record import RunRecord
from gansweep.records.sheets import Layout, as_webp

MODEL = "# Mao et al. 2017, arXiv:1611.04076, Eq. 9\n# gansweep train experiment=digits_new{rest}\n"
MODEL += "# Family: Unconditional. Least squares.\n"
RESULT: dict[str, Any] = {
    "seconds": 37.6,
    "objective": "fid_digitsnet1_1k_train",
    "protocols": {
        "fid_digitsnet1_1k_train": {"score": "fid", "split": "train"},
        "class_agreement_digitsnet1_1k": {"score": "class_agreement"},
    },
    "last": {
        "fid_digitsnet1_1k_train": {"value": 19.757},
        "class_agreement_digitsnet1_1k": {"value": 0.9511},
        "modes_1k": {"value": 10.0},
        "mode_counts_1k": {"value": [1] * 10},
    },
    "hardware": {"device": "AMD EPYC 7763"},
}


@pytest.mark.parametrize(
    "rest", ["", ", 99 s on one core of an AMD EPYC: fid_digitsnet1_1k_train 1"]
)
def test_figures_go_into_both_headers_and_from_there_into_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rest: str
) -> None:
    figures, catalogue = script("figures"), script("guide/catalogue")
    for module in (figures, catalogue):
        monkeypatch.setattr(module, "MODELS", tmp_path / "model")
        monkeypatch.setattr(module, "EXPERIMENTS", tmp_path / "experiment")
    for folder in ("model", "experiment"):
        (tmp_path / folder).mkdir()
    (tmp_path / "model" / "new.yaml").write_text(MODEL.format(rest=rest))
    head = "# @package _global_\n# gansweep train experiment=digits_new\n"
    experiment = tmp_path / "experiment" / "digits_new.yaml"
    experiment.write_text(f"{head}budget_kimg: 1\n")
    for _ in range(2):  # the second time replaces the result of the first
        summary = f"{figures.seconds(RESULT)} s on one core of {figures.processor(RESULT)}"
        figures.state("digits_new", RESULT, f"{summary}: {figures.score(RESULT)}")
    assert experiment.read_text() == (
        f"{head}# 38 s on one core of an AMD EPYC: fid_digitsnet1_1k_train 19.76 at the end, 10 of "
        "10 modes, class_agreement_digitsnet1_1k 0.951 (seed 0)\nbudget_kimg: 1\n"
    )
    row = "| Least squares | `digits_new` | class 0.951, fid 19.76 | 38 |"
    assert row in catalogue.page()
    assert "[`new`](reference/model.md#new) | [Mao 2017](https://arxiv.org/abs/1611.04076)" in (
        catalogue.page()
    )


def test_the_last_samples_become_a_picture_for_people(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path / "run", "seed: 0")
    for kimg, shade in ((1, 50), (2, 200)):
        sheet = as_webp(Image.new("L", (73, 73), shade), Layout("samples", 8, 8, (8, 8), count=64))
        (record.samples / f"{kimg:06d}000.webp").write_bytes(sheet)
    script("figures").show_last_samples(record, tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (511, 511))
        assert picture.convert("L").getpixel((100, 100)) == 200
    assert marks_of(tmp_path / "picture.png").kind == "machine-made"


def test_records_of_a_run_replace_older_ones_without_weights(tmp_path: Path) -> None:
    run, place = tmp_path / "run", tmp_path / "results"
    (run / "checkpoints").mkdir(parents=True)
    place.mkdir()
    (run / "result.json").write_text("new")
    for old in ("result.json", "evaluations.jsonl", "README.md"):
        (place / old).write_text("old")
    script("figures").keep_records(run, place)
    assert {p.name: p.read_text() for p in place.iterdir()} == {
        "result.json": "new",
        "README.md": "old",
    }
