"""Types and ranges of options: declared with the option, checked before any heavy import."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Finished

from gansweep.config import compose as config
from gansweep.config import signatures
from gansweep.config.kinds import Number, OneOf, Text, shown
from gansweep.config.options import check_options, check_values, refusal
from gansweep.config.ranges import Range
from gansweep.errors import UserError


@pytest.mark.parametrize(
    ("words", "option", "allowed", "fix"),
    [
        ("model.n_critic=-1", "model.n_critic=-1", "a whole number from 1", "model.n_critic=1"),
        ("model.n_critic=1.5", "model.n_critic=1.5", "a whole number from 1", "model.n_critic=1"),
        ("model.n_critic=0", "model.n_critic=0", "a whole number from 1", "model.n_critic=1"),
        ("model.n_critic=abc", "model.n_critic=abc", "a whole number from 1", "model.n_critic=1"),
        ("model.n_critic=true", "model.n_critic=true", "a whole number", "model.n_critic=1"),
        ("model.latent_dim=0", "model.latent_dim=0", "from 1 to 16,384", "model.latent_dim=64"),
        ("model.generator.width=0", "model.generator.width=0", "from 1 to", "generator.width=64"),
        ("model.accumulate=-1", "model.accumulate=-1", "from 1", "model.accumulate=1"),
        ("model.weight_clip=-1", "model.weight_clip=-1", "above 0", "model.weight_clip=1"),
        ("model.ema_kimg=nan", "model.ema_kimg=nan", "above 0", "model.ema_kimg=10"),
        (
            "model.optimizer.generator.lr=inf",
            "model.optimizer.generator.lr=inf",
            "a number from 0 up",
            "model.optimizer.generator.lr=0.0002",
        ),
        (
            "model.optimizer.generator.lr=abc",
            "model.optimizer.generator.lr=abc",
            "a number from 0 up",
            "model.optimizer.generator.lr=0.0002",
        ),
        (
            "model.optimizer.generator.betas=[0.5,1]",
            "model.optimizer.generator.betas=[0.5,1]",
            "a list of 2 (each a number from 0 and below 1 or a schedule)",
            "'model.optimizer.generator.betas=[0.5,0.5]'",
        ),
        ("callbacks.quality.every_kimg=-1", "every_kimg=-1", "above 0", "every_kimg=10"),
        ("callbacks.losses.every_steps=-1", "every_steps=-1", "from 1", "every_steps=1"),
        ("callbacks.checkpoint.every_seconds=-1", "every_seconds=-1", "from 0", "every_seconds=0"),
        (
            "model.latent_distribution=nope",
            "model.latent_distribution=nope",
            "one of normal, uniform",
            "model.latent_distribution=normal",
        ),
        ("model.latent_distribution=norml", "=norml", "normal, uniform", "Did you mean 'normal'?"),
        ("metrics.noise_seed=abc", "metrics.noise_seed=abc", "from 0", "metrics.noise_seed=0"),
        ("budget_kimg=inf", "budget_kimg=inf", "above 0", "budget_kimg=100"),
        ("trainer.devices=0", "trainer.devices=0", "from 1 to 1,024 or auto", "trainer.devices=1"),
        ("trainer.threads=0", "trainer.threads=0", "from 1", "trainer.threads=1"),
        ("trainer.accelerator=tpu", "trainer.accelerator=tpu", "auto, cpu, cuda", "'cpu'"),
        ("model.top_k=5", "model.top_k=5", "a schedule or null", "top_k=null"),
        ("model.lr_schedule=5", "model.lr_schedule=5", "a schedule", "model.lr_schedule=null"),
        ("seed=123456789012345678901234567890", "seed=1234567890", "4,294,967,295", "=4294967295"),
        ("name=[a,b]", "name=[a,b]", "text", "name=null"),
        ("name=1.5", "name=1.5", "text", "name='1.5'"),
        ("data=ring data.radius=inf", "data.radius=inf", "above 0", "data.radius=1"),
        ("data=ring data.modes=1e9", "data.modes=1000000000", "to 10,000", "data.modes=10000"),
        ("data=grid data.side=5000", "data.side=5000", "from 1 to 100", "data.side=100"),
        ("callbacks.samples=5", "callbacks.samples=5", "a mapping", "callbacks.samples=null"),
        ("extra_packages=mine", "extra_packages=mine", "a list", "'extra_packages=[mine]'"),
        ("data=unpaired data.task=invrt", "data.task=invrt", "rotate", "Did you mean 'invert'?"),
        ("model.discriminator.norm=bach", "norm=bach", "layer", "Did you mean 'batch'?"),
        ("tracker.tags=[5]", "tracker.tags=[5]", "text", "['5']"),
    ],
)
def test_a_value_outside_its_range_is_refused(
    words: str, option: str, allowed: str, fix: str
) -> None:
    """One paragraph with the option, its value, what is allowed and what to use."""
    with pytest.raises(UserError) as caught:
        config.compose(shlex.split(words))
    message = str(caught.value)
    assert all(part in message for part in (option, allowed, fix)), message
    assert "\n" not in message and len(message) < 400


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("+trainer.max_steps=5", ["trainer.max_steps is an option", "Use budget_kimg="]),
        ("+trainer.device=5", ["Did you mean 'devices'?"]),
        ("+model.wieght_clip=5", ["GAN has no option 'wieght_clip'", "'weight_clip'"]),
        ("+model.generator.latent_dim=5", ["Generator has no option 'latent_dim'"]),
        ("+model.n_classes=5", ["GAN has no option 'n_classes'"]),
        ("+model.loss.x=5", ["NonSaturating has no option 'x'", "It has none"]),
        ("+callbacks.samples.colour=red", ["Samples has no option 'colour'", "every_kimg, count"]),
        ("model._target_=gansweep.models.gan.GAM", ["gansweep.models.gan has no GAM", "'GAN'"]),
    ],
)
def test_an_option_that_nothing_reads_is_refused(words: str, message: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        config.compose([words])
    assert all(word in str(caught.value) for word in message), str(caught.value)


def test_variables_of_the_users_own_are_left_to_interpolations() -> None:
    cfg = config.compose(["+my.width=32", "model.generator.width=${my.width}"])
    assert cfg.model.generator.width == 32


def test_interpolations_are_resolved_and_their_source_is_named() -> None:
    """The discriminator's rate follows the generator's, batch_size the model's."""
    with pytest.raises(UserError, match=r"^model\.optimizer\.generator\.lr=-1"):
        config.compose(["model.optimizer.generator.lr=-1"])
    with pytest.raises(UserError, match=r"^model\.batch_size=0"):
        config.compose(["model.batch_size=0"])
    with pytest.raises(UserError, match=r"^model\.n_critic=0"):
        config.compose(["+zero=0", "model.n_critic=${zero}"])


