"""Every remedy is a command that gansweep accepts, and that trains."""

import functools
import shlex
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from gansweep import config
from gansweep.data.batch import Batch
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.remedies import MOST, command_with, remedies_for
from gansweep.diagnosis.rules import RULES
from gansweep.diagnosis.treatments import TREATMENTS
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws

SMALL_IMAGES = ["data=digits", "model.generator.width=4", "model.discriminator.width=8"]
SMALL_POINTS = [
    *("data=ring", "model.points.generator.width=4", "model.points.discriminator.width=8"),
]
COMMANDS = {
    "dcgan": ["model=dcgan", *SMALL_IMAGES],
    "gan with far rates": [
        *("model=gan", *SMALL_POINTS, "model.loss._target_=gansweep.losses.Minimax"),
        *("model.optimizer.discriminator.lr=3e-2", "model.optimizer.generator.lr=1e-3"),
    ],
    "gan with a strong r1": [
        *("model=gan", *SMALL_POINTS, "+model.penalties.r1._target_=gansweep.penalties.R1"),
        *("+model.penalties.r1.weight=10", "++callbacks.samples.count=16"),
    ],
    "lsgan": ["model=lsgan", *SMALL_IMAGES],
    "wgan": ["model=wgan", *SMALL_IMAGES],
    "wgan without a bound": ["model=wgan", *SMALL_POINTS, "model.weight_clip=null"],
    "wgan_gp": ["model=wgan_gp", *SMALL_IMAGES],
    "sngan": ["model=sngan", *SMALL_POINTS],
    "r3gan": [
        *("model=r3gan", *SMALL_IMAGES, "model.generator.blocks=1", "model.discriminator.blocks=1"),
    ],
    "experiment": [
        *("experiment=digits_dcgan", "model.generator.width=4", "model.discriminator.width=8"),
    ],
}


def evidence_of(words: list[str]) -> Evidence:
    command = shlex.join(["gansweep", "train", *words])
    directory = "runs/ring/gan-001"
    return Evidence(curves={}, config=resolved(*words), command=command, directory=directory)


