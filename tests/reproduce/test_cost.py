"""What a table costs: steps and scorings, measured once and kept, and what fits into a time."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from gansweep.config.compose import compose
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.models.gan import GAN
from gansweep.reproduce import cost
from gansweep.reproduce.cost import Cost, estimate, measured, share_within
from gansweep.reproduce.plan import PlannedCell, PlannedRun, planned, planned_cells, planned_runs
from gansweep.reproduce.table_file import load_table
from gansweep.run import devices

TINY = ["model.generator.width=8", "model.discriminator.width=8", "batch_size=8", "data.n_train=64"]


def cells(table: str = "unrolled_2d") -> list[PlannedCell]:
    loaded = load_table(table)
    return planned_cells(loaded, loaded.budget("share-0.01"), compose)


def runs_of(one: PlannedCell, seeds: int = 1) -> tuple[list[PlannedRun], dict[str, Cost]]:
    """Runs of 250 steps of 4 ms, scored ten times of 50 ms each while they train."""
    return planned_runs([one], seeds), {one.cell.name: Cost(0.004, 1000, 0.05, True)}


def test_scorings_are_those_of_training_and_those_of_two_checkpoints() -> None:
    one, *_ = cells()
    assert (one.steps, one.evaluations) == (250, 10)
    whole = estimate(*runs_of(one, seeds=2), seeds=3)
    assert whole.training == pytest.approx(2 * 250 * 0.004)
    assert whole.scoring == pytest.approx(2 * (10 + 2 * 3) * 0.05)
    assert whole.complete and whole.disk_bytes == 2 * 3 * 1000
    exact = Cost(0.004, 1000, 0.05, noisy=False)  # one seed says all
    assert exact.scoring(one, seeds=3) == pytest.approx((10 + 2) * 0.05)
    assert exact.scoring(one, seeds=0) == pytest.approx(10 * 0.05)
    runs, _ = runs_of(one)
    assert not estimate(runs, {one.cell.name: Cost(0.004, 1000, None, True)}, seeds=3).complete


def test_the_share_that_ends_in_time_leaves_time_for_scoring() -> None:
    one, *_ = cells()
    runs, costs = runs_of(one)  # 1 s of training, 0.8 s of scoring
    assert share_within(1.85 / 60, 1, runs, costs, seeds=3) == 1
    assert share_within(1.75 / 60, 1, runs, costs, seeds=3) == 0.5
    with pytest.raises(UserError, match=r"takes 0.8 s.*longer than --minutes.*--seeds N or --only"):
        share_within(0.8 / 60, 1, runs, costs, seeds=3)


def test_more_workers_do_not_shorten_the_longest_run() -> None:
    one, *_ = cells()
    (run,), costs = runs_of(one)
    assert share_within(1.85 / 60, 2, [run, run], costs, seeds=3) == 1
    assert share_within(1.75 / 60, 8, [run, run], costs, seeds=3) == 0.5


def test_workers_take_whole_runs() -> None:
    """Three runs of 1 s of training for two workers take 2 s, and not 1.5 s."""
    one, *_ = cells()
    (run, *_), costs = runs_of(one)
    free = {name: replace(cost, score_seconds=0.0) for name, cost in costs.items()}
    assert share_within(2.01 / 60, 2, [run] * 3, free, seeds=3) == 1
    assert share_within(1.9 / 60, 2, [run] * 3, free, seeds=3) == 0.5


def test_a_cell_is_measured_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr("os.getloadavg", lambda: (0.0, 0.0, 0.0))
    table = load_table("unrolled_2d")
    small = planned(table.cells[0], table, table.budget(None), lambda words: compose(words + TINY))
    names: list[str] = []
    (found,) = measured([small], 1, names.append).values()
    assert names == ["GAN / ring"] and found.noisy
    assert found.score_seconds is not None and 0 < found.step_seconds < 1
    assert 0 < found.score_seconds < 1
    assert measured([small], 1, names.append) == {"GAN / ring": found} and len(names) == 1
    small.cfg.trainer.threads = 1  # of each run, whatever it could have
    assert measured([small], 2, names.append) == {"GAN / ring": found} and len(names) == 1
    small.cfg.trainer.threads = 2  # which would wait for each other where the cores are busy
    monkeypatch.setattr(cost, "_measure", lambda cfg, n: found)
    measured([small], 1, names.append)
    assert len(names) == 2


def test_what_was_measured_on_busy_cores_is_measured_again_when_they_are_free(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads that lose their cores wait for each other: 60 times the free machine's time."""
    one, *_ = cells()
    seconds, load = iter([0.3, 0.004]), [2.9]
    monkeypatch.setattr(cost, "_measure", lambda cfg, n: Cost(next(seconds), 1000, 0.0, False))
    monkeypatch.setattr(cost, "cores", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (load[0], 0.0, 0.0))

    def found(threads: int) -> Cost:
        return measured([one], threads, lambda name: None)[one.cell.name]

    assert found(2) == found(2) == Cost(0.3, 1000, 0.0, False, crowded=True)
    load[0] = 0.2
    assert found(2) == Cost(0.004, 1000, 0.0, False)
    load[0] = 2.9
    assert found(2) == Cost(0.004, 1000, 0.0, False)


