"""The content address of a run: what changes a result changes it, and nothing else does."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gansweep.config.compose import compose
from gansweep.config.environment import without_secrets
from gansweep.records.address import address_of, deciding, still_holds
from gansweep.records.record import RunRecord
from gansweep.records.run_config import stored_settings

BASE = ["model=gan", "data=ring", "budget_kimg=20"]


@pytest.mark.parametrize(
    "words",
    [
        ["budget_kimg=20.0"],
        ["trainer=cpu", "trainer.threads=2", "trainer.compile=true"],
        ["runs_dir=elsewhere", "group=g", "name=n", "tracker=none"],
        [
            "~callbacks.samples",
            "callbacks.losses.every_steps=7",
            "callbacks.checkpoint.every_seconds=9",
        ],
        ["batch_size=100"],
    ],
)
def test_places_and_the_machine_leave_it_alone(words: list[str]) -> None:
    assert address_of(compose([*BASE, *words])) == address_of(compose(BASE))


@pytest.mark.parametrize(
    "word",
    [
        *("seed=1", "budget_kimg=21", "model.n_critic=2", "batch_size=50", "data.sigma=0.02"),
        *("metrics.n_fake=100", "callbacks.quality.every_kimg=5", "~callbacks.stop_on_failure"),
        *("trainer.precision=64-true", "one_batch=true", "model.points.generator.width=64"),
    ],
)
def test_what_decides_a_result_changes_it(word: str) -> None:
    assert address_of(compose([*BASE, word])) != address_of(compose(BASE))


def test_a_record_has_the_address_of_what_it_was_made_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSWEEP_DATA", "/somewhere")
    cfg = compose(["model=dcgan", "data=mnist", "model.optimizer.generator.lr=1e-4"])
    record = RunRecord.create(tmp_path / "g" / "r", OmegaConf.to_yaml(without_secrets(cfg)))
    monkeypatch.setenv("GANSWEEP_DATA", "/elsewhere")
    assert address_of(stored_settings(record)) == address_of(cfg)


def test_an_option_that_is_new_leaves_older_runs_what_they_were() -> None:
    now = deciding(compose(BASE))
    older = {key: value for key, value in now.items() if key != "model.penalty_interval"}
    assert "seed" not in now and still_holds(older, now)
    assert not still_holds({**older, "model.n_critic": 5.0}, now)
    assert not still_holds({**older, "model.gone": 1.0}, now)


def test_one_more_object_is_another_run_and_no_default() -> None:
    older = deciding(compose([*BASE, "term=r1"]))
    assert not still_holds(older, deciding(compose([*BASE, "term=[r1,pulling_away]"])))


def test_folders_of_images_and_weights_of_ones_own_are_what_is_measured() -> None:
    folder = ["model=dcgan", "data=image_folder"]
    first, second = (address_of(compose([*folder, f"data.root=/{name}"])) for name in "ab")
    assert first != second
    downloads = [address_of(compose(["data=mnist", f"data.root=/{name}"])) for name in "ab"]
    assert downloads[0] == downloads[1]
    weights = ["metrics.weights_path=null", "metrics.weights_path=/a.pt"]
    assert len({address_of(compose([*BASE, word])) for word in weights}) == 2


def test_how_often_the_game_is_looked_at_decides_its_rate() -> None:
    dirac = ["model=gan", "data=dirac", "budget_kimg=1"]
    words = ["+callbacks.game_at_rest._target_=gansweep.callbacks.game_at_rest.GameAtRest"]
    every = [[*words, f"+callbacks.game_at_rest.every_kimg={k}"] for k in (0.5, 0.05)]
    assert len({address_of(compose([*dirac, *more])) for more in ([], *every)}) == 3


def test_a_network_that_has_changed_since_is_another() -> None:
    """What an older version stored of it says nothing of the change."""
    cfg = compose(["model=r3gan", "data=digits"])
    now, older = deciding(cfg), deciding(cfg, revisions={})
    assert {key for key in now if key not in older} == {
        "model.generator._revision_",
        "model.discriminator._revision_",
    }
    assert still_holds(now, now) and not still_holds(older, now)
