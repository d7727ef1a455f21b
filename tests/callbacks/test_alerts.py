"""Alerts while a run trains: each finding once, also if the run is continued."""

import math
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from diagnosis_evidence import scored

from gansweep.callbacks.alerts import Alerts
from gansweep.callbacks.journal import Journal
from gansweep.config import compose as config
from gansweep.diagnosis.findings import Finding
from gansweep.metrics.protocol import Score
from gansweep.models.adversarial import Adversarial
from gansweep.records.record import RunRecord
from gansweep.run.train import train

MAIN: Any = SimpleNamespace(is_global_zero=True)
GOOD, BAD = [125.0] * 8, [1000.0, *[0.0] * 7]
UNEVEN = [450.0, *[79.0] * 7]


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    record = RunRecord.create(tmp_path / "run", yaml.safe_dump({"budget_kimg": 20}))
    return Journal(record, None)


def alerts_of(journal: Journal) -> Alerts:
    made = Alerts()
    made.journal = journal
    return made


def evaluate(journal: Journal, kimg: int, counts: Sequence[float]) -> None:
    total = sum(counts)
    kl = math.fsum(c / total * math.log(8 * c / total) for c in counts if c)
    values: dict[str, Any] = {
        "reverse_kl": kl,
        "modes": float(sum(c > 0 for c in counts)),
        "mode_counts": list(counts),
    }
    scores = {word: Score(value, scored(word)) for word, value in values.items()}
    journal.objective = "reverse_kl"
    journal.score(1000 * kimg, scores)


def step(alerts: Alerts, kimg: float) -> None:
    module: Any = SimpleNamespace(images_seen=round(1000 * kimg), declared=dict)
    alerts.after_step(MAIN, module, 1)


def put_out(journal: Journal) -> list[tuple[float, str, str]]:
    assert journal.record is not None
    rows = [row for row in journal.record.history() if "finding" in row]
    return [(row["kimg"], row["finding"]["rule"], row["finding"]["severity"]) for row in rows]


def collapses(journal: Journal) -> list[float]:
    return [kimg for kimg, rule, _ in put_out(journal) if rule == "mode_collapse"]


def play(journal: Journal, alerts: Alerts, course: Sequence[Sequence[float]], start: int) -> None:
    for kimg, counts in enumerate(course, start=start):
        evaluate(journal, kimg, counts)
        step(alerts, kimg)


