"""Rules that stop a run, on scripted curves and on real runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gansweep.callbacks import stop_when_done as stopping
from gansweep.callbacks.balance import Balance
from gansweep.callbacks.journal import Journal
from gansweep.callbacks.stop_on_failure import worsened
from gansweep.callbacks.stop_when_done import StopAtEquilibrium, StopOnPlateau
from gansweep.config import compose as config
from gansweep.errors import UserError
from gansweep.metrics.protocol import Score
from gansweep.models.adversarial import Adversarial
from gansweep.run.train import train

Script = Callable[[float], float]


def journal_of(
    script: Script, until: float, every: float = 10, direction: str = "minimize"
) -> Journal:
    """A journal whose objective followed `script`, a function of kimg."""
    journal = Journal(None, None)
    journal.objective = "objective"
    kimg = every
    while kimg <= until:
        add(journal, "objective", kimg, script(kimg), direction)
        kimg += every
    return journal


def add(
    journal: Journal, name: str, kimg: float, value: Any, direction: str | None = "minimize"
) -> None:
    protocol = {"score": name, "direction": direction}
    journal.score(round(kimg * 1000), {name: Score(value, protocol)})


# Failure


def failure(script: Script, until: float, **how: Any) -> str | None:
    return worsened(journal_of(script, until, **how), factor=2, kimg=50)


def published_log(kimg: float) -> float:
    """A published log: from FID 300 to 49 at 80 kimg, then suddenly 137."""
    return max(49.0, 300 - 251 * kimg / 80) if kimg <= 100 else 137.0


def test_training_that_undid_itself_is_a_failure() -> None:
    assert failure(published_log, 150) is None  # bad for too short a time
    reason = failure(published_log, 160)
    assert reason is not None
    for word in ("objective", "near 137", "since 110.0 kimg", "2.8 times", "49 at 80.0 kimg"):
        assert word in reason, reason


def test_long_run_is_given_longer_to_come_back() -> None:
    def script(kimg: float) -> float:
        return published_log(max(0, kimg - 900))

    assert failure(script, 1200) is None  # bad for 190 kimg, and the run has seen 1,200
    assert failure(script, 1280) is not None


@pytest.mark.parametrize(
    ("script", "how"),
    [
        (lambda k: 300 / k, {}),
        (lambda k: 50 if k != 200 else 5, {}),  # one lucky evaluation
        (lambda k: 137 if 200 < k < 250 else 49, {}),  # it came back
        (lambda k: 137 if k % 30 else 49, {}),  # it comes back again and again
        (lambda k: 2.0 if k < 50 else 0.002 if k < 200 else 0.02, {}),  # modes, never perfect
        (lambda k: 2 - k / 300, {"direction": "maximize"}),
        (lambda k: 1 - k / 100 if k < 200 else 0.5, {}),  # negative: no factor means anything
        (lambda k: float("nan"), {}),
    ],
    ids=["falls", "lucky", "bump", "swings", "near 0", "maximised", "negative", "nan"],
)
def test_healthy_curve_is_no_failure(script: Script, how: dict[str, Any]) -> None:
    assert failure(script, 400, **how) is None


# Plateau


def plateau(journal: Journal, patience: float = 50, least: float = 0.02) -> str | None:
    return StopOnPlateau(patience, least).reason(journal, ("generator",))


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_plateau_begins_at_the_last_improvement(direction: str) -> None:
    def script(kimg: float) -> float:
        sunk = max(0.0, 100 - kimg) + 10
        return sunk if direction == "minimize" else 200 - sunk

    assert plateau(journal_of(script, 140, direction=direction)) is None
    reason = plateau(journal_of(script, 150, direction=direction))
    assert reason is not None and "since it was" in reason
    assert "at 100.0 kimg" in reason and "5 evaluations" in reason, reason


def test_small_steps_that_add_up_are_no_plateau() -> None:
    assert plateau(journal_of(lambda k: 10 * 0.99 ** (k / 10), 1000)) is None
    assert plateau(journal_of(lambda k: 10 * 0.999 ** (k / 10), 200)) is not None


def test_noise_within_the_relative_step_is_a_plateau() -> None:
    assert plateau(journal_of(lambda k: 10 + 0.1 * (k % 20 > 0), 100)) is not None


def test_plateau_of_a_saturated_score_is_reported_as_one() -> None:
    """Grey noise on digits has the same FID at every evaluation."""
    static = journal_of(lambda k: 62.2865, 100)
    add(static, "precision", 100, 0.0, "maximize")
    add(static, "in_no_mode", 100, 1.0)
    reason = plateau(static)
    assert (
        reason is not None and "no sample resembles the data (precision 0, in_no_mode 1)" in reason
    )
    add(static, "precision", 110, 0.3, "maximize")
    resting = plateau(static)
    assert resting is not None and "resembles" not in resting


def test_plateau_needs_three_evaluations_whatever_the_patience() -> None:
    assert plateau(journal_of(lambda k: 10, 300, every=100)) is None
    assert plateau(journal_of(lambda k: 10, 400, every=100)) is not None


def test_score_that_was_never_finite_says_nothing() -> None:
    assert plateau(journal_of(lambda k: float("nan"), 400)) is None
    assert equilibrium(story(objective=lambda k: float("nan"))) is None


def watched(measure: Script, until: int) -> str | None:
    """The plateau rule on BEGAN's measure, logged every 2 kimg, while the objective falls."""
    journal = journal_of(lambda k: 1000 / k, until)
    for kimg in range(2, until + 1, 2):
        journal.log(kimg * 1000, {"critic/global_measure": measure(kimg)})
    rule = StopOnPlateau(patience_kimg=40, min_relative=0.1, watch="critic/global_measure")
    return rule.reason(journal, ("generator",))


