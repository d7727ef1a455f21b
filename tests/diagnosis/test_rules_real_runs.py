"""The rules on short real runs: each failure is found where it happens, and nothing elsewhere.

The failing runs are far beyond the limits of the rules, so that hardware that rounds differently
fails alike.
"""

import functools
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gansweep.config import compose as config
from gansweep.diagnosis.evidence import evidence_of
from gansweep.diagnosis.findings import Finding
from gansweep.diagnosis.rules import diagnose
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.run.train import train

pytestmark = pytest.mark.slow

GENERATOR = "model.optimizer.generator.lr"
DISCRIMINATOR = "model.optimizer.discriminator.lr"
WATCHED = [
    *("tracker=none", "trainer=cpu", "~callbacks.samples", "~callbacks.checkpoint"),
    *(f"callbacks.{name}.every_steps=20" for name in ("losses", "balance", "gradients")),
]
RING = [
    *("data=ring", "data.sigma=0.1", "data.n_train=5000", "batch_size=128", "model.latent_dim=4"),
    *("model.points.generator.width=64", "model.points.discriminator.width=64"),
]
NARROW = "data.sigma=0.02"
LINEAR = [  # the Dirac-GAN: one Gaussian, a linear generator, a linear discriminator
    *("data.modes=1", "model.points.generator.depth=0", "model.points.generator.width=4"),
    *("model.points.discriminator.depth=0", "model.points.discriminator.width=2"),
]
DIGITS = [
    *("data=digits", "model.generator.width=16", "model.discriminator.width=16", "batch_size=64"),
    *("metrics.n_fake=500", "callbacks.quality.every_kimg=4", "~callbacks.overfitting"),
]
FEW_DIGITS = [
    *("data._target_=diagnosis_data.FewDigits", "+data.keep=8", "batch_size=8"),
    *("extra_packages=[diagnosis_data]", "metrics.min_test_accuracy=0.01"),
    *("metrics.scores=[fid,memorisation]", "callbacks.quality.every_kimg=1"),
    *("model.generator.width=128", "model.discriminator.width=64", "~callbacks.overfitting"),
]


def r1(weight: float) -> list[str]:
    node = "+model.penalties.r1"
    return [f"{node}._target_=gansweep.terms.penalties.R1", f"{node}.weight={weight}"]


# rule -> a run that shows it
FAILING = {
    "mode_collapse": ["model=gan", *RING, f"{GENERATOR}=1e-3", "budget_kimg=100"],
    "vanishing_gradient": [
        *("model=gan", *RING, NARROW, "model.loss._target_=gansweep.terms.losses.Minimax"),
        *(f"{GENERATOR}=1e-5", f"{DISCRIMINATOR}=3e-3", "budget_kimg=80"),
    ],
    "discriminator_overpowers": [
        *("model=gan", *RING, NARROW, f"{GENERATOR}=1e-5", f"{DISCRIMINATOR}=3e-3"),
        "budget_kimg=60",
    ],
    "discriminator_fooled": [
        *("model=gan", *RING, f"{GENERATOR}=3e-3", f"{DISCRIMINATOR}=1e-7", "budget_kimg=40"),
    ],
    "divergence": [
        *("model=wgan", *RING, "model.weight_clip=null", f"{GENERATOR}=0.1"),
        *(f"{DISCRIMINATOR}=1", "budget_kimg=40"),
    ],
    "oscillation": [
        *("model=gan", *RING, *LINEAR, f"{GENERATOR}=1e-2", "budget_kimg=60"),
        "callbacks.quality.every_kimg=2",
    ],
    "over_generalisation": [
        *("model=gan", *RING, NARROW, f"{GENERATOR}=1e-3", *r1(1000), "budget_kimg=60"),
    ],
    "memorisation": ["model=gan", *FEW_DIGITS, f"{GENERATOR}=1e-3", "budget_kimg=8"],
    "slow_convergence": ["model=gan", *RING, f"{GENERATOR}=1e-3", *r1(0.1), "budget_kimg=70"],
}
HEALTHY = {
    **{
        f"gan with r1, seed {seed}": [
            *("model=gan", *RING, f"{GENERATOR}=1e-3", *r1(0.1), "budget_kimg=120"),
            f"seed={seed}",
        ]
        for seed in range(3)
    },
    **{
        f"wgan_gp, seed {seed}": [
            *("model=wgan_gp", *RING, f"{GENERATOR}=1e-3", "model.n_critic=2", f"seed={seed}"),
            *("model.penalties.gradient.weight=1", "budget_kimg=150"),
            *("model.lr_schedule=null", "model.shared_noise=true", "model.generator_batch=1"),
        ]
        for seed in range(2)
    },
    "lsgan with r1": ["model=lsgan", *RING, f"{GENERATOR}=1e-3", *r1(0.3), "budget_kimg=70"],
    "dcgan on digits": ["model=dcgan", *DIGITS, f"{GENERATOR}=1e-3", "budget_kimg=40"],
}


@dataclass
class Trained:
    """A run, the doctor's findings, and the findings that were reported while it trained."""

    directory: Path
    findings: list[Finding]
    alerts: list[dict[str, Any]]

    def rules(self, severity: str) -> set[str]:
        return {finding.rule for finding in self.findings if finding.severity == severity}


def trained(directory: Path, overrides: list[str]) -> Trained:
    train(config.compose(overrides), run_dir=directory, progress=False, overrides=overrides)
    (run,) = load([directory])
    alerts = [row["finding"] for row in RunRecord(directory).history() if "finding" in row]
    return Trained(directory, diagnose(evidence_of(run)), alerts)


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trained]:
    """`failing(rule)`: the run that shows it, trained once."""

    @functools.cache
    def run(rule: str) -> Trained:
        folder = tmp_path_factory.mktemp(rule)
        with pytest.MonkeyPatch.context() as patch:
            if rule == "memorisation":  # no other run uses its classifier
                patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
            return trained(folder / "run", [*WATCHED, *FAILING[rule]])

    return run


@pytest.mark.parametrize("rule", FAILING)
def test_a_run_that_fails_is_found_by_its_rule(
    rule: str, failing: Callable[[str], Trained]
) -> None:
    done = failing(rule)
    found = {finding.rule: finding for finding in done.findings}
    assert rule in found, [finding.text for finding in done.findings]
    assert found[rule].remedies
    assert rule in {alert["rule"] for alert in done.alerts}
    assert (found[rule].severity == "warning") == (rule == "slow_convergence")


@pytest.mark.parametrize("name", HEALTHY)
def test_a_healthy_run_is_told_of_no_failure(name: str, tmp_path: Path) -> None:
    done = trained(tmp_path / "run", [*WATCHED, *HEALTHY[name]])
    assert not done.rules("failure"), [finding.text for finding in done.findings]
    assert done.rules("warning") <= {"slow_convergence"}
    assert not [alert for alert in done.alerts if alert["severity"] == "failure"]


@pytest.mark.parametrize(
    "rule", ["mode_collapse", "discriminator_overpowers", "discriminator_fooled"]
)
def test_the_first_remedy_heals(
    rule: str, tmp_path: Path, failing: Callable[[str], Trained]
) -> None:
    (finding,) = [finding for finding in failing(rule).findings if finding.rule == rule]
    command = shlex.split(finding.remedies[0].command)[2:]
    assert rule not in {one.rule for one in trained(tmp_path / "well", command).findings}
