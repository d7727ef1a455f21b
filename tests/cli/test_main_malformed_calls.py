"""Some three hundred malformed calls of all verbs: exit code 2 and one paragraph, nothing else.

The calls are drawn by a seeded generator, so a failure repeats. What is malformed follows from the
default values of the options, not from the ranges that gansweep declares: a rate that is a number
cannot be a word, and a count cannot be negative, whatever its annotation says.
"""

from __future__ import annotations

import functools
import random
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from command_line import Finished
from omegaconf import OmegaConf

from gansweep.config import compose as config

Command = Callable[..., Finished]
Call = list[str]
pytestmark = pytest.mark.slow

MODELS = sorted(path.stem for path in (config.conf_dir() / "model").glob("*.yaml"))
BASES = [["data=digits"], ["data=ring"], ["data=paired"], ["callbacks=diagnosis"]]
BASES += [["callbacks=stopping"], ["tracker=wandb"], ["term=[ada,lecam,top_k]"]]
FREE = ("runs_dir", "group", "name", "resume", "init", "choices")  # text of the user's own
LONG = "x" * 5000
PAIRS = ["[1,2]", "{a:1}", "[[]]", "{a:{b:[1]}}"]
NO_NUMBER = ["abc", "nan", "inf", "-inf", "true", "''", "'3'", "1e999", "--5", "0x10", *PAIRS]
MALFORMED: dict[type, list[str]] = {
    bool: ["abc", "5", "-1", "1.5", "nan", "null", "'true'", *PAIRS],
    int: [*NO_NUMBER, "1.5", "-7", "1e30", "9" * 30, "-" + "9" * 400, "1e-3"],
    float: NO_NUMBER,
    str: ["true", "1.5", *PAIRS],
    list: ["abc", "5", "nan", "true", "{a:1}"],
    type(None): ["true", "{a:{b:1}}", "[[1]]"],
}
UNREADABLE = ["[1", "{a", "'", '"', "a b]", "${", "${nope}", "${oc.env:NOPE_NOPE}", "${..}"]
UNREADABLE += ["$" + "{oc.decode:'['}", "{" * 200, "[" * 200, "(1)", "choice(", "a:b:c}"]


def leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        name = f"{prefix}{key}"
        if key in ("_target_", "_partial_", "_convert_", "tiny", "search", "points"):
            continue
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{name}.")
        else:
            yield name, value


@functools.cache
def defaults(words: tuple[str, ...], of: str = "train") -> list[tuple[str, Any]]:
    """Every option and its default value, under those choices."""
    content = OmegaConf.to_container(config.compose(words, config_name=of), resolve=True)
    assert isinstance(content, dict)
    content.pop("choices", None)
    return list(leaves(content))


def mangled(options: list[tuple[str, Any]], rng: random.Random) -> str:
    """A value that cannot be, for one of the options."""
    while True:
        name, value = rng.choice(options)
        kind = float if name.endswith("kimg") else type(value)  # 100 kimg may be 1.5, too
        if name.endswith("fused"):  # may be null
            continue
        if name.split(".")[0] not in FREE and kind in MALFORMED:
            return f"{name}={rng.choice(MALFORMED[kind])}"


def misspelt(name: str, rng: random.Random) -> str:
    """The name with a letter swapped, doubled or left out: a key that does not exist."""
    at = rng.randrange(1, len(name) - 1)
    return rng.choice([name[:at] + name[at + 1 :], name[:at] + "qq" + name[at:], name + "_x"])


def of_train(rng: random.Random) -> Call:
    base = rng.choice([[f"model={rng.choice(MODELS)}"], *BASES])
    options = defaults(tuple(base))
    name = rng.choice(options)[0]
    word = rng.choice(
        [
            *[mangled(options, rng)] * 6,
            f"{misspelt(name, rng)}=1",
            f"+trainer.{misspelt('devices', rng)}=1",
            f"+model.{misspelt('n_critic', rng)}=1",
            f"{name}={rng.choice(UNREADABLE)}",
            f"{rng.choice(['model', 'data', 'tracker', 'trainer', 'term'])}={rng.choice(WORDS)}",
            rng.choice(STRANGE),
        ]
    )
    return ["train", *base, word]


def of_sweep(rng: random.Random) -> Call:
    base = rng.choice([["sweep=random"], ["sweep=grid"], ["sweep=pbt"], ["launcher=local"]])
    options, own = defaults(()), defaults((), "sweep")
    name, value = rng.choice([one for one in options if type(one[1]) in (int, float)])
    bad = rng.choice(MALFORMED[type(value)][:4])
    word = rng.choice(
        [
            *[mangled(own, rng)] * 5,
            mangled(options, rng),
            f"{name}=choice({value},{bad})",
            f"{name}=interval({value},",
            f"model.n_critic=range({rng.choice(['-3,3', '0,2', '1,1000000000', '1,inf', '3,1'])})",
            f"model.optimizer.generator.lr={rng.choice(NO_INTERVAL)}",
            f"{misspelt(name, rng)}=choice(1,2)",
            f"sweep={rng.choice(WORDS)}",
            f"sweep.{misspelt('sampler', rng)}.name=tpe",
            f"+launcher.{misspelt('workers', rng)}=2",
            rng.choice(["n_trials=-1", "n_trials=1e9", "workers=0", "workers=many", "engine=x"]),
            rng.choice(["storage=nope://x", "sweep.overrides=[x]", "sweep.constraints=[x]"]),
            rng.choice(["~sweep.sampler", "--dry-run", "--nope", "word", "=", "=3", ""]),
        ]
    )
    return ["sweep", *base, "data=digits", word]


