"""What tells the jobs of a multirun apart."""

import itertools
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from gansweep.config.compose import compose
from gansweep.run.jobs import (
    LONGEST_STEM,
    differing,
    jobs_table,
    note_swept,
    stem,
    words_left,
)


def swept(*words: str, params: dict[str, str] | None = None) -> None:
    note_swept(OmegaConf.create({"overrides": {"task": words}, "sweeper": {"params": params}}))


@pytest.fixture(autouse=True)
def no_other_multirun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANSWEEP_SWEPT", "[]")  # and what a test sets is removed


def expanded(words: list[str]) -> list[list[str]]:
    """The jobs of a multirun, whose values have no comma inside."""
    several = [(w.partition("=")[0], w.partition("=")[2].split(",")) for w in words]
    return [
        list(job) for job in itertools.product(*([f"{k}={v}" for v in vs] for k, vs in several))
    ]


def test_the_commands_for_what_is_left_train_the_jobs_that_were_not_begun() -> None:
    words = ["model=gan,dcgan", "budget_kimg=5", "seed=0,1,2", "+a=x,y"]
    jobs = expanded(words)
    for number in range(len(jobs)):
        left = [job for one in words_left(number, words) for job in expanded(one)]
        assert left == jobs[number + 1 :]
    swept("seed=range(3)", "budget_kimg=5")
    assert words_left(0) == [["seed=1,2", "budget_kimg=5"]]
    swept("budget_kimg=5", params={"seed": "0,1"})
    assert words_left(0) == []


def test_only_keys_with_several_values_tell_jobs_apart() -> None:
    swept("model=gan,dcgan", "seed=range(3)", "budget_kimg=5", "term=[ada,lecam]", "+a=1,2")
    words = ["model=gan", "seed=1", "budget_kimg=5", "term=[ada,lecam]", "+a=2"]
    assert differing(words) == ["model=gan", "seed=1", "+a=2"]
    swept("budget_kimg=5", params={"seed": "0,1"})
    assert differing(["budget_kimg=5", "seed=1"]) == ["seed=1"]


@pytest.mark.parametrize(
    ("several", "words", "expected"),
    [
        (["model=gan,dcgan", "seed=0,1"], ["model=dcgan", "seed=1"], "dcgan-seed1"),
        (["seed=0,1"], ["model=dcgan", "seed=1"], "dcgan-seed1"),
        (["data=ring,grid"], ["data=ring"], "dcgan"),
        (["data=ring,grid", "group=all"], ["data=ring", "group=all"], "dcgan-ring"),
        (
            [
                "model.optimizer.generator.lr=1e-4,2e-4",
                "model.optimizer.discriminator.lr=1e-4,1e-3",
            ],
            ["model.optimizer.generator.lr=2e-4", "model.optimizer.discriminator.lr=1e-3"],
            "dcgan-generator.lr2e_4-discriminator.lr1e_3",
        ),
        (["term=[ada],[ada,lecam]"], ["term=[ada,lecam]"], "dcgan-ada_lecam"),
        (["model.n_critic=1,5"], [], "dcgan"),
    ],
)
def test_the_name_of_a_job_says_what_differs(
    several: list[str], words: list[str], expected: str
) -> None:
    swept(*several)
    assert stem(compose(["model=dcgan", *words]), words) == expected


def test_the_name_of_a_job_is_short_and_a_file_name_everywhere() -> None:
    swept("runs_dir=a,b")
    words = [f"runs_dir='../{'long folder*/' * 20}'"]
    found = stem(compose(words), words)
    assert len(found) == LONGEST_STEM and set(found) <= {*"dcgan-runs_dir.long_folder"}


def outcome(job: int, called: str, value: float | None, directory: str, **more: str) -> Any:
    return {
        "job": job,
        "status": "finished" if value is not None else "failed",
        "objective": "fid_digitsnet1_1k_train" if value is not None else None,
        "value": value,
        "called": called,
        "directory": directory,
        **more,
    }


def test_the_table_fits_eighty_columns_with_every_word_whole() -> None:
    short = [outcome(1, "seed=0", 17.1712, "a/b-seed0-001"), outcome(2, "seed=1", None, "-")]
    assert jobs_table(short) == [
        "job  status    fid_digitsnet1_1k_train  what differs  directory",
        "1    finished                    17.17  seed=0        a/b-seed0-001",
        "2    failed                          –  seed=1        -",
    ]
    settings = [f"model.optimizer.{player}.lr=1e-4" for player in ("generator", "discriminator")]
    folder = str(Path("runs/digits") / f"dcgan-{'x' * 50}-001")
    lines = jobs_table([outcome(1, " ".join(settings), 17.0, folder)])
    assert max(map(len, lines)) <= 80
    assert all(word in " ".join(lines).split() for word in (*settings, folder))
    several = jobs_table([short[0], outcome(2, "data=ring", 0.1, "c", objective="reverse_kl_2500")])
    assert "fid_digitsnet1_1k_train 17.17" in several[1] and "reverse_kl_2500 0.1" in several[2]
