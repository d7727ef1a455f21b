"""Completion reads the same keys from conf/ as Hydra composes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gansweep.config.choices import UNSET, choices, conf_dir, options
from gansweep.config.compose import compose, dotted_keys


def keys(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in tree.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")


@pytest.mark.parametrize(
    "chosen",
    [
        {},
        {
            "model": "cgan_projection",
            "metrics": "inception_50k",
        },  # base file, point networks
        {"data": "paired", "model": "pix2pix"},  # a group within another
        {"callbacks": "stopping", "trainer": "gpu", "tracker": "mlflow"},
        {"experiment": "grid_gan"},  # based on another experiment
        {"experiment": "digits_gan", "model": "dcgan"},
        {"term": "[ada,lecam]"},
        {"term": "diffaugment", "model": "r3gan"},  # which has an augmentation of its own
        {"debug": "overfit", "model": "gan"},
    ],
    ids=str,
)
def test_keys_are_those_of_the_composed_configuration(chosen: dict[str, str]) -> None:
    cfg = compose([f"{group}={choice}" for group, choice in chosen.items()])
    composed = {
        key
        for key in dotted_keys(cfg)
        if key.split(".")[0] != "choices" and not any(part in UNSET for part in key.split("."))
    }
    assert set(keys(options("train", chosen))) == composed


def test_choices_are_the_files_of_each_group() -> None:
    train, sweep = choices("train"), choices("sweep")
    assert train["model"] == sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml"))
    assert sweep.keys() - train.keys() == {"sweep", "launcher"}
    assert "random" in sweep["sweep"] and "two_player" not in train["model"]
    assert "reproduce" not in sweep, "its files are tables, which no run can choose"


def test_own_files_come_before_the_packages_and_unreadable_ones_are_empty(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("defaults: [dcgan, _self_]\nbeta: 1\n")
    (tmp_path / "model" / "torn.yaml").write_text("a: [")
    assert {"mine", "torn", "gan"} <= {*choices("train", [tmp_path])["model"]}
    found = options("train", {"model": "mine"}, [tmp_path])["model"]
    assert found["beta"] == 1 and "latent_dim" in found
    assert options("train", {"model": "torn"}, [tmp_path])["model"] == {}
