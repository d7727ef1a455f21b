"""launcher.slots_per_gpu=auto on a device of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_programs import put_on_path

from gansweep.engine.launch import slots
from gansweep.engine.launch.slots import Tried, best
from gansweep.errors import UserError
from gansweep.search.settings import Settings

GPU = "GPU-aaaa0000-1111"
SMI = f"""#!/bin/sh
[ "$1" != -L ] || {{ echo "GPU 0: NVIDIA H100 80GB HBM3 (UUID: {GPU})"; exit; }}
echo 4000
"""
# a short trial: as many images a second as FULL allows for those that run, 300 MiB
TRAIN = """#!/bin/sh
for word; do case $word in runs_dir=*) runs=${word#*=} ;; name=*) name=${word#*=} ;; esac; done
echo "$CUDA_VISIBLE_DEVICES $*" >> "$NOTES"
[ "$name" != "$FAILS" ] || { echo "CUDA out of memory"; exit 1; }
mkdir -p "$runs/tried/$name"
echo '{"images_per_second": 100, "peak_memory_mib": 300}' > "$runs/tried/$name/result.json"
"""


def device(saturates_at: float, mib: float) -> Callable[[int], Tried | None]:
    """A GPU on which a trial alone makes 100 images a second, and many at most `saturates_at`."""
    return lambda trials: Tried(trials, min(100.0 * trials, saturates_at), mib)


@pytest.mark.parametrize(
    ("saturates_at", "mib", "free_mib", "expected"),
    [
        (1e9, 10, 80_000, 16),  # nothing ends it but the most that is tried
        (1e9, 10_000, 80_000, 4),  # 8 of 10,000 MiB are more than 0.9 of the memory
        (400, 10, 80_000, 4),  # 8 gain nothing
        (105, 10, 80_000, 1),  # 2 gain less than a tenth
        (111, 10, 80_000, 2),
        (1e9, 79_000, 80_000, 1),  # the only trial, however large
    ],
)
def test_as_many_trials_as_fit_and_still_gain(
    saturates_at: float, mib: float, free_mib: float, expected: int
) -> None:
    assert best(device(saturates_at, mib), free_mib)[-1].trials == expected


def test_as_many_as_failed_together_are_too_many() -> None:
    def crowded(trials: int) -> Tried | None:
        return device(1e9, 10)(trials) if trials < 8 else None

    assert [tried.trials for tried in best(crowded, 80_000)] == [1, 2, 4]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A sweep on a machine with a GPU whose short trials are `TRAIN`."""
    put_on_path(tmp_path / "bin", {"nvidia-smi": SMI, "train": TRAIN}, monkeypatch)
    monkeypatch.setenv("GANSWEEP_GPU_LOCKS", str(tmp_path / "locks"))
    monkeypatch.setenv("NOTES", str(tmp_path / "notes"))
    monkeypatch.setenv("FAILS", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(slots.sys, "executable", str(tmp_path / "bin" / "train"))
    return Settings(
        name="s",
        n_trials=4,
        budget_kimg=1.0,
        base_seed=0,
        space={},
        overrides=["model=gan", "callbacks=stopping", "budget_kimg=1", "model.latent_dim=3"],
        objective={"metric": "fid", "direction": "minimize", "at": "last"},
        sampler={"name": "random", "seed": 0, "startup_trials": 10},
        pruner={"name": "none"},
        confirm={"top": 0, "per": "config", "seeds": 1},
        max_retries=2,
        runs_dir=str(tmp_path / "runs"),
        storage="journal",
        launcher={"name": "local", "slots_per_gpu": "auto", "gpus_per_trial": 1},
    )


def test_short_trials_of_the_sweeps_own_configuration_run_together_on_one_gpu(
    sweep: Settings, tmp_path: Path
) -> None:
    (said,) = slots.fill_in(sweep)
    # 4 of 300 and 700 MiB are more than 0.9 of 4,000 MiB
    assert sweep.launcher["slots_per_gpu"] == 2
    assert said == "slots_per_gpu=auto: 2: alone 100 images/s, 2 together 200 images/s"
    lines = (tmp_path / "notes").read_text().splitlines()
    assert len(lines) == 3 and all(line.startswith(f"{GPU} -m gansweep train") for line in lines)
    words = lines[0].split()
    assert {"model=gan", "model.latent_dim=3", "callbacks=none"} <= {*words}
    assert not {"callbacks=stopping", "budget_kimg=1"} & {*words}


def test_continued_sweep_keeps_its_number(sweep: Settings, tmp_path: Path) -> None:
    slots.fill_in(sweep)
    directory = Path(sweep.runs_dir) / sweep.name
    directory.mkdir(parents=True)
    sweep.save(directory)
    sweep.launcher["slots_per_gpu"] = "auto"
    before = (tmp_path / "notes").read_text()
    slots.fill_in(sweep)
    assert sweep.launcher["slots_per_gpu"] == 2 and (tmp_path / "notes").read_text() == before


def test_too_many_at_once_fail_and_fewer_are_taken(
    sweep: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "t1")
    slots.fill_in(sweep)
    assert sweep.launcher["slots_per_gpu"] == 1


def test_trial_that_fails_alone_is_refused_with_its_last_words(
    sweep: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "t0")
    with pytest.raises(UserError, match=r"failed .CUDA out of memory.*slots_per_gpu=1"):
        slots.fill_in(sweep)


def test_without_a_gpu_nothing_is_tried(sweep: Settings, tmp_path: Path) -> None:
    sweep.uses_gpus = False
    assert slots.fill_in(sweep) == [] and sweep.launcher["slots_per_gpu"] == 1
    assert not (tmp_path / "notes").exists()