def test_the_networks_for_points_are_checked_too() -> None:
    with pytest.raises(UserError, match=r"model\.points\.generator\.width=0"):
        config.compose(["model.points.generator.width=0"])


def test_options_that_are_passed_on_are_checked_by_their_receiver() -> None:
    """A conditional network passes its options on to its base network."""
    with pytest.raises(UserError, match=r"model\.generator\.width=0 is not"):
        config.compose(["model=cgan", "model.generator.width=0"])
    with pytest.raises(UserError, match="no option 'widht'.*Did you mean 'width'"):
        config.compose(["model=cgan", "+model.generator.widht=4"])


def test_a_configuration_changed_in_python_is_checked() -> None:
    cfg = config.compose()
    cfg.model.n_critic = -1
    with pytest.raises(UserError, match=r"model\.n_critic=-1"):
        check_options(cfg)
    check_options(cfg, groups=["data"])


def test_a_new_file_is_checked_by_its_annotation_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(
        "from typing import Annotated, Any, Literal\n"
        "from gansweep.config.ranges import Range, Share\n"
        "from gansweep.base import Base\n"
        'Mode = Literal["soft", "hard"]\n'
        "class Mine(Base):\n"
        "    def __init__(self, *, mixing: Share, k: Annotated[int, Range(2, 8)] | None = None,\n"
        "                 mode: Mode = 'soft', **rest: Any) -> None:\n"
        "        super().__init__(known=3, **rest)\n"
    )
    (tmp_path / "base.py").write_text(
        "class Base:\n    def __init__(self, *, known: int, size: int = 1) -> None: ...\n"
    )
    (tmp_path / "config").mkdir()
    ranges = (signatures.SOURCE / "config" / "ranges.py").read_text()
    (tmp_path / "config" / "ranges.py").write_text(ranges)
    monkeypatch.setattr(signatures, "SOURCE", tmp_path)
    signatures._module.cache_clear()
    found = signatures.signature("gansweep.mine.Mine", {})
    signatures._module.cache_clear()
    assert found is not None and not found.is_open
    kinds = {name: parameter.kind for name, parameter in found.parameters.items()}
    assert kinds["mixing"] == Number(False, Range(0, 1))
    assert kinds["k"].takes(None) and kinds["k"].takes(8) and not kinds["k"].takes(9)
    assert kinds["mode"] == OneOf(("soft", "hard"))
    assert set(kinds) == {"mixing", "k", "mode", "size"}  # the code sets `known`