@functools.cache
def resolved(*words: str) -> dict[str, Any]:
    content = OmegaConf.to_container(config.compose(words), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def composed(command: str) -> DictConfig:
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("gansweep", "train")
    return config.compose(words)


def steps(cfg: DictConfig) -> dict[str, float]:
    """The losses of a few steps of the model that the configuration describes."""
    is_points = str(cfg.data._target_).startswith("gansweep.data.toy.")
    shape = (2,) if is_points else (1, 8, 8)
    torch.manual_seed(0)
    node = config.model_node(cfg, is_points)
    model: Adversarial = config.instantiate(node, sample_shape=shape)
    model.budget_kimg = 1.0
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    for number in range(model.n_critic):
        model.training_step(Batch(torch.rand(8, *shape) * 2 - 1), number)
    return model.recent_means()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_remedy_composes_and_trains(name: str) -> None:
    given = evidence_of(COMMANDS[name])
    seen = set()
    for treatment in {one for many in TREATMENTS.values() for one in many}:
        advice = treatment(given)
        if advice is None or (command := command_with(given, advice[1])) in seen:
            continue
        seen.add(command)
        cfg = composed(command)
        if cfg.resume is None:
            losses = steps(cfg)
            assert torch.tensor(list(losses.values())).isfinite().all(), command
    assert len(seen) >= 8


@pytest.mark.parametrize("name", ["dcgan", "gan with a strong r1", "wgan"])
def test_a_remedy_changes_the_configuration_to_what_it_says(name: str) -> None:
    given = evidence_of(COMMANDS[name])
    for rule in ("mode_collapse", "over_generalisation"):
        for remedy in remedies_for(rule, given):
            after = composed(remedy.command)
            assert OmegaConf.to_container(after, resolve=True) != given.config, remedy.text
            for word in remedy.overrides:
                key, _, value = word.lstrip("+").partition("=")
                assert str(OmegaConf.select(after, key)) in (value, str(_number(value)), "True")


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def test_every_rule_has_remedies_and_never_a_long_list() -> None:
    assert TREATMENTS.keys() == RULES.keys()
    for words in COMMANDS.values():
        given = evidence_of(words)
        for rule in RULES:
            assert 1 <= len(remedies_for(rule, given)) <= MOST, (rule, words)


def test_the_command_keeps_the_runs_own_words_and_replaces_what_changes() -> None:
    given = Evidence(
        curves={},
        command="gansweep train --config-dir 'my conf' model=gan model.n_critic=5 seed=3",
    )
    command = command_with(given, ("model.n_critic=1",))
    assert command == "gansweep train --config-dir 'my conf' model=gan seed=3 model.n_critic=1"
    added = Evidence(curves={}, command="gansweep train +model.penalties.r1.weight=10")
    command = command_with(added, ("model.penalties.r1.weight=1",))
    assert command == "gansweep train +model.penalties.r1.weight=1"
    assert command_with(given, ("resume=a b", "budget_kimg=9")) == (
        "gansweep train 'resume=a b' budget_kimg=9"
    )


def test_what_a_run_has_is_not_advised_again() -> None:
    plain = evidence_of(COMMANDS["dcgan"])
    first = remedies_for("mode_collapse", plain)[0]
    assert first.overrides[0].endswith("gansweep.penalties.R1")
    assert "model.discriminator.norm=none" in first.overrides  # a penalty needs samples apart
    again = remedies_for("mode_collapse", evidence_of(shlex.split(first.command)[2:]))
    assert again[0].overrides == ("model.penalties.r1.weight=1",)
    spectral = evidence_of(COMMANDS["sngan"])
    assert not any("spectral" in one.text for one in remedies_for("mode_collapse", spectral))


def test_far_apart_rates_are_the_first_thing_to_mend() -> None:
    given = evidence_of(COMMANDS["gan with far rates"])
    for rule in ("vanishing_gradient", "discriminator_overpowers"):
        assert remedies_for(rule, given)[0].overrides == ("model.optimizer.generator.lr=0.03",)
    high = remedies_for("divergence", given)[0]
    assert high.overrides == (
        "model.optimizer.generator.lr=0.0001",
        "model.optimizer.discriminator.lr=0.003",
    )


def test_digits_are_not_mirrored() -> None:
    digits = remedies_for("memorisation", evidence_of(["data=digits"]))
    assert not any("flip" in remedy.command for remedy in digits)
    other = remedies_for("memorisation", evidence_of(["data=cifar10"]))
    assert other[0].overrides == ("data.flip=true",)


def test_settings_that_are_unknown_leave_what_needs_none() -> None:
    bare = Evidence(curves={}, directory="runs/a/b")
    for rule in RULES:
        for remedy in remedies_for(rule, bare):
            assert shlex.split(remedy.command)[:2] == ["gansweep", "train"]


def test_packing_is_advised_against_collapse_where_the_game_takes_it() -> None:
    def advised(*words: str) -> bool:
        remedies = remedies_for("mode_collapse", evidence_of(list(words)))
        return any("model.packing=2" in remedy.overrides for remedy in remedies)

    assert advised("model=dcgan", "data=digits")
    assert not advised("model=dcgan", "data=digits", "model.packing=2")
    assert not advised("model=dcgan", "data=digits", "model.conditional=true")


def test_augmentation_is_advised_against_copying_images_and_never_twice() -> None:
    def advised(*words: str) -> set[str]:
        remedies = remedies_for("memorisation", evidence_of(list(words)))
        found = [word for remedy in remedies for word in remedy.overrides]
        return {word.rpartition(".")[2] for word in found if "model.augment._target_" in word}

    assert advised("model=dcgan", "data=digits") == {"ADA", "DiffAugment"}
    assert advised("model=r3gan", "data=digits") == {"DiffAugment"}  # its scores have no zero
    assert advised("model=began", "data=digits") == {"DiffAugment"}  # nor have energies
    assert not advised("model=gan", "data=ring")
    ada = "+model.augment._target_=gansweep.augment.ADA"
    assert not advised("model=dcgan", "data=digits", ada)