def test_a_finding_is_reported_once_in_one_line(
    journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    play(journal, alerts_of(journal), [BAD] * 20, 1)
    assert put_out(journal) == [(10.0, "mode_collapse", "failure")]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("gansweep: failure at 10 kimg: Mode collapse. The samples fill 1 of 8")


def test_nothing_is_judged_between_two_evaluations(journal: Journal) -> None:
    alerts = alerts_of(journal)
    play(journal, alerts, [BAD] * 9, 1)
    for kimg in (9.5, 15.0, 20.0):
        journal.log(round(1000 * kimg), {"loss/generator": float("nan")})
        step(alerts, kimg)
    assert put_out(journal) == []
    evaluate(journal, 21, BAD)
    step(alerts, 21)
    assert put_out(journal) == [(21.0, "divergence", "failure")]


def test_a_finding_that_was_gone_for_two_evaluations_is_news_again(journal: Journal) -> None:
    alerts = alerts_of(journal)
    play(journal, alerts, [BAD] * 12, 1)
    play(journal, alerts, [GOOD], 13)
    play(journal, alerts, [BAD] * 2, 14)  # it was absent only once: not reported again
    assert collapses(journal) == [10]
    play(journal, alerts, [GOOD] * 2, 16)
    play(journal, alerts, [BAD] * 6, 18)
    assert collapses(journal) == [10, 18]


def test_a_warning_that_becomes_a_failure_is_reported_again(journal: Journal) -> None:
    play(journal, alerts_of(journal), [UNEVEN] * 12 + [BAD] * 12, 1)
    severities = [severity for _, _, severity in put_out(journal)]
    assert severities == ["warning", "failure"]


def at(images: int) -> Adversarial:
    module = Adversarial.__new__(Adversarial)
    object.__setattr__(module, "images_seen", images)
    object.__setattr__(module, "budget_kimg", 20.0)
    object.__setattr__(module, "declared", dict)
    return module


def test_a_verdict_is_reported_at_the_end(journal: Journal) -> None:
    alerts = alerts_of(journal)
    journal.log(3000, {"loss/generator": float("nan")})
    journal.stop("diverged", "loss/generator is nan", 3000)
    alerts.on_train_end(MAIN, at(3000))
    assert put_out(journal) == [(3.0, "divergence", "failure")]


@pytest.mark.parametrize("verdict", ["interrupted", None])
def test_an_interruption_and_a_pause_are_no_evaluations(
    journal: Journal, verdict: str | None
) -> None:
    first = alerts_of(journal)
    play(journal, first, [BAD] * 12, 1)
    play(journal, first, [GOOD], 13)
    if verdict is not None:
        journal.stop(verdict, "SIGTERM", 13_500)
    first.on_train_end(MAIN, at(13_500))
    journal.verdict = None
    again = alerts_of(journal)
    again.load_state_dict(first.state_dict())
    play(journal, again, [BAD] * 2, 14)  # it was absent only once: not reported again
    assert collapses(journal) == [10]


def test_a_run_that_took_weights_over_and_ends_before_its_first_score_is_judged(
    journal: Journal,
) -> None:
    """Its protocols are the source's, and it has no score of its own (see takeover.py)."""
    journal.protocols["mode_counts"] = scored("mode_counts")
    journal.log(3000, {"loss/generator": float("nan")})
    alerts = alerts_of(journal)
    alerts._judge(SimpleNamespace(images_seen=3000, declared=dict), "running")  # type: ignore[arg-type]
    assert put_out(journal) == [(3.0, "divergence", "failure")]


def test_reported_findings_are_known_after_a_resume(journal: Journal) -> None:
    first = alerts_of(journal)
    play(journal, first, [BAD] * 12, 1)
    again = alerts_of(journal)
    again.load_state_dict(first.state_dict())
    play(journal, again, [BAD] * 6, 13)
    assert len(put_out(journal)) == 1


def test_every_finding_reaches_the_journal_for_its_tracker(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Finding] = []
    monkeypatch.setattr(journal, "find", lambda images, finding: found.append(finding))
    play(journal, alerts_of(journal), [BAD] * 12, 1)
    assert [finding.rule for finding in found] == ["mode_collapse"]
    assert found[0].title == "Mode collapse"


@pytest.mark.slow
def test_a_resumed_run_puts_out_what_an_uninterrupted_one_does(tmp_path: Path) -> None:
    def words(budget: int) -> list[str]:
        return [
            *("model=gan", "data=ring", "data.sigma=0.1", "data.n_train=5000", "batch_size=128"),
            *("model.latent_dim=4", "model.optimizer.generator.lr=1e-3", f"budget_kimg={budget}"),
            *("model.points.generator.width=64", "model.points.discriminator.width=64"),
            *("tracker=none", "trainer=cpu", "~callbacks.samples"),
        ]

    train(config.compose(words(80)), run_dir=tmp_path / "whole", progress=False)
    train(config.compose(words(80)), run_dir=tmp_path / "cut", progress=False, on_score=_stop_at(5))
    train(config.compose(words(80)), run_dir=tmp_path / "cut", progress=False)

    def rows(name: str) -> list[tuple[float, str]]:
        history = RunRecord(tmp_path / name).history()
        return [(row["kimg"], row["finding"]["rule"]) for row in history if "finding" in row]

    assert rows("whole") and rows("cut") == rows("whole")


def _stop_at(count: int) -> Any:
    """Ends the run, as a pruner does, at its `count`-th evaluation."""
    clocks: list[float] = []

    def on_score(kimg: float, scores: dict[str, float]) -> bool:
        clocks.append(kimg)
        return len(clocks) == count

    return on_score