NO_INTERVAL = ["interval(1,0)", "interval(a,b)", "interval(0,inf)", "interval(-1,1)", "choice()"]
NO_INTERVAL += ["tag(log,interval(0,1))", "tag(log,interval(-1,1))", "interval(1e309,1)"]
WORDS = ["nope", "5", "[a,b]", "null", "''", "../x", "/etc/passwd", "été", LONG, "a,b", "{a:1}"]
STRANGE = ["=", "=3", "word", "", " ", "~nope", "~model.nope", "model..x=3", ".=3", "model.=3"]
STRANGE += ["++=3", "+=3", "model@x=gan", "--nope", "-x", "--cfg", "--cfg=nope", "--package"]
STRANGE += [
    "--config-dir",
    "--config-dir=/nope",
    "--config-name=nope",
    "--info=nope",
]
STRANGE += ["resume=nope", "resume=/dev/null", "resume=[a]", "model.n_critic=\t", "é=3", "a=b=c"]
STRANGE += [f"{LONG}=3", f"model.{LONG}=3", "seed=0,1", "model=gan,dcgan", "hydra.x=3", "a b=3"]
STRANGE += ["experiment=nope", "term=nope", "term=[nope]", "data@data.base=nope", "~data"]


def of_paths(verb: str) -> Callable[[random.Random], Call]:
    """Calls of the verbs that read a directory."""
    extra = {
        "generate": ["n=0", "n=x", "n=1e9", "n=" + "9" * 30, "seed=-1", "seed=x", "label=a code=1"],
        "evaluate": ["metrics.n_fake=-1", "metrics.n_fake=x", "metrics.split=nope", "model=gan"],
        "report": ["--metric", "-o", "--csv", "--nope", "--latex"],
        "doctor": ["--nope", "--json=3", "-x"],
        "status": ["--nope", "more", "--json=1"],
        "cancel": ["more", "--nope"],
        "worker": ["more", "--nope"],
        "sync": ["--nope"],
    }[verb]
    extra += ["checkpoint=x", "accelerator=tpu", "metrics=nope"] if verb[-3:] == "ate" else []

    def call(rng: random.Random) -> Call:
        place = rng.choice(NOWHERE if verb in SHOW_DAMAGE else PLACES)
        words = rng.choice([[], [place], [place], [place], ["nope"], ["--nope", place]])
        if rng.random() < 0.5:
            words = [place, *rng.choice(extra).split(" ")]
        return [verb, *words]

    return call


PLACES = ["empty", "file", "nope/nope", "garbage", "torn", "listed", "binary", "x" * 300]
NOWHERE = ["empty", "file", "nope/nope", "x" * 300]
SHOW_DAMAGE = ("report", "doctor")  # a damaged record is shown, and named
NO_RECORD = {
    "garbage": "seed: [\n",
    "torn": "name: s\nn_trials: x\nspace: {}\n",
    "listed": "- 1\n- 2\n",
    "binary": "\x01\x02\ud7ff\n\t{",
}


@pytest.fixture
def places(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("text")
    for name, content in NO_RECORD.items():
        (tmp_path / name).mkdir()
        for file in ("config.yaml", "sweep.yaml"):
            (tmp_path / name / file).write_text(content, encoding="utf-8")


CALLS: dict[str, tuple[Callable[[random.Random], Call], int]] = {
    "train": (of_train, 60),
    "sweep": (of_sweep, 50),
    **{verb: (of_paths(verb), 30) for verb in ("generate", "evaluate", "report", "doctor")},
    **{verb: (of_paths(verb), 20) for verb in ("status", "cancel", "worker", "sync")},
}


def accepted(*_: object, **__: object) -> NoReturn:
    raise AssertionError("accepted: it would have begun to train")


def complaint(done: Finished) -> str:
    """What is wrong with an answer to a malformed call; "" for nothing."""
    paragraphs = done.err.strip().splitlines()
    if done.code != 2:
        return f"exit code {done.code}"
    if done.out and not done.out.startswith("[1/1] "):  # which record is looked at
        return f"says on stdout: {done.out[:200]}"
    if len(paragraphs) != 1 or not paragraphs[0].startswith("gansweep: "):
        return f"says: {done.err[:300]}"
    return f"{len(paragraphs[0])} characters" if len(paragraphs[0]) > 1500 else ""


@pytest.mark.parametrize("verb", CALLS)
def test_malformed_calls_are_refused_in_one_paragraph(
    verb: str,
    command: Command,
    places: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import gansweep.run.evaluate  # noqa: F401  # the first import of PyTorch takes seconds, whatever the call

    monkeypatch.setattr("gansweep.run.train.train", accepted)
    monkeypatch.setattr("gansweep.engine.launch.local.LocalLauncher.run", accepted)
    monkeypatch.setattr("gansweep.engine.worker.Worker.run", accepted)
    make, many = CALLS[verb]
    rng = random.Random(f"malformed calls of {verb}")
    before = sorted(tmp_path.rglob("*"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    wrong = []
    for _ in range(many):
        call = make(rng)
        signal.signal(signal.SIGALRM, lambda *_: accepted())
        signal.alarm(30)
        begun = time.process_time()
        try:
            said = complaint(command(*call))
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"[:300]
        finally:
            signal.alarm(0)
        seconds = time.process_time() - begun
        if said or seconds > 3:
            shown = " ".join(word[:80] for word in call)
            wrong.append(f"gansweep {shown}\n    {said or f'{seconds:.1f} s'}")
    assert not wrong, f"{len(wrong)} of {many}:\n" + "\n".join(wrong)
    assert sorted(tmp_path.rglob("*")) == before
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak) / 1024
    assert grown < 200, f"{grown:.0f} MiB"
