"""Composition of every option of every group, and errors that a user sees."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from gansweep.config import compose as config
from gansweep.config.kinds import Anything, Either, Kind, ListOf, MappingOf, Number
from gansweep.config.options import options_of
from gansweep.errors import UserError

OPTIONS = sorted(
    f"{path.parent.name}={path.stem}"
    for path in config.conf_dir().glob("*/*.yaml")
    if path.parent.name not in ("sweep", "launcher", "reproduce")
)


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_of_every_group_composes_and_declares_its_type_and_range(option: str) -> None:
    group, choice = option.split("=")
    needed = ["data.root=pictures"] if choice == "image_folder" else []
    if choice in ("paired_folders", "unpaired_folders"):
        needed = ["data.root_a=sketches", "data.root_b=photographs"]
    cfg = config.compose([option, *needed])
    # there may be several terms; the resolved options name them
    assert group == "term" or cfg.choices[group] == choice
    content = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(content, dict)
    found = list(options_of({str(key): value for key, value in content.items()}))
    assert len(found) > 20
    assert [option.name for option in found if lacks_a_range(option.kind)] == []


def lacks_a_range(kind: Kind | None) -> bool:
    """Whether the option is not declared, or declared without a range."""
    if isinstance(kind, Either):
        return any(map(lacks_a_range, kind.kinds))
    if isinstance(kind, ListOf):
        return lacks_a_range(kind.item)
    if isinstance(kind, MappingOf):
        return lacks_a_range(kind.value)
    if isinstance(kind, Number):
        return kind.declared is None
    return kind is None or isinstance(kind, Anything)


def test_default_is_real_data_with_no_download() -> None:
    assert config.compose().choices.data == "digits"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("model=dcgna", ["no 'dcgna'", "Did you mean 'dcgan'?", "wgan_gp"]),
        ("modle=dcgan", ["no option 'modle'", "Did you mean 'model'?"]),
        ("model.n_critc=2", ["no option 'model.n_critc'", "Did you mean 'model.n_critic'?"]),
        ("budget_kmg=2", ["no option 'budget_kmg'", "Did you mean 'budget_kimg'?"]),
        ("budget_kimg=-1", ["budget_kimg=-1 is not a number above 0"]),
        ("budget_kimg=many", ["budget_kimg=many is not a number above 0"]),
        ("batch_size=0", ["batch_size=0 is not a whole number from 1"]),
        ("seed=1.5", ["seed=1.5 is not a whole number"]),
        ("data=image_folder", ["data.root has no value", "data.root=VALUE"]),
        ("model.n_critic=[1", ["'model.n_critic=[1' cannot be read"]),
        ("model.n_critic = 2", ["cannot be read", "without spaces around '='"]),
        ("=dcgan", ["no name before its '='", "model=dcgan"]),
        ("~model", ["does not fit together", "Other options need what ~model removes"]),
        ("term=[nope]", ["no 'nope' in the group 'term'", "lecam"]),
        ("term=lecam,ada", ["several values", "'term=[lecam,ada]'", "add --multirun"]),
        ("seed=0,1", ["several values. For a run of each add --multirun"]),
        ("model=gan,dcgan", ["several values. For a run of each add --multirun"]),
        ("lr=0.1", ["no option 'lr'", "Did you mean 'model.optimizer.generator.lr'?"]),
        ("model.lr=0.1", ["Did you mean 'model.optimizer.generator.lr'?", "'+model.lr=...'"]),
        ("model.n_critic=1,2", ["several values. For a run of each add --multirun"]),
        ("model.optimizer.generator.betas=0,0.9", ["'model.optimizer.generator.betas=[0,0.9]'"]),
        ("experiment=digits_dcgn", ["Did you mean 'digits_dcgan'?"]),
        ("init=", ["init= is empty", "init=runs/digits/dcgan-001", "leave it out"]),
        ("resume=", ["resume= is empty", "resume=runs/digits/dcgan-001"]),
        ("data={a: 1}", ["is no choice", "a file in conf/data/"]),
        ("sweep=tpe", ["no option of 'gansweep train'", "use 'gansweep sweep'"]),
        ("reproduce=dirac_gan", ["no option of 'gansweep train'", "'gansweep reproduce TABLE'"]),
    ],
)
def test_mistakes_are_explained_with_the_nearest_option(override: str, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        config.compose([override])
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data.sigma=0.1", ["keeps its data, so 'data.sigma' cannot change", "only budget_kimg"]),
        ("model.unrolling_steps=2", ["keeps its model", "Start a new run"]),
        ("callbacks.game_at_rest.every_kimg=5", ["its file too, callbacks=NAME"]),
        ("sweep.n_trials=3", ["no option 'sweep.n_trials'"]),
        ("budget_kmg=2", ["no option 'budget_kmg'", "Did you mean 'budget_kimg'?"]),
        ("trainer.acelerator=cpu", ["Did you mean 'trainer.accelerator'?"]),
    ],
)
def test_an_option_that_the_default_lacks_of_a_continued_run(
    override: str, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        config.compose(["resume=runs/digits/dcgan-001", override])
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_is_refused_says_no_more_than_it_must() -> None:
    for word, not_said in (("lr=0.1", "plus sign"), ("experiment=digits_dcgn", "It has: ")):
        with pytest.raises(UserError) as caught:
            config.compose([word])
        assert not_said not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["+width=8", "model.generator.width=${width}"],
        ["+my-width=8", "model.generator.width=${my-width}"],
        ["+net.wide=8", "model.generator.width=${oc.select:net.wide,4}"],
        ["+width=8", "model.generator.width=${...width}"],
        ["+w=8", "+width=${.w}", "model.generator.width=${width}"],
        ["+nets={wide: 8}"],  # as a group of the user's own adds
    ],
)
def test_a_variable_that_something_takes_is_no_mistake(words: list[str]) -> None:
    config.refuse_unread(config.compose(words), words, OmegaConf.create())


def test_a_variable_of_a_file_that_nothing_takes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "experiment" / "mine.yaml"
    file.parent.mkdir()
    words = ["experiment=mine"]
    for text, refused in (("lr: 0.1", True), ("width: 8", False), ("nets: {wide: 8}", False)):
        own = "model: {generator: {width: '${width}'}}" if text == "width: 8" else ""
        file.write_text(f"# @package _global_\n{text}\n{own}")
        cfg = config.compose(words, config_dir=str(tmp_path))
        if refused:
            with pytest.raises(UserError, match=r"Nothing reads 'lr'.*optimizer\.generator\.lr"):
                config.refuse_unread(cfg, words, OmegaConf.create())
        else:
            config.refuse_unread(cfg, words, OmegaConf.create())


@pytest.mark.parametrize("resume", ["resume=", "resume=null"])
def test_a_run_that_is_not_continued_keeps_nothing(resume: str) -> None:
    with pytest.raises(UserError, match="no option 'data.sigma'"):
        config.compose([resume, "data.sigma=0.1"])


def test_a_target_outside_the_known_packages_is_refused() -> None:
    node = OmegaConf.create({"_target_": "os.getcwd"})
    with pytest.raises(UserError, match=r"extra_packages=\[os\]"):
        config.instantiate(node)
    with pytest.raises(UserError, match="not defined by the package os"):
        config.instantiate(node, extra_packages=["os"])
    own = OmegaConf.create({"_target_": "fractions.Fraction", "numerator": 3})
    assert config.instantiate(own, extra_packages=["fractions"]) == 3


def test_a_nested_target_outside_the_known_packages_is_refused() -> None:
    node = OmegaConf.create({"a": [{"b": {"_target_": "subprocess.run"}}]})
    with pytest.raises(UserError, match="subprocess"):
        config.instantiate(node)


def test_an_unknown_argument_names_the_class_and_the_option() -> None:
    with pytest.raises(UserError, match="Linear has no option 'witdh'"):
        config.instantiate(OmegaConf.create({"_target_": "torch.nn.Linear", "witdh": 3}))


def test_an_argument_that_is_missing_is_named() -> None:
    target = "gansweep.layers.contrast.ContrastNormalization"
    with pytest.raises(
        UserError, match=r"ContrastNormalization needs a value of 'highest'\. Add it"
    ):
        config.instantiate(OmegaConf.create({"_target_": target, "lowest": 1}))


def test_an_argument_unknown_to_a_part_names_the_part() -> None:
    parts = {
        name: {"_target_": f"gansweep.layers.dcgan.{kind}", "_partial_": True}
        for name, kind in (("encoder", "Discriminator"), ("decoder", "Generator"))
    }
    options = {"width": 2, "n_codes": 2, "norm": "none", "spectral_norm": True}
    node = {"_target_": "gansweep.layers.ebgan.Discriminator", "sample_shape": [1, 8, 8]}
    message = r"^Generator, part of gansweep.layers.ebgan.Discriminator, has no .*'spectral_norm'"
    with pytest.raises(UserError, match=message):
        config.instantiate(OmegaConf.create(node | parts | options))


def test_points_get_the_networks_for_points() -> None:
    cfg = config.compose(["model=dcgan"])
    assert "mlp" in config.model_node(cfg, is_points=True).generator._target_
    assert "dcgan" in config.model_node(cfg, is_points=False).generator._target_


def test_composition_restores_hydras_global_state() -> None:
    from hydra.core.global_hydra import GlobalHydra

    config.compose()
    config.compose(["model=gan"])
    assert not GlobalHydra.instance().is_initialized()


@pytest.mark.parametrize("name", ["conf", "a b", "a,b", "été", "lr=1 (x)", "it's", "[a]{b}", "a\\"])
def test_own_config_dir_is_searched_whatever_its_name(name: str, tmp_path: Path) -> None:
    (tmp_path / name / "model").mkdir(parents=True)
    (tmp_path / name / "model" / "mine.yaml").write_text(
        "# Mine 2026\ndefaults: [dcgan, _self_]\nn_critic: 7\n"
    )
    cfg = config.compose(["model=mine"], config_dir=tmp_path / name)
    assert cfg.model.n_critic == 7 and cfg.choices.model == "mine"


def test_a_mapping_with_a_key_more_names_it() -> None:
    ramp = "{_target_: gansweep.terms.schedules.Ramp, start: 0, end: 5, until_kimg: 50}"
    with pytest.raises(UserError, match=r"'\+model\.ema_kimg\.until_kimg="):
        config.compose(["model=r3gan", f"model.ema_kimg={ramp}"])


def test_words_of_a_configuration_are_known_until_it_is_changed() -> None:
    words = ["model=gan", "seed=11"]
    cfg = config.compose(words)
    assert config.words_of(cfg) == config.words_of(cfg.copy()) == (words, None)
    cfg.seed = 12
    assert config.words_of(cfg) is None