def test_watched_curve_is_judged_in_place_of_the_objective_by_its_means() -> None:
    def noisy(kimg: float) -> float:
        # one of 25 batches is at half the level; no mean over 10 kimg shows this as an improvement
        level = max(1 - kimg / 100, 0.5)
        return level * (1 + 0.05 * (-1) ** (kimg // 2)) * (0.5 if kimg % 50 == 0 else 1)

    assert watched(lambda k: 1 / k, 200) is None
    assert watched(noisy, 80) is None
    reason = watched(noisy, 120)
    assert reason is not None
    for word in ("critic/global_measure has not improved by 10.0%", "at 50.0 kimg", "7 means"):
        assert word in reason, reason


def test_watched_curve_that_nothing_writes_is_refused(tmp_path: Path) -> None:
    words = ["model=gan", "data=ring", "metrics=none", "tracker=none", "callbacks=stopping"]
    words += ["~callbacks.stop_at_equilibrium", f"runs_dir={tmp_path}", "budget_kimg=60"]
    words += ["batch_size=1000", "callbacks.stop_on_plateau.watch=critic/global_measure"]
    with pytest.raises(UserError, match=r"not a curve of this run.*balance/distance"):
        train(config.compose(words), progress=False)


# Equilibrium: a healthy story, and each way to miss one of its conditions


def story(
    kimg: float = 200,
    objective: Script = lambda k: max(50 - 0.5 * k, 3),
    accuracy: Script = lambda k: 0.9 if k < 60 else 0.55,
    distance: Script = lambda k: 0.4 if k < 60 else 0.05,
    gradient: Script = lambda k: 1.0 if k < 60 else 0.1,
    modes: Script = lambda k: 10,
) -> Journal:
    journal = Journal(None, None)
    journal.objective = "objective"
    for step in range(1, int(kimg / 2) + 1):
        now = 2.0 * step
        accurate = {f"balance/{side}_accuracy": accuracy(now) for side in ("real", "fake")}
        row = {"balance/distance": distance(now), "grad_norm/generator": gradient(now)}
        journal.log(round(now * 1000), accurate | row)
        if step % 5 == 0:
            add(journal, "objective", now, objective(now))
            add(journal, "modes", now, modes(now), "maximize")
            add(journal, "mode_counts", now, [1.0] * 10, None)
    return journal


def equilibrium(journal: Journal) -> str | None:
    rule = StopAtEquilibrium(window_kimg=50, tolerance=0.1, flat=0.1, improved=0.5)
    return rule.reason(journal, ("generator",))


def test_balanced_game_at_rest_is_an_equilibrium() -> None:
    reason = equilibrium(story())
    assert reason is not None
    for word in ("0.050 from 1/2", "90%", "stayed at 3", "50 kimg", "value was 45"):
        assert word in reason, reason


@pytest.mark.parametrize(
    "missed",
    [
        {"kimg": 90},
        {"distance": lambda k: 0.3},
        {"distance": lambda k: 0.05 if k < 150 else 0.3},
        {"objective": lambda k: max(50 - 0.2 * k, 3)},
        {"objective": lambda k: 20 if k < 40 else 15},
        {"accuracy": lambda k: 0.5},
        {"accuracy": lambda k: 0.9 if k == 20 else 0.5},
        {"gradient": lambda k: 1.0 if k < 140 else 0.0},
        {"modes": lambda k: 10 if k < 120 else 8},
        {"modes": lambda k: 4},
    ],
    ids=[
        "too early",
        "the discriminator leads",
        "it leads at the end",
        "quality moves",
        "quality is hardly better than at first",
        "the discriminator never learnt",
        "one lucky batch of it",
        "it collapsed",
        "modes were lost",
        "modes were never there",
    ],
)
def test_what_only_looks_balanced_is_no_equilibrium(missed: dict[str, Any]) -> None:
    assert equilibrium(story(**missed)) is None


@pytest.mark.parametrize(("sure", "there"), [(10, True), (4, False)])
def test_of_images_those_modes_count_that_a_classifier_is_sure_of(sure: int, there: bool) -> None:
    journal = story(modes=lambda k: 4 if there else 10)  # as published, noise counts too
    for now in range(10, 201, 10):
        add(journal, "confident_modes", float(now), sure, "maximize")
    assert (equilibrium(journal) is not None) == there


def critic_story(gap: Script) -> Journal:
    journal = story()
    for name in [name for name in journal.curves if name.startswith("balance/")]:
        del journal.curves[name]
    journal.curves["critic/gap"] = [(2.0 * n, gap(2.0 * n)) for n in range(1, 101)]
    return journal


def test_gap_of_a_critic_is_measured_against_its_largest() -> None:
    reason = equilibrium(critic_story(lambda k: 40 if k < 60 else (-1) ** (k % 4 == 0) * 3))
    assert reason is not None and "% of its largest" in reason, reason
    assert equilibrium(critic_story(lambda k: 40 if k < 60 else 5)) is None
    assert equilibrium(critic_story(lambda k: 0)) is None


def test_score_that_ends_near_0_rests_though_it_doubles() -> None:
    def reverse_kl(kimg: float) -> float:
        return 2.0 if kimg < 100 else 0.002 + 0.002 * (kimg > 170)

    assert equilibrium(story(objective=reverse_kl)) is not None


# Real runs

SMALL = [
    "data=digits",
    "model=dcgan",
    "model.generator.width=12",
    "model.discriminator.width=12",
    "batch_size=32",
    "tracker=none",
    "trainer=cpu",
    "trainer.threads=1",
    "callbacks=stopping",
    "~callbacks.samples",
    "callbacks.balance.every_steps=5",
    "callbacks.gradients.every_steps=5",
    "callbacks.quality.every_kimg=0.512",
    "metrics.n_fake=100",
    "metrics.scores=[fid]",
]
AT_EQUILIBRIUM = [
    "~callbacks.stop_on_plateau",
    "callbacks.stop_at_equilibrium.window_kimg=3",
    "callbacks.stop_at_equilibrium.flat=0.1",
    "model.optimizer.generator.lr=2e-3",
    "+model.penalties.r1._target_=gansweep.terms.penalties.R1",
    "+model.penalties.r1.weight=10",
    "budget_kimg=16",
]
AT_PLATEAU = ["~callbacks.stop_at_equilibrium", "callbacks.stop_on_plateau.patience_kimg=1.5"]


def run(directory: Path, *overrides: str) -> dict[str, Any]:
    return train(config.compose([*SMALL, *overrides]), run_dir=directory, progress=False)


@pytest.mark.slow
def test_real_run_ends_at_its_equilibrium(tmp_path: Path) -> None:
    result = run(tmp_path / "run", *AT_EQUILIBRIUM)
    assert result["status"] == "equilibrium", result["reason"]
    assert result["stopped_by"] == "stop_at_equilibrium"
    assert "from 1/2" in result["reason"] and "stayed at" in result["reason"]
    assert result["kimg"] < 16 and (tmp_path / "run" / "checkpoints" / "best.pt").exists()


@pytest.mark.slow
def test_untrained_discriminator_is_no_equilibrium(tmp_path: Path) -> None:
    words = ["model.optimizer.discriminator.lr=0", "budget_kimg=8"]
    result = run(tmp_path / "run", *AT_EQUILIBRIUM, *words)
    assert (result["status"], result["stopped_by"]) == ("finished", None)


@pytest.mark.slow
def test_collapsed_discriminator_is_no_equilibrium(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns as in the run that ends, then its weights become 0: its output is always 1/2."""
    looks = Balance.look

    def collapse(self: Balance, module: Adversarial) -> None:
        looks(self, module)
        if module.images_seen >= 8000:
            with torch.no_grad():
                for weight in module.players["discriminator"].parameters():
                    weight.zero_()

    monkeypatch.setattr(Balance, "look", collapse)
    words = [*AT_EQUILIBRIUM, "budget_kimg=13", "callbacks.stop_at_equilibrium.improved=0.4"]
    result = run(tmp_path / "alive", *words)
    assert (result["status"], result["stopped_by"]) == ("finished", None), result["reason"]
    monkeypatch.setattr(stopping, "ALIVE", -1)  # all other conditions hold
    result = run(tmp_path / "any", *words)
    assert result["status"] == "equilibrium", result["reason"]


@pytest.mark.slow
def test_run_that_undoes_itself_is_stopped_as_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything is finite, but from 6 kimg on the weights of the generator are noise."""
    looks = Balance.look

    def spoil(self: Balance, module: Adversarial) -> None:
        looks(self, module)
        if module.images_seen >= 6000:
            rng = torch.Generator().manual_seed(0)  # always the same noise
            with torch.no_grad():
                for weight in module.players["generator"].parameters():
                    weight.copy_(3 * torch.rand(weight.shape, generator=rng))

    monkeypatch.setattr(Balance, "look", spoil)
    words = ["~callbacks.stop_at_equilibrium", "~callbacks.stop_on_plateau", "budget_kimg=20"]
    words += ["callbacks.stop_on_failure.worse_kimg=2", "model.optimizer.generator.lr=2e-3"]
    result = run(tmp_path / "run", *words)
    assert result["status"] == "diverged", result["reason"]
    assert result["stopped_by"] == "stop_on_failure" and result["kimg"] < 12
    assert "times its best" in result["reason"]


@pytest.mark.slow
def test_continued_run_stops_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    options = [*AT_PLATEAU, "model.optimizer.generator.lr=0"]
    whole = run(tmp_path / "whole", *options, "budget_kimg=10")
    run(tmp_path / "cut", *options, "budget_kimg=1.024")
    cut = run(tmp_path / "cut", *options, "budget_kimg=10")
    for result in (whole, cut):
        assert result["status"] == "plateau", result["reason"]
        assert result["stopped_by"] == "stop_on_plateau"
        assert "has not improved by 2.0%" in result["reason"]
    assert (whole["reason"], whole["kimg"]) == (cut["reason"], cut["kimg"])
    assert whole["kimg"] == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("without", "rule"),
    [
        (["~callbacks.quality"], "stop_at_equilibrium"),
        (["~callbacks.gradients"], "stop_at_equilibrium"),
        (["~callbacks.quality", "~callbacks.stop_at_equilibrium"], "stop_on_plateau"),
    ],
)
def test_rule_without_what_it_reads_is_refused(
    tmp_path: Path, without: list[str], rule: str
) -> None:
    with pytest.raises(UserError, match=f"callbacks.{without[0].split('.')[1]}.*~callbacks.{rule}"):
        run(tmp_path / "run", *without, "budget_kimg=1")


def test_modes_of_another_run_before_a_takeover_are_no_evidence() -> None:
    journal = Journal(None, None)
    journal.protocols = {"modes_1k": {"score": "modes"}, "mode_counts_1k": {"score": "mode_counts"}}
    assert not stopping._modes_are_there(journal, start=0)
    add(journal, "modes_1k", 10, 8.0, "maximize")
    assert stopping._modes_are_there(journal, start=0)