@pytest.mark.parametrize(
    ("load", "threads", "crowded"),
    [(0.1, 2, False), (1.0, 1, False), (1.0, 2, True), (2.0, 1, True), (0.0, 64, False)],
)
def test_cores_are_busy_where_they_do_not_suffice_for_the_threads(
    load: float, threads: int, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "cores", lambda: 2)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0))
    assert cost._is_crowded(threads) is crowded


def test_what_the_first_samples_take_alone_is_not_counted_for_all_of_them(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """2,500 samples are scored, and 500 measured: the second the first took would be five."""
    as_before, first = GAN.fakes, iter([1.0])

    def fakes(self: GAN, batch: Batch, rng: torch.Generator) -> torch.Tensor:
        until = time.process_time() + next(first, 0.0)
        while time.process_time() < until:
            pass
        return as_before(self, batch, rng)

    monkeypatch.setattr(GAN, "fakes", fakes)
    table = load_table("unrolled_2d")
    small = planned(table.cells[0], table, table.budget(None), lambda words: compose(words + TINY))
    (found,) = measured([small], 1, lambda name: None).values()
    assert next(first, None) is None, "it drew samples"
    assert found.score_seconds is not None and found.score_seconds < 1


def test_answers_for_held_out_samples_are_a_scoring_without_noise(own_cache: Path) -> None:
    table = load_table("sgan_labels")
    words = ["data=digits", "data.n_validation=100", "budget_kimg=1", "data.n_labels=100"]
    cell = table.to_run(["K + 1 classes, labels alone / 100"])[0]
    (found,) = measured(
        [planned(cell, table, table.budget(None), lambda given: compose(given + words))],
        1,
        lambda name: None,
    ).values()
    assert found.score_seconds is not None and found.score_seconds > 0 and not found.noisy


def test_a_game_without_scores_costs_its_steps_alone(own_cache: Path) -> None:
    table = load_table("dirac_gan")
    one = planned(table.cells[0], table, table.budget(None), compose)
    (found,) = measured([one], 1, lambda name: None).values()
    assert found.step_seconds > 0 and (found.score_seconds, found.noisy) == (0.0, False)


@pytest.mark.parametrize(
    ("precision", "kept", "of_products"),
    [
        ("32-true", torch.float32, torch.float32),
        ("64-true", torch.float64, torch.float64),
        ("bf16-mixed", torch.float32, torch.bfloat16),
    ],
)
def test_steps_are_measured_in_the_precision_of_the_run(
    precision: str,
    kept: torch.dtype,
    of_products: torch.dtype,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cost, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(devices, "check_precision", lambda *_: None)  # of any CPU
    found: list[tuple[torch.dtype, torch.dtype, torch.dtype]] = []
    step = Adversarial.step

    def watched(self: Adversarial, batch: Batch) -> None:
        weights = next(iter(self.players.values())).parameters()
        product = batch.images.flatten(1) @ batch.images.flatten(1).T
        found.append((next(iter(weights)).dtype, batch.images.dtype, product.dtype))
        step(self, batch)

    monkeypatch.setattr(Adversarial, "step", watched)
    table = load_table("unrolled_2d")
    words = [*TINY, f"trainer.precision={precision}"]
    small = planned(table.cells[0], table, table.budget(None), lambda given: compose(given + words))
    measured([small], 1, lambda name: None)
    assert set(found) == {(kept, kept, of_products)}


def test_a_precision_that_this_cpu_lacks_is_refused_before_a_run(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    table = load_table("unrolled_2d")
    words = [*TINY, "trainer.precision=bf16-mixed", "trainer.accelerator=cpu"]
    small = planned(table.cells[0], table, table.budget(None), lambda given: compose(given + words))
    with pytest.raises(UserError, match="no bfloat16 arithmetic.*32-true"):
        measured([small], 1, lambda name: None)