def test_values_of_an_option_are_checked_one_by_one() -> None:
    cfg = config.compose()
    check_values(cfg, "model.n_critic", [1, 5])
    check_values(cfg, "model", ["gan", "nonsense"])  # a group: composition reports the mistake
    with pytest.raises(UserError, match=r"model\.n_critic=0 is not"):
        check_values(cfg, "model.n_critic", [1, 0])


@pytest.mark.parametrize(
    ("range_", "inside", "outside"),
    [
        (Range(), [-1e300, 0, 1e300], [float("inf"), float("nan"), float("-inf")]),
        (Range(0, 1), [0, 0.5, 1], [-1e-9, 1 + 1e-9]),
        (Range(0, 1, above=True), [1e-300, 1], [0, -0.0]),
        (Range(0, 1, below=True), [0, 0.999], [1]),
        (Range(2), [2, 1e300], [1.999]),
    ],
)
def test_ranges_contain_the_stated_numbers(
    range_: Range, inside: list[float], outside: list[float]
) -> None:
    kind = Number(False, range_)
    assert all(map(kind.takes, inside))
    assert not any(map(kind.takes, [*outside, True, "1", None, [1]]))
    assert kind.takes(kind.instead(float("nan")))
    assert all(kind.takes(kind.instead(value)) for value in outside)


def test_words_that_would_be_read_as_something_else_are_shown_quoted() -> None:
    assert "lr='1e-4' is not" in refusal("lr", "1e-4", Number(False))
    assert refusal("root", 5, Text()) == "root=5 is not text. Use \"root='5'\"."
    assert len(shown("x" * 1000)) < 70


def test_a_mistake_is_reported_without_pytorch() -> None:
    code = """
import sys
from gansweep.cli.main import main
try:
    main(["train", "model.optimizer.generator.lr=abc"])
except SystemExit as ended:
    print(ended.code, {"torch", "pytorch_lightning", "wandb"} & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["2", "set()"], done
    assert done.stderr.startswith("gansweep: model.optimizer.generator.lr=abc is not a number")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("model.n_critic=choice(1,2,0)", "model.n_critic=0 is not a whole number from 1"),
        ("model.n_critic=choice(1,abc)", "model.n_critic=abc is not a whole number"),
        ("model.optimizer.generator.lr=interval(-1,1)", "lr=-1.0 is not a number from 0"),
        ("model.batch_size=range(0,5)", "model.batch_size=0 is not a whole number from 1"),
        ("model.latent_distribution=normal,unifrm", "Did you mean 'uniform'?"),
        ("model.n_critic=range(1,1000000000)", "999,999,999 values, more than 100,000"),
        ("model.n_critic=range(1,inf)", "has no end"),
    ],
)
def test_values_of_a_search_space_are_refused_before_the_sweep_starts(
    command: Callable[..., Finished], tmp_path: Path, entry: str, message: str
) -> None:
    done = command("sweep", "sweep=random", "data=digits", "tracker=none", entry)
    done.is_refused_with("The search space's entry", message)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    "space",
    [
        ["model.n_critic=int(interval(1,10000000))"],
        ["model.n_critic=range(1,1001)", "model.penalty_interval=range(1,1001)"],
    ],
)
def test_a_grid_too_large_to_list_is_refused(
    command: Callable[..., Finished], tmp_path: Path, space: list[str]
) -> None:
    done = command("sweep", "sweep=grid", "data=digits", "tracker=none", *space)
    done.is_refused_with("sampler.name=random")
    assert not (tmp_path / "runs").exists()


def test_a_record_and_python_are_checked_before_anything_is_built(tmp_path: Path) -> None:
    from gansweep.run.build import build_data
    from gansweep.run.train import train

    cfg = config.compose(["tracker=none", "metrics=none", f"runs_dir={tmp_path}"])
    cfg.model.n_critic = -1
    for build in (build_data, train):
        with pytest.raises(UserError, match=r"model\.n_critic=-1 is not a whole number from 1"):
            build(cfg)
    assert not list(tmp_path.iterdir())
