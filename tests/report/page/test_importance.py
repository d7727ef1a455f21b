import math
import random
from pathlib import Path
from typing import Any

import optuna
import pytest
from report_records import FID, part_of_sweep, write_run

from gansweep.judging.leaderboard import leaderboard
from gansweep.judging.trials import trials_of
from gansweep.records.read import Run, load
from gansweep.report.page.importance import hyperparameter_importance
from gansweep.report.page.search_part import remarks


def trials(directory: Path, outcomes: list[tuple[dict[str, Any], float, str]]) -> list[Run]:
    for number, (params, value, status) in enumerate(outcomes):
        key = f"t{number:04d}"
        sweep = part_of_sweep(key, params)
        write_run(directory / key, scores={FID: [value]}, status=status, sweep=sweep)
    return load([directory])


def test_the_parameter_that_decides_is_the_important_one(tmp_path: Path) -> None:
    rng = random.Random(0)
    outcomes = []
    for _ in range(30):
        params = {"lr": 10 ** rng.uniform(-5, -2), "width": rng.choice([8, 16]), "same": 1}
        outcomes.append((params, 1000 * params["lr"] + rng.random() * 0.1, "finished"))
    found = hyperparameter_importance(trials(tmp_path, outcomes), FID, "minimize")
    assert list(found.shares)[0] == "lr" and found.shares["lr"] > 0.9
    assert "same" not in found.shares
    assert sum(found.shares.values()) == pytest.approx(1)
    assert found.explained is not None and found.explained > 0.7


def test_categorical_and_conditional_parameters_are_handled(tmp_path: Path) -> None:
    rng = random.Random(1)
    outcomes = []
    for number in range(36):
        model = ("gan", "wgan_gp", "r3gan")[number % 3]
        params: dict[str, Any] = {"model": model}
        value = {"gan": 50.0, "wgan_gp": 20.0, "r3gan": 35.0}[model] + rng.random()
        if model == "wgan_gp":
            params["weight"] = rng.choice([1.0, 10.0])
            value += params["weight"]
        outcomes.append((params, value, "finished"))
    found = hyperparameter_importance(trials(tmp_path, outcomes), FID, "minimize")
    assert set(found.shares) == {"model", "weight"}
    assert found.shares["model"] > found.shares["weight"] > 0


def test_numbers_beyond_32_bits_are_levels(tmp_path: Path) -> None:
    outcomes = [
        (
            {"lr": number / 16, "bound": (1e-320, 1e308)[number % 2]},
            number % 2 + number / 99,
            "finished",
        )
        for number in range(16)
    ]
    found = hyperparameter_importance(trials(tmp_path, outcomes), FID, "minimize")
    assert next(iter(found.shares)) == "bound"


def test_a_setting_that_only_the_model_decides_counts_as_the_model(tmp_path: Path) -> None:
    rng = random.Random(2)
    outcomes: list[tuple[dict[str, Any], float, str]] = []
    for number in range(36):
        model, width = (("gan", 256), ("dcgan", 32), ("wgan_gp", 16))[number % 3]
        lr = rng.choice([0.1, 0.2])
        params = {"model": model, "width": width, "lr": lr}
        outcomes.append((params, width + lr + rng.random(), "finished"))
    runs = trials(tmp_path, outcomes)
    found = hyperparameter_importance(runs, FID, "minimize")
    assert list(found.shares) == ["model", "lr"] and found.shares["model"] > 0.9
    assert "width is decided by the model" in remarks(leaderboard(runs), trials_of(runs), found)


def test_a_diverged_trial_counts_as_the_worst_and_a_pruned_one_not_at_all(tmp_path: Path) -> None:
    outcomes: list[tuple[dict[str, Any], float, str]] = []
    for number in range(24):
        # the diverged trials had the lowest values before they diverged
        fails = number % 2 == 0
        value, status = (1.0, "diverged") if fails else (20.0 + number / 100, "finished")
        outcomes.append(({"lr": 1.0 if fails else 0.1, "other": number % 4}, value, status))
    outcomes.append(({"lr": 0.5, "other": 0}, 5.0, "pruned"))
    found = hyperparameter_importance(trials(tmp_path, outcomes), FID, "minimize")
    assert found.n_trials == 24
    assert found.shares["lr"] > 0.9


def test_few_trials_give_a_reason_instead_of_importance(tmp_path: Path) -> None:
    outcomes = [({"lr": n / 10}, float(n), "finished") for n in range(5)]
    found = hyperparameter_importance(trials(tmp_path, outcomes), FID, "minimize")
    assert found.shares == {} and "5 trials" in found.reason and "too few" in found.reason


def test_outcomes_drawn_at_random_are_seldom_explained(tmp_path: Path) -> None:
    reasons = []
    for seed in range(6):
        rng = random.Random(seed)
        outcomes = [
            ({"lr": rng.random(), "width": rng.choice([8, 16])}, rng.random(), "finished")
            for _ in range(20)
        ]
        runs = trials(tmp_path / str(seed), outcomes)
        reasons.append(hyperparameter_importance(runs, FID, "minimize").reason)
    assert sum("do not show" in reason for reason in reasons) >= 5


def fanova(outcomes: list[tuple[dict[str, Any], float, str]]) -> list[str]:
    """The parameters by Optuna's importance, largest first."""
    choice = optuna.distributions.CategoricalDistribution
    lr = optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True)
    weight = optuna.distributions.FloatDistribution(0.1, 100, log=True)
    kinds = {"lr": lr, "weight": weight, "width": choice([8, 16]), "model": choice(["gan", "wgan"])}
    study = optuna.create_study()
    for params, value, _ in outcomes:
        spaces = {name: kinds[name] for name in params}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=spaces, value=value))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=32, seed=0)
    return list(optuna.importance.get_param_importances(study, evaluator=evaluator))


def test_the_order_agrees_with_fanova_which_leaves_out_conditional_parameters(
    tmp_path: Path,
) -> None:
    rng = random.Random(3)
    plain, conditional = [], []
    for number in range(40):
        params: dict[str, Any] = {"lr": 10 ** rng.uniform(-5, -2), "width": rng.choice([8, 16])}
        value = 3 * math.log10(params["lr"]) + params["width"] / 4 + rng.gauss(0, 0.1)
        plain.append((params, value, "finished"))
        params = {"model": ("gan", "wgan")[number % 2], "width": rng.choice([8, 16])}
        value = rng.gauss(0, 0.1)
        if params["model"] == "wgan":
            params["weight"] = 10 ** rng.uniform(-1, 2)
            value += 3 * math.log10(params["weight"])
        conditional.append((params, value, "finished"))
    found = hyperparameter_importance(trials(tmp_path / "plain", plain), FID, "minimize")
    assert list(found.shares) == fanova(plain) == ["lr", "width"]
    found = hyperparameter_importance(trials(tmp_path / "other", conditional), FID, "minimize")
    assert set(found.shares) == {"weight", "model", "width"} and found.shares["weight"] > 0.9
    assert set(fanova(conditional)) == {"model", "width"}
