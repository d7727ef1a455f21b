"""What the Tab key offers, in this process and in a shell."""

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gansweep.cli.completion import complete
from gansweep.cli.main import VERBS

Offered = Callable[[str], list[str]]


class EndedError(Exception):
    """The completion ends its process."""


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offered:
    """The words that bash gets for a line, in a folder with a run and a sweep."""
    for place in ("digits/dcgan-001/config.yaml", "demo/sweep.yaml", "demo/t0000/config.yaml"):
        file = tmp_path / "runs" / place
        file.parent.mkdir(parents=True)
        file.touch()
    monkeypatch.chdir(tmp_path)
    breaks = " \t\n\"'><=;|&(:"
    for key, value in {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SHELL": "bash",
        "_ARGCOMPLETE_COMP_WORDBREAKS": breaks,
    }.items():
        monkeypatch.setenv(key, value)

    def ended(code: int) -> None:
        raise EndedError

    monkeypatch.setattr("gansweep.cli.completion.Finder._init_debug_stream", lambda _: None)

    def ask(line: str) -> list[str]:
        monkeypatch.setenv("COMP_LINE", line)
        monkeypatch.setenv("COMP_POINT", str(len(line)))
        answer = io.StringIO()
        with pytest.raises(EndedError):
            complete(ended, answer)
        return [word.rstrip() for word in answer.getvalue().splitlines()]

    return ask


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("gansweep tr", ["train", "translate"]),
        ("gansweep train mod", ["model=", "model."]),
        ("gansweep train model=wgan", ["wgan", "wgan_gp"]),
        ("gansweep train -m model=gan,dcg", ["gan,dcgan"]),
        ("gansweep train data=fash", ["fashion_mnist"]),
        ("gansweep train model=wgan_gp model.n_cr", ["model.n_critic="]),
        ("gansweep train model.optimizer.gen", [
            "model.optimizer.generator.lr=",
            "model.optimizer.generator.betas=",
            "model.optimizer.generator.fused=",
        ]),
        ("gansweep train data.flip=", ["true", "false"]),
        ("gansweep train trainer.precision=", ["32-true", "bf16-mixed", "64-true"]),
        ("gansweep train trainer.accelerator=c", ["cpu", "cuda"]),
        ("gansweep train metrics=full metrics.split=te", ["test"]),
        ("gansweep train resume=runs/", ["runs/digits/", "runs/demo/"]),
        ("gansweep train --cfg ", ["job", "hydra", "all"]),
        ("gansweep train --multi", ["--multirun"]),
        ("gansweep sweep sweep=demo --dry-run sweep=pb", ["pbt"]),
        ("gansweep sweep launcher=slurm launcher.part", ["launcher.partition="]),
        ("gansweep status --json runs/de", ["runs/demo"]),
        ("gansweep report runs/demo/", ["runs/demo/t0000"]),
        ("gansweep evaluate runs metrics.n_f", ["metrics.n_fake="]),
        ("gansweep evaluate runs checkpoint=", ["best", "last"]),
        ("gansweep generate runs/digits/dcgan-001 lab", ["label="]),
        ("gansweep completion z", ["zsh"]),
    ],
)  # fmt: skip
def test_tab_offers_what_fits(offered: Offered, line: str, words: list[str]) -> None:
    assert sorted(offered(line)) == sorted(words)


def test_verbs_and_their_words_are_offered_without_a_letter(offered: Offered) -> None:
    assert {*VERBS} <= {*offered("gansweep ")}
    assert {"label=", "checkpoint=", "runs/", "--output"} <= {*offered("gansweep generate ")}


def test_completion_imports_nothing_heavy() -> None:
    code = (
        "import sys; from importlib import import_module\n"
        "from gansweep.cli import completion, main; from gansweep.config.choices import options\n"
        "parsers = [main.module_of(verb).parser() for verb in main.VERBS]\n"
        "assert parsers and options('train', {})\n"
        "heavy = {'torch', 'hydra', 'omegaconf', 'optuna', 'numpy', 'wandb', 'rich'}\n"
        "print(*(heavy & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stderr, done.stdout) == ("", "\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_loads_what_the_verb_prints(shell: str) -> None:
    program, gansweep = shutil.which(shell), Path(sys.executable).with_name("gansweep")
    if program is None or not gansweep.exists():
        pytest.skip(f"needs {shell} and the installed command")
    script = {
        "bash": 'eval "$(gansweep completion bash)"; complete -p gansweep',
        "zsh": 'autoload -U compinit; compinit -u -D; eval "$(gansweep completion zsh)"; '
        "echo $_comps[gansweep]",
        "fish": "gansweep completion fish | source; complete -C 'gansweep sy'",
    }[shell]
    env = {**os.environ, "PATH": f"{gansweep.parent}:{os.environ['PATH']}"}
    done = subprocess.run([program, "-c", script], capture_output=True, text=True, env=env)
    assert done.returncode == 0 and ("argcomplete" in done.stdout or "sync" in done.stdout), done


def test_former_way_to_complete_says_the_new_one(command: Callable[..., object]) -> None:
    done = command("train", "-sc", "install=bash")
    done.is_refused_with('eval "$(gansweep completion bash)"')  # type: ignore[attr-defined]


def test_second_shell_is_refused(command: Callable[..., object]) -> None:
    done = command("completion", "bash", "zsh")
    done.is_refused_with("one shell, not also 'zsh'")  # type: ignore[attr-defined]
