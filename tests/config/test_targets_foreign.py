"""Directories of somebody else: a run's and a sweep's files are data, and run no code."""

from __future__ import annotations

import os
import pickle
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sweep_studies
import torch
from omegaconf import OmegaConf

from gansweep.config import compose as config
from gansweep.config import environment, permissions, targets
from gansweep.engine.child import trial_config
from gansweep.errors import UserError
from gansweep.inference.outputs import write_file
from gansweep.records.drafts import drafted
from gansweep.records.record import RunRecord, replace_atomically
from gansweep.records.run_config import read_config
from gansweep.run.train import train

Command = Callable[..., Any]
TINY = ["model=gan", "data=ring", "tracker=none", "trainer=cpu", "metrics=none", "batch_size=32"]
TINY += ["callbacks=none", "budget_kimg=0.1", "model.points.generator.width=4"]
KEEPER = ["+callbacks.checkpoint._target_=gansweep.callbacks.checkpoint.Checkpoint"]
KEEPER += ["+callbacks.checkpoint.every_seconds=1000"]
CHAINS = [
    *("torch.hub.load", "torch.load", "torch.ops.load_library", "torch.utils.collect_env.run"),
    *(
        "torch.os.system",
        "gansweep.cli.main.os.system",
        "gansweep.cli.main.main",
        "gansweep.run.train.train",
    ),
    *("gansweep.layers.mlp.nn.Linear", "gansweep.layers.mlp.torch.hub.load", "os.system"),
    *("torch.nn.modules.module.torch.load", "torch.nn.Module.load_state_dict", "builtins.eval"),
    *("torch.nn.functional.torch.os.system", "torch.nn.init.torch", "torch.optim.adam.cast"),
    *("torch.nn.Linear.__init__", "torch.nn.parallel.replicate", "torch.nn.utils.prune.identity"),
    *("hydra.utils.get_method", "hydra.utils.get_class", "hydra.utils.call", "functools.partial"),
    *("gansweep.callbacks.takeover.take_over", "gansweep.callbacks.checkpoint.torch.save"),
    *(
        "gansweep.records.record.replace_atomically",
        "gansweep.engine.warm_up.warm_up",
        "gansweep.__main__.main",
    ),
    *("torchvision.datasets.folder.default_loader", "pytorch_lightning.Trainer", "eval", "a b.c"),
]


@pytest.mark.parametrize("target", CHAINS)
def test_only_parts_of_a_run_may_be_named(target: str) -> None:
    with pytest.raises(UserError, match="_target_"):
        targets.resolved(target)


@pytest.mark.parametrize(
    "target",
    [
        *("torch.nn.Linear", "torch.nn.modules.linear.Linear", "torch.optim.Adam"),
        *("torch.optim.lr_scheduler.StepLR", "torch.nn.init.normal_", "gansweep.models.gan.GAN"),
        *(
            "gansweep.terms.schedules.cosine",
            "gansweep.callbacks.tracking.csv_logger",
            "gansweep.terms.losses.Minimax",
        ),
    ],
)
def test_parts_of_a_run_may_be_named(target: str) -> None:
    assert targets.resolved(target).__name__ == target.rpartition(".")[2]


def test_every_target_of_the_package_is_on_the_list() -> None:
    def found_in(node: Any) -> list[str]:
        values = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
        own = [node["_target_"]] if isinstance(node, dict) and node.get("_target_") else []
        return own + [target for value in values for target in found_in(value)]

    files = [p for p in config.conf_dir().rglob("*.yaml") if p.name not in ("train.yaml",)]
    named = {t for p in files for t in found_in(OmegaConf.to_container(OmegaConf.load(p)))}
    assert len(named) > 60
    for target in named:
        targets.resolved(target)


def test_nothing_is_called_if_one_target_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    monkeypatch.setattr(torch.nn.Identity, "__init__", lambda self: made.append(self))
    node = [{"_target_": "torch.nn.Linear", "_args_": [{"_target_": "os.getcwd"}]}]
    with pytest.raises(UserError, match="'os.getcwd'"):
        config.instantiate({"a": {"_target_": "torch.nn.Identity"}, "b": node})
    assert not made


