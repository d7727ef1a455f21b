"""Every remedy is a command that gansweep accepts and that trains."""

import functools
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from variants import VARIANTS, class_of

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.data.source import DataSource
from gansweep.diagnosis import evidence
from gansweep.diagnosis.evidence import Evidence
from gansweep.diagnosis.remedies import MOST, command_with, remedies_for
from gansweep.diagnosis.rules import RULES
from gansweep.diagnosis.treatments import TREATMENTS
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.records.read import read_run
from gansweep.records.record import RunRecord
from gansweep.run.build import build_data, build_model

TERMS = sorted(path.stem for path in (config.conf_dir() / "term").glob("*.yaml"))
SMALL_IMAGES = ["data=digits", "model.generator.width=4", "model.discriminator.width=8"]
SMALL_POINTS = [
    *("data=ring", "model.points.generator.width=4", "model.points.discriminator.width=8"),
]
COMMANDS = {
    "dcgan": ["model=dcgan", *SMALL_IMAGES],
    "gan with far rates": [
        *("model=gan", *SMALL_POINTS, "model.loss._target_=gansweep.terms.losses.Minimax"),
        *("model.optimizer.discriminator.lr=3e-2", "model.optimizer.generator.lr=1e-3"),
    ],
    "gan with a strong r1": [
        *("model=gan", *SMALL_POINTS, "+model.penalties.r1._target_=gansweep.terms.penalties.R1"),
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


def small(node: Any, key: str) -> Iterator[str]:
    """The options of a `tiny:` block as words of a command."""
    if isinstance(node, dict):
        for name, value in node.items():
            yield from small(value, f"{key}.{name}")
    else:
        yield f"++{key}={node}".replace(" ", "")


SPECIAL = {
    "dcgan with slices": ("dcgan", ["model.accumulate=2", "model.batch_size=12"]),
    "dcgan on an odd batch": ("dcgan", ["model.batch_size=7"]),
    "conditional dcgan's like": ("cgan_mlp", ["term=[ada]"]),
    "stylegan2 on a small batch": ("stylegan2", ["model.batch_size=4"]),
    "lsgan in three channels": ("lsgan", ["data=stacked_digits"]),
    "saturating pix2pix": ("pix2pix", ["model.loss._target_=gansweep.terms.losses.Minimax"]),
    **{f"dcgan with {term}": ("dcgan", [f"term=[{term}]"]) for term in TERMS},
}
POINTS = {
    **{f"{v} on points": [f"model={v}", "data=ring"] for v in ("gan", "began")},
    "unrolled_gan on points": ["model=unrolled_gan", "data=ring", "model.batch_size=64"],
    "sngan on points": COMMANDS["sngan"],
}
APART = ("wgan without a bound", "gan with far rates", "gan with a strong r1")
RUNS = [*VARIANTS, *SPECIAL, *POINTS, *APART]


def words_of(name: str) -> list[str]:
    """Each model on data that it takes, each term, and settings that exclude treatments."""
    if name in POINTS or name in APART:
        return (POINTS | COMMANDS)[name]
    variant, more = SPECIAL.get(name, (name, []))
    model = config.compose([f"model={variant}"]).model
    data = "paired" if class_of(variant).needs_source else "digits"
    tiny = small(OmegaConf.to_container(model.tiny), "model")
    return [f"model={variant}", f"data={data}", *tiny, *more]


def evidence_of(words: list[str]) -> Evidence:
    command = shlex.join(["gansweep", "train", *words])
    directory = "runs/ring/gan-001"
    return Evidence(
        curves={},
        config=resolved(*words),
        game=game_of(*words).declared(),
        command=command,
        directory=directory,
    )


@functools.cache
def resolved(*words: str) -> dict[str, Any]:
    content = OmegaConf.to_container(config.compose(words), resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


@functools.cache
def game_of(*words: str) -> Adversarial:
    return built(config.compose(words))


@functools.cache
def data_of(node: str) -> DataSource:
    return build_data(OmegaConf.create(node))


def built(cfg: DictConfig) -> Adversarial:
    """The game that a command would train, after all checks before training."""
    node = {"data": cfg.data, "extra_packages": cfg.extra_packages}
    data = data_of(OmegaConf.to_yaml(OmegaConf.create(node), resolve=True))
    data.check_sizes(cfg.batch_size, 1)
    return build_model(cfg, data)


def composed(command: str) -> DictConfig:
    program, verb, *words = shlex.split(command)
    assert (program, verb) == ("gansweep", "train")
    return config.compose(words)


def step(model: Adversarial, batch_size: int) -> dict[str, float]:
    """The losses of the first step, where the remaining checks are made."""
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    shape, source = model.sample_shape, model.source_shape
    images = torch.rand(batch_size, *shape) * 2 - 1
    given = None if source is None else torch.rand(batch_size, *source) * 2 - 1
    labels = torch.arange(batch_size) % (model.n_classes or 1)
    model.training_step(Batch(images, labels, given, Batch(images, labels)), 0)
    return model.recent_means()


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_nothing_is_offered_that_is_refused(name: str) -> None:
    """Each treatment of each kind of run composes, builds and makes one step."""
    given = evidence_of(words_of(name))
    treatments = {one for many in TREATMENTS.values() for one in many}
    offered = {advice[1] for treatment in treatments if (advice := treatment(given))}
    for overrides in combined(offered):
        command = command_with(given, overrides)
        cfg = composed(command)
        if cfg.resume is None:
            losses = step(built(cfg), cfg.batch_size)
            assert torch.tensor(list(losses.values())).isfinite().all(), command
            assert OmegaConf.to_container(cfg, resolve=True) != given.config, command
    assert len(offered) >= 5


def combined(offered: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Rates, steps, averages and sizes share few commands; a treatment that adds a term has one."""
    alone, together = [], list[dict[str, str]]()
    for words in sorted(offered):
        keys = {word.split("=")[0]: word for word in words}
        if any(word.startswith(("+", "resume")) or "_target_" in word for word in words):
            alone.append(words)
            continue
        free = [one for one in together if not one.keys() & keys.keys()]
        if free:
            free[0].update(keys)
        else:
            together.append(keys)
    return [*alone, *(tuple(one.values()) for one in together)]


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
    either = Evidence(curves={}, command="gansweep train ++model.generator.width=4")
    assert command_with(either, ("model.generator.width=8",)) == (
        "gansweep train ++model.generator.width=8"
    )
    command = command_with(added, ("model.penalties.r1.weight=1",))
    assert command == "gansweep train +model.penalties.r1.weight=1"
    assert command_with(given, ("resume=a b", "budget_kimg=9")) == (
        "gansweep train 'resume=a b' budget_kimg=9"
    )


def test_what_a_run_has_is_not_advised_again() -> None:
    plain = evidence_of(COMMANDS["dcgan"])
    first = remedies_for("mode_collapse", plain)[0]
    assert first.overrides[0].endswith("gansweep.terms.penalties.R1")
    assert "model.discriminator.norm=none" in first.overrides  # a penalty needs samples apart
    again = remedies_for("mode_collapse", evidence_of(shlex.split(first.command)[2:]))
    assert again[0].overrides == ("model.penalties.r1.weight=1",)
    spectral = evidence_of(COMMANDS["sngan"])
    assert not any("spectral" in one.text for one in remedies_for("mode_collapse", spectral))


def test_far_apart_rates_are_the_first_thing_to_fix() -> None:
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
    pictures = Evidence(curves={}, config=resolved("data=cifar10"))
    other = remedies_for("memorisation", pictures)
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
    assert not advised("model=cgan", "data=digits")


def test_a_model_that_takes_no_term_is_offered_none() -> None:
    """An autoencoder has no penalties, the unrolled game refuses them, sgan has its own loss."""

    def offered(name: str) -> str:
        given = evidence_of(words_of(name))
        found = [t(given) for many in TREATMENTS.values() for t in many]
        return " ".join(word for advice in found if advice for word in advice[1])

    for name in ("vae", "cyclegan", "unrolled_gan", "sgan_feature_matching"):
        assert "penalties" not in offered(name), name
    for name in ("sgan", "infogan", "acgan", "cgan", "dcgan on an odd batch"):
        assert "packing" not in offered(name), name
    for name in ("acgan", "infogan", "sgan", "dcgan with slices", "unrolled_gan"):
        assert "head" not in offered(name), name
    assert "losses" not in offered("sgan") + offered("dcgan with ada")
    assert "n_critic" not in offered("vae")
    assert "losses.NonSaturating" in offered("saturating pix2pix")
    plain = offered("dcgan")
    assert all(term in plain for term in ("penalties", "packing", "head", "Pairing", "ADA"))


def test_augmentation_is_advised_against_copying_images_and_never_twice() -> None:
    def advised(*words: str) -> set[str]:
        remedies = remedies_for("memorisation", evidence_of(list(words)))
        found = [word for remedy in remedies for word in remedy.overrides]
        return {word.rpartition(".")[2] for word in found if "model.augment._target_" in word}

    assert advised("model=dcgan", "data=digits") == {"ADA", "DiffAugment"}
    assert advised("model=ragan", "data=digits") == {"DiffAugment"}  # its scores have no zero
    assert not advised("model=r3gan", "data=digits")  # it has one of its own
    assert advised("model=began", "data=digits") == {"DiffAugment"}  # nor have energies
    assert not advised("model=gan", "data=ring")
    ada = "+model.augment._target_=gansweep.terms.augment.ADA"
    assert not advised("model=dcgan", "data=digits", ada)


def test_a_run_whose_checkpoints_were_removed_is_not_to_be_continued(tmp_path: Path) -> None:
    record = RunRecord.create(tmp_path / "g" / "r", "model: {}\n")
    record.write_result({"status": "finished", "command": "gansweep train"})
    pruned = evidence.evidence_of(read_run(record))
    record.last.write_bytes(b"a checkpoint")
    whole = evidence.evidence_of(read_run(record))
    offered = [
        any("resume=" in remedy.command for remedy in remedies_for("slow_convergence", given))
        for given in (pruned, whole)
    ]
    assert offered == [False, True]
