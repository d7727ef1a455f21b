"""Storages that go away for a while: calls wait, trials go on, reports come late."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
import pytest
import sweep_fakes
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial
from processes import Processes, said_by, wait_until
from sweep_processes import (
    COMMAND,
    UNCONFIRMED,
    held,
    lines,
    wait_until_held,
    words_of_a_sweep,
)

from gansweep.engine import reporting
from gansweep.engine.reporting import Reporter
from gansweep.engine.storage import retrying_storage
from gansweep.engine.storage.retrying_storage import (
    Retries,
    RetryingStorage,
    StorageOutageError,
    View,
)
from gansweep.engine.storage.storage import open_storage
from gansweep.engine.study import SweepStudy

if TYPE_CHECKING:
    from postgres import Postgres

pytestmark = pytest.mark.usefixtures("importable_fakes")
Where = Callable[[str], str]


def test_section_begins_again_where_its_lock_was_lost(
    tmp_path: Path, where: Where, postgres: Postgres
) -> None:
    storage = open_storage(tmp_path / "s", where("postgresql"))
    study = optuna.create_study(storage=storage.optuna, study_name="s/trials")
    tries = []

    def section() -> int:
        tries.append(len(study.trials))
        if len(tries) == 1:
            study.enqueue_trial({}, user_attrs={"key": "t0000"})
            postgres.stop()
            postgres.start()
        study.set_user_attr("tries", len(tries))
        return len(study.get_trials())

    assert storage.exclusively(section) == 1
    assert study.user_attrs["tries"] == 2
    assert tries == [0, 1], "what was done before the outage is seen, and not done twice"
    assert storage.exclusively(lambda: len(study.trials)) == 1


@pytest.mark.slow
def test_training_goes_on_while_the_storage_is_away(
    tmp_path: Path, where: Where, postgres: Postgres, processes: Processes
) -> None:
    storage = f"storage={where('postgresql')}"
    words = words_of_a_sweep(tmp_path, storage, "n_trials=2", "workers=1", UNCONFIRMED)
    directory, said = tmp_path / "runs" / "s", tmp_path / "said"
    reported = [said, directory / "workers" / "w0.log"]
    file = held(tmp_path, "t0000")
    with open(said, "w") as of_the_command:
        process = processes(*COMMAND, *words, stderr=of_the_command)
    wait_until_held(directory, "t0000")
    postgres.stop()
    try:
        file.unlink()
        wait_until(lambda: lines(directory / "t0000" / "ends"))
        wait_until(lambda: all("cannot be reached" in path.read_text() for path in reported))
    finally:
        postgres.start()
    said_by(process)
    assert process.returncode == 0, said.read_text()
    study = SweepStudy(directory)
    assert [t.state for t in study.trials.trials] == 2 * [TrialState.COMPLETE]
    assert all(len(t.intermediate_values) == sweep_fakes.STEPS for t in study.trials.trials)
    for text in map(Path.read_text, reported):
        assert text.count("cannot be reached") == text.count("is back") == 1, text
        assert "Traceback" not in text


class Away(InMemoryStorage):
    """A storage that fails with `error` as often as `times` says."""

    error: Exception = OSError(errno.ESTALE, "Stale file handle")
    times = 0

    def get_all_studies(self) -> Any:
        if self.times:
            self.times -= 1
            raise self.error
        return super().get_all_studies()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying_storage, "PAUSES", (0.001, 0.002))
    monkeypatch.setattr(retrying_storage, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(retrying_storage, "REPORT_AFTER_SECONDS", 0.0)


def test_calls_wait_for_the_end_of_an_outage_and_tell_of_it_once(
    quick: None, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Away()
    storage = RetryingStorage(away, Retries("postgresql://there/db"))
    for _ in range(2):
        away.times = 7
        assert storage.get_all_studies() == []
        reported = capsys.readouterr().err.splitlines()
        assert len(reported) == 2
        assert "there/db cannot be reached ([Errno 116] Stale file handle)" in reported[0]
        assert reported[1] == "The sweep's storage postgresql://there/db is back."


def test_what_is_no_outage_passes_through(quick: None) -> None:
    away = Away()
    away.error, away.times = KeyError("no such study"), 1
    with pytest.raises(KeyError):
        RetryingStorage(away, Retries("there")).get_all_studies()


def test_an_outage_ends_a_call_that_does_not_wait_after_some_tries(quick: None) -> None:
    away, of_a_reader = Away(), Retries("there")
    away.times, of_a_reader.ends = 10**6, lambda: True
    with pytest.raises(StorageOutageError, match="cannot be reached .* it runs again"):
        RetryingStorage(away, of_a_reader).get_all_studies()
    assert 10**6 - away.times == retrying_storage.LEAST_TRIES


def test_within_a_section_no_call_waits(quick: None) -> None:
    away, bearing = Away(), Retries("there")
    away.times = 1
    with bearing.in_section(), pytest.raises(OSError, match="Stale"):
        RetryingStorage(away, bearing).get_all_studies()


def test_view_of_a_section_agrees_with_the_storage() -> None:
    storage, draw = InMemoryStorage(), random.Random(0)
    studies = [storage.create_new_study([StudyDirection.MINIMIZE], name) for name in "ab"]
    view, ids = View(), []
    for number in range(200):
        name, args = draw.choice(
            [
                (
                    "create_new_trial",
                    (draw.choice(studies), create_trial(state=TrialState.RUNNING)),
                ),
                ("set_trial_user_attr", (draw.choice(ids or [0]), "n", number)),
                ("set_trial_intermediate_value", (draw.choice(ids or [0]), number, 1.0)),
            ]
        )
        if ids or name == "create_new_trial":
            answer = getattr(storage, name)(*args)
            ids += [answer] if name == "create_new_trial" else []
            view.note(name, args, answer)
        if number % 3 == 0:
            study = draw.choice(studies)
            assert view.trials(storage, study) == storage.get_all_trials(study)


def test_reporter_answers_by_the_pruner_while_the_storage_answers() -> None:
    seen: list[float] = []
    reporter = Reporter(lambda kimg, value: bool(seen.append(kimg)) or value > 2)
    assert [reporter.ask(k, k) for k in (1.0, 2.0, 3.0)] == [False, False, True]
    assert seen == [1.0, 2.0, 3.0]
    assert reporter.join() is True


def test_reporter_lets_the_child_go_on_and_gives_the_verdict_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reporting, "ANSWER_SECONDS", 0.05)
    back, seen = threading.Event(), []

    def report(kimg: float, value: float) -> bool:
        back.wait()
        seen.append(kimg)
        return kimg == 1.0

    reporter = Reporter(report)
    began = time.monotonic()
    assert [reporter.ask(1.0 + k, 0.0) for k in range(200)] == 200 * [False]
    assert time.monotonic() - began < 200 * 0.05, "only the first score was waited for"
    back.set()
    wait_until(lambda: len(seen) == 200)
    assert reporter.ask(201.0, 0.0) is True, "the first score's verdict"
    reporter.join()
    assert seen == [1.0 + k for k in range(201)], "in their order"


def test_reporter_passes_on_that_the_trial_was_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "ANSWER_SECONDS", 0.05)
    back = threading.Event()

    def report(kimg: float, value: float) -> bool:
        back.wait()
        raise UpdateFinishedTrialError

    reporter = Reporter(report)
    assert reporter.ask(1.0, 0.0) is False
    back.set()
    with pytest.raises(UpdateFinishedTrialError):
        reporter.join()
    with pytest.raises(UpdateFinishedTrialError):
        reporter.ask(2.0, 0.0)


def test_reporter_that_was_asked_nothing_has_no_thread_to_join() -> None:
    before = set(threading.enumerate())
    assert Reporter(lambda kimg, value: True).join() is False
    assert set(threading.enumerate()) <= before