def test_nodes_are_built_as_hydra_builds_them() -> None:
    node = {
        "_target_": "torch.nn.Sequential",
        "_args_": [{"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 2}],
    }
    (layer,) = config.instantiate(OmegaConf.create(node))
    assert (layer.in_features, layer.out_features) == (1, 2)
    make = config.instantiate({"_target_": "torch.nn.Linear", "_partial_": True, "bias": False})
    assert make(3, 4).bias is None
    with pytest.raises(UserError, match="_locate_"):
        config.instantiate({"_target_": "torch.nn.Identity", "_locate_": 1})


def test_a_users_package_gives_no_access_to_packages_that_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "lending_nets.py").write_text(
        "import os\nfrom torch import nn\nclass Net(nn.Identity): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    made = config.instantiate({"_target_": "lending_nets.Net"}, extra_packages=["lending_nets"])
    assert type(made).__name__ == "Net"
    for chain in ("lending_nets.os.system", "lending_nets.nn.Identity", "lending_nets.os"):
        with pytest.raises(UserError, match=r"not defined by the package lending_nets"):
            targets.resolved(chain, ["lending_nets"])


# A run of somebody else


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("trained") / "foreign"
    train(config.compose([*TINY, *KEEPER]), run_dir=directory, progress=False)
    return directory


@pytest.fixture
def foreign(trained: Path, tmp_path: Path) -> Path:
    copied = tmp_path / "foreign"
    shutil.copytree(trained, copied)
    return copied


@pytest.mark.parametrize(
    "word", ["+callbacks.gone._target_=gone_calls.Gone", "tracker._target_=gone_calls.Gone"]
)
def test_a_class_that_is_gone_leaves_the_record_as_it_was(word: str, foreign: Path) -> None:
    """The run was finished: a wrong name at its continuation does not make it a failed one."""
    before = RunRecord(foreign).result()
    words = [f"resume={foreign}", "budget_kimg=0.2", word, "extra_packages=[gone_calls]"]
    cfg = config.compose(words)
    with pytest.raises(UserError, match="gone_calls is not in"):
        train(cfg, run_dir=foreign, progress=False)
    assert RunRecord(foreign).result() == before


def tamper(run: Path, **changes: Any) -> None:
    path = run / "config.yaml"
    cfg = OmegaConf.load(path)
    for key, value in changes.items():
        OmegaConf.update(cfg, key.replace("__", "."), value, merge=False, force_add=True)
    path.write_text(OmegaConf.to_yaml(cfg))


def verbs(run: Path) -> list[list[str]]:
    return [
        ["generate", str(run), "n=1"],
        ["evaluate", str(run), "metrics.n_fake=10"],
        ["train", f"resume={run}", "budget_kimg=0.2"],
    ]


class Payload:
    """Unpickling it makes a file named executed."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path("executed").touch, ())


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "torch.hub.load", "repo_or_dir": ".", "source": "local", "model": "evil"},
        {"_target_": "torch.load", "f": "evil.pt", "weights_only": False},
        {"_target_": "torch.ops.load_library", "path": "evil.so"},
        {"_target_": "torch.utils.collect_env.run", "command": "touch executed"},
        {"_target_": "torch.os.system", "command": "touch executed"},
        {"_target_": "gansweep.cli.main.os.system", "command": "touch executed"},
        {"_target_": "evil.make"},
        {"_target_": "hydra.utils.get_method", "path": "evil.make"},
        {"_target_": "torch.nn.Identity", "_args_": [{"_target_": "evil.make", "_partial_": True}]},
    ],
    ids=lambda node: node["_target_"],
)
def test_a_foreign_run_executes_nothing(
    command: Command, foreign: Path, tmp_path: Path, node: dict[str, Any]
) -> None:
    for name in ("evil.py", "hubconf.py"):
        (tmp_path / name).write_text("open('executed', 'w')\ndef evil(): pass\nmake = evil\n")
    (tmp_path / "evil.pt").write_bytes(pickle.dumps(Payload()))
    tamper(foreign, model__loss=node, extra_packages=["evil", "os", "torch"])
    for words in verbs(foreign):
        command(*words).is_refused_with("_target_")
        assert not (tmp_path / "executed").exists(), words
    assert "evil" not in sys.modules


def test_a_checkpoint_executes_nothing(command: Command, foreign: Path, tmp_path: Path) -> None:
    (foreign / "checkpoints" / "last.pt").write_bytes(pickle.dumps(Payload()))
    for words in verbs(foreign):
        command(*words).is_refused_with("last.pt")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "text",
    [
        *("${oc.env:SECRET}", "${oc.env:SECRET,x}", "a${oc.env: SECRET}b"),
        *("${oc.decode:${oc.env:SECRET}}", "${${kind}:SECRET}", "${oc.${part}:SECRET}"),
        *("${oc.env:GANSWEEP_DATA,${oc.env:SECRET}}", "${eval:1}", r"\${oc.env:SECRET}"),
    ],
)
def test_a_foreign_run_reads_no_environment(
    command: Command, foreign: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    tamper(foreign, kind="oc.env", part="env", model__note="kept")
    path = foreign / "config.yaml"
    path.write_text(path.read_text().replace("note: kept", f"note: '{text}'"))
    for words in verbs(foreign):
        done = command(*words)
        done.is_refused_with("config.yaml")
        assert "hunter2" not in done.out + done.err
    kept = b"".join(p.read_bytes() for p in foreign.rglob("*") if p.is_file())
    assert b"hunter2" not in kept


def test_a_variable_that_the_user_allows_is_read(
    foreign: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCRATCH", "/fast")
    tamper(foreign, data__root="${oc.env:SCRATCH}/${oc.env:GANSWEEP_DATA,data}")
    monkeypatch.delenv("GANSWEEP_DATA", raising=False)
    with pytest.raises(UserError, match="GANSWEEP_EXTRA_VARIABLES=SCRATCH"):
        read_config(RunRecord(foreign))
    monkeypatch.setenv(permissions.VARIABLES, "SCRATCH")
    assert read_config(RunRecord(foreign)).data.root == "/fast/data"


def test_a_record_keeps_the_interpolation_and_not_the_secret(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANSWEEP_TEST_SECRET", "hunter2")
    secret = "tracker.tags=['${oc.env:GANSWEEP_TEST_SECRET}']"
    words = [*(w for w in TINY if w != "tracker=none"), "tracker=csv", *KEEPER, secret]
    assert command("train", *words, "name=mine").code == 0
    run = tmp_path / "runs" / "ring" / "mine"
    assert "${oc.env:GANSWEEP_TEST_SECRET}" in (run / "config.yaml").read_text()
    assert command("train", f"resume={run}", secret, "budget_kimg=0.2").code == 2
    monkeypatch.setenv(permissions.VARIABLES, "GANSWEEP_TEST_SECRET")
    assert command("train", f"resume={run}", secret, "budget_kimg=0.2").code == 0
    kept = b"".join(p.read_bytes() for p in run.rglob("*") if p.is_file())
    assert b"hunter2" not in kept and b"GANSWEEP_TEST_SECRET" in kept


def test_defaults_of_variables_are_kept_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOT_SET", raising=False)
    words = ["${oc.env:NOT_SET,data}", "${oc.env:NOT_SET,null}", "${oc.env:NOT_SET,'a b, c'}"]
    words += ["${oc.env:NOT_SET,${oc.env:NOT_SET,7}}", "x/${oc.env:NOT_SET,true}"]
    cfg = OmegaConf.create({"a": words, "b": "${a}"})
    kept = environment.without_secrets(cfg)
    again = OmegaConf.create(kept)
    assert OmegaConf.to_container(again, resolve=True) == OmegaConf.to_container(cfg, resolve=True)
    assert kept["b"] == kept["a"] and all("NOT_SET" in text for text in kept["a"])
    assert environment.variables_of(kept) == {"NOT_SET"}
    environment.check_foreign(OmegaConf.to_container(config.compose(["data=mnist"])), "conf")


def bomb(levels: int = 12) -> str:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    more = ", ".join(["*a{0}"] * 10)
    rows += [f"a{k}: &a{k} [{more.format(k - 1)}]" for k in range(1, levels)]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (bomb(), "alias"),
        ("a: " + "[" * 5000, "deeper than 64"),
        ("model: [unclosed", "config.yaml cannot be read"),
        ("model: 1", "not the configuration of a run"),
        ("- 1", "not the configuration of a run"),
        ("a: \x1b[2J", "config.yaml cannot be read"),
        ("a: 2026-99-99", "config.yaml"),
    ],
    ids=["bomb", "depth", "torn", "no mapping of a model", "list", "escape", "date"],
)
def test_a_damaged_configuration_is_refused(
    command: Command, foreign: Path, text: str, refusal: str
) -> None:
    (foreign / "config.yaml").write_text(text)
    command("generate", str(foreign)).is_refused_with(refusal)


def test_a_pipe_in_place_of_a_configuration_is_refused_at_once(
    command: Command, foreign: Path
) -> None:
    (foreign / "config.yaml").unlink()
    os.mkfifo(foreign / "config.yaml")
    for words in verbs(foreign):
        assert command(*words).code == 2


# A sweep of somebody else


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "evil_sweep.trial"},
        {"preload": ["evil_sweep"]},
        {"target": "gansweep.cli.main.os.system"},
        {"preload": ["gansweep.__main__"]},
    ],
    ids=str,
)
def test_a_foreign_sweep_imports_nothing(
    command: Command, tmp_path: Path, changes: dict[str, Any]
) -> None:
    (tmp_path / "evil_sweep.py").write_text("open('executed', 'w')\ndef trial(*a, **k): pass\n")
    sweep_studies.make(tmp_path / "s", **changes)
    command("worker", "s").is_refused_with("sweep.yaml", "extra_packages=[")
    assert "evil_sweep" not in sys.modules and not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "word",
    [
        "tracker.tags=['${oc.env:SECRET}']",
        "hydra.searchpath=[pkg://evil_sweep]",
        "+hydra.callbacks.x._target_=os.system",
        "model.loss._target_=${eval:os.system}",
    ],
)
def test_an_option_of_a_foreign_sweep_has_no_more_rights_than_a_runs(
    word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    with pytest.raises(UserError) as refused:
        trial_config([*TINY, word], None)
    assert "hunter2" not in str(refused.value)


def test_files_in_the_folder_of_a_foreign_sweep_follow_the_same_rules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "hunter2")
    (tmp_path / "experiment").mkdir()
    file = tmp_path / "experiment" / "evil.yaml"
    file.write_text("# @package _global_\nextra_packages: [evil_sweep]\n")
    words = [*TINY, "experiment=evil", "extra_packages=[evil_sweep]"]
    assert "evil_sweep" not in trial_config(words, str(tmp_path)).extra_packages
    file.write_text("# @package _global_\nruns_dir: ${oc.env:SECRET}\n")
    with pytest.raises(UserError, match="SECRET"):
        trial_config(words, str(tmp_path))


def test_a_sweep_that_the_user_starts_passes_on_what_it_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gansweep.cli.sweep_run import run_sweep
    from gansweep.engine.launch.local import LocalLauncher

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANSWEEP_TEST_TAG", "mine")
    monkeypatch.setattr(LocalLauncher, "run", lambda *_: True)
    tag = "tracker.tags=['${oc.env:GANSWEEP_TEST_TAG}']"
    words = ["model=gan", "data=ring", "extra_packages=[my_nets]", "tracker=csv", tag]
    run_sweep(["sweep=seeds", *words])
    assert "my_nets" in trial_config(words, None).extra_packages


# Where files are written


@pytest.mark.parametrize("place", ["/dev/full", "link.png", "pipe.png"])
def test_a_device_or_a_pipe_is_not_replaced(
    command: Command, trained: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "link.png").symlink_to("/dev/full")
    os.mkfifo(tmp_path / "pipe.png")
    before = os.lstat(tmp_path / place)
    command("generate", str(trained), "n=1", "-o", place).is_refused_with("device or a pipe")
    command("report", str(trained), "-o", place).is_refused_with("device or a pipe")
    assert os.lstat(tmp_path / place).st_ino == before.st_ino


def test_a_draft_follows_no_link(tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("kept")
    for name in (".a.png", f".a.png.{os.getpid()}", f".clock-{os.getpid()}"):
        (tmp_path / name).symlink_to(target)
    replace_atomically(tmp_path / "a.png", b"new")
    write_file(tmp_path / "a.png", b"grey", force=True)
    assert target.read_text() == "kept"
    names = set()
    for _ in range(2):
        with drafted(tmp_path / "a.png") as draft:
            names.add(draft.name)
            draft.write_bytes(b"")
    assert len(names) == 2


def test_a_word_that_is_not_utf8_is_refused(command: Command, tmp_path: Path) -> None:
    for verb, word in (("report", "runs\udcff"), ("train", "data.root=\udcff"), ("\udcff", "")):
        command(verb, word).is_refused_with("\\udcff", "not UTF-8")
    assert not list(tmp_path.iterdir())
