"""The YAML of a record is read as data, whoever wrote it."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gansweep.config.compose import compose
from gansweep.records.plain_values import DamagedError
from gansweep.records.stored_yaml import yaml_mapping


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"{' ' * depth}a:" for depth in range(70)),
        "\n".join(f"{'  ' * depth}- a:" for depth in range(40)),
        "- " * 70 + "a",
        "a: " + "[" * 70 + "]" * 70,
        "a: " + "{a: " * 70 + "b" + "}" * 70,
        "a: &x [b]\nc: [*x]",
        "a: &x b\nc: *x",
    ],
)
def test_what_could_fill_the_memory_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(DamagedError, match="nested deeper|contains the alias"):
        yaml_mapping(path)


def test_the_configuration_of_a_run_is_parsed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(OmegaConf.to_yaml(compose(["model=stylegan2", "data=digits"])))
    monkeypatch.setattr("gansweep.records.stored_yaml._check", lambda text: 1 / 0)
    assert yaml_mapping(path)["choices"]["model"] == "stylegan2"
