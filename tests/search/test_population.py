"""Population-based training: what the study decides, and members that nothing can kill."""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import population_fakes
import pytest
from population_fakes import BUDGET, RATE
from rich.console import Console
from sweep_processes import one_worker_here
from sweep_studies import begin, settings

from gansweep.cli.sweep_run import run_sweep
from gansweep.cli.sweep_table import LiveTable
from gansweep.engine.attempt import Attempt
from gansweep.engine.status import status_of
from gansweep.engine.storage.repair import repair
from gansweep.engine.study import SweepStudy
from gansweep.engine.watch import Watch
from gansweep.errors import UserError
from gansweep.records.record import RunRecord
from gansweep.search.population import units_of
from gansweep.search.settings import Settings
from gansweep.search.space import Space
from gansweep.search.trials import trials_of

pytestmark = pytest.mark.usefixtures("importable_fakes")
EVERY = 2  # kimg of a generation  # kimg of a generation
GENERATIONS = BUDGET // EVERY


def make(directory: Path, members: int = 4, **population: Any) -> SweepStudy:
    chosen = settings(
        n_trials=members,
        budget_kimg=6.0,
        space={RATE: "interval(0.1, 0.9)"},
        sampler={"name": "population", "seed": 0, "startup_trials": 3},
        confirm={"top": 1, "per": "config", "seeds": 2},
        population={"every_kimg": 2, "share": 0.25, "factors": [0.5], "resample": 0} | population,
    )
    return SweepStudy.create(directory, chosen, Space.parse(chosen.space))


def end(study: SweepStudy, attempt: Attempt, value: float | None) -> str:
    """The unit's training, and how it is reported; None: it diverged."""
    (planned,) = attempt.runs
    record = RunRecord.create(study.run_dir(planned.name), "a: 1\n")
    (record.checkpoints / "last.pt").unlink(missing_ok=True)
    (record.checkpoints / "last.pt").write_text(attempt.key)
    last = {} if value is None else {"fid_x": {"value": value, "kimg": 1.0}}
    ended = "finished" if planned.until_kimg is None else "paused"
    record.write_result(
        {
            "status": "diverged" if value is None else ended,
            "kimg": planned.until_kimg or 6.0,
            "last": last,
            "protocols": {"fid_x": {"score": "fid"}},
            "sweep": attempt.sweep_entry(study.settings, planned, study.directory),
        }
    )
    study.finish(attempt, "itself")
    return attempt.key


def test_least_advanced_member_goes_on_and_nobody_waits(tmp_path: Path) -> None:
    study = make(tmp_path)
    first = begin(study)
    keys = [end(study, begin(study), 1.0) for _ in range(9)]
    assert first.key == "t0000-g00"
    # the three others run to their end while the first is still in its first generation
    assert keys == [f"t000{m}-g0{g}" for g in range(3) for m in (1, 2, 3)]
    assert study.claim("me") is None and not study.finished()
    end(study, first, 1.0)
    assert [end(study, begin(study), 1.0) for _ in range(2)] == ["t0000-g01", "t0000-g02"]
    assert begin(study).role == "confirm"


def test_members_begin_with_what_is_enqueued(tmp_path: Path) -> None:
    study = make(tmp_path)
    study.settings.enqueue = [{"params": {RATE: 0.33}, "source": "defaults"}]
    study.settings.save(tmp_path)
    study = SweepStudy(tmp_path)
    attempts = [begin(study) for _ in range(4)]
    assert [a.params[RATE] == 0.33 for a in attempts] == [True, False, False, False]
    for attempt in attempts:
        end(study, attempt, 1.0)
    unit = begin(study)
    assert (unit.key, unit.params[RATE]) == ("t0000-g01", 0.33)


def test_decision_is_stored_with_the_unit_and_kept_by_a_retry(tmp_path: Path) -> None:
    study = make(tmp_path)
    for value in (1.0, 2.0, 4.0, 3.0):
        end(study, begin(study), value)
    assert [end(study, begin(study), 1.0) for _ in range(2)] == ["t0000-g01", "t0001-g01"]
    attempt = begin(study)
    (planned,) = attempt.runs
    assert (attempt.key, planned.until_kimg) == ("t0002-g01", 4.0)
    assert planned.source is not None and planned.source.run == "t0000"
    assert planned.source.checkpoint.read_text() == "t0000-g00", "not what it trained since"
    rate = study.trials.trials[0].params[RATE]
    assert attempt.params[RATE] == max(0.1, 0.5 * rate)
    study.finish(attempt, "killed", "by chance")
    again = begin(SweepStudy(tmp_path))
    assert (again.key, again.number) == ("t0002-g01", 2)
    assert again.runs == attempt.runs and again.params == attempt.params
    assert again.schedule == [
        {"kimg": 0.0, "params": {RATE: study.trials.trials[2].params[RATE]}, "from": None},
        {"kimg": 2.0, "params": again.params, "from": "t0000"},
    ]


def test_unit_does_not_take_the_end_of_the_unit_before_from_the_record(tmp_path: Path) -> None:
    """The worker dies before its child has written a word."""
    study = make(tmp_path)
    for _ in range(4):
        end(study, begin(study), 1.0)
    attempt = begin(study)
    assert RunRecord(study.run_dir("t0000")).result() is not None
    assert study.finish(attempt, "killed") == "interrupted"
    assert begin(study).key == "t0000-g01"


def test_failed_member_waits_until_somebody_has_come_as_far(tmp_path: Path) -> None:
    study = make(tmp_path)
    others = [begin(study) for _ in range(3)]
    end(study, begin(study), None)
    assert study.claim("me") is None and not study.finished()
    end(study, others[0], 5.0)
    replaced = begin(study)
    assert replaced.key == "t0000-g01", "the least advanced first"
    (planned,) = begin(study).runs
    assert planned.name == "t0003"
    assert planned.source is not None and planned.source.run == "t0000"


def test_population_whose_members_all_fail_ends(tmp_path: Path) -> None:
    study = make(tmp_path)
    for _ in range(4):
        end(study, begin(study), None)
    assert study.claim("me") is None and study.finished()


def test_snapshots_stay_while_they_can_be_taken_over(tmp_path: Path) -> None:
    study = make(tmp_path)

    def kept() -> set[str]:
        found = tmp_path.glob("t*/checkpoints/generation-*.pt")
        return {f"{p.parent.parent.name}-g{p.stem[-2:]}" for p in found}

    for value in (1.0, 2.0, 4.0):
        end(study, begin(study), value)
    assert kept() == {"t0000-g00"}, "the best quarter of four"
    end(study, begin(study), 0.5)
    assert kept() == {"t0003-g00"}, "the best changed"
    for value in (1.0, 2.0):
        end(study, begin(study), value)
    taking = begin(study)
    assert taking.runs[0].source is not None
    last = begin(study)
    assert kept() == {"t0003-g00", "t0000-g01"}, "one is being taken over"
    end(study, last, 3.0)
    end(study, taking, 9.0)
    assert kept() == {"t0000-g01"}
    for _ in range(4):
        end(study, begin(study), 1.0)
    assert kept() == set()


# Whole sweeps, without torch


def words(folder: Path, *more: str) -> list[str]:
    return [
        *("sweep=pbt", f"{RATE}=interval(0.05, 0.5)", f"runs_dir={folder}", "name=s"),
        "model.optimizer.discriminator.lr=0.1",
        *(f"sweep.population.every_kimg={EVERY}", "workers=1", "n_trials=5"),
        *("sweep.population.share=0.4", "sweep.confirm.seeds=1", "sweep.max_retries=5"),
        *more,
    ]


def sweep(folder: Path, *more: str) -> SweepStudy:
    with one_worker_here():
        directory = run_sweep(
            words(folder, *more),
            compose=population_fakes.compose,
            target="population_fakes.trial",
        )
    return SweepStudy(directory)


def weights(study: SweepStudy) -> dict[str, Any]:
    folders = sorted(study.directory.glob("[tc]*/checkpoints"))
    return {f.parent.name: json.loads((f / "last.pt").read_bytes()) for f in folders}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> SweepStudy:
    return sweep(tmp_path_factory.mktemp("undisturbed"))


def assert_weights_follow_schedules(study: SweepStudy) -> None:
    """Each member ended with weights that were trained as its lineage says, kimg by kimg."""
    trials = trials_of(study.trials)
    assert study.population is not None
    for member in study.population.members:
        stretches = study.population.lineage(trials, member)
        ends = [*(s.kimg for s in stretches[1:]), BUDGET]
        reported = [
            [s.params[RATE]] * int(e - s.kimg) for s, e in zip(stretches, ends, strict=True)
        ]
        assert weights(study)[member]["rates"] == [rate for part in reported for rate in part]
        record = RunRecord(study.run_dir(member))
        assert (record.result() or {})["status"] == "finished"
        clocks = [row["kimg"] for row in record.history()]
        assert clocks == sorted(set(clocks)) and clocks[-1] == BUDGET
        assert {p.name for p in record.checkpoints.iterdir()} == {"last.pt"}


def test_weights_come_from_the_schedule_that_the_records_tell(undisturbed: SweepStudy) -> None:
    assert_weights_follow_schedules(undisturbed)
    units = units_of(trials_of(undisturbed.trials))
    assert len(units) == 5 * GENERATIONS
    took = sorted(
        (member, EVERY * generation, unit.user_attrs["from"])
        for (member, generation), unit in units.items()
        if unit.user_attrs["from"] is not None
    )
    assert len(took) >= 3, "of five members two take over at most, at each of three moments"
    assert took == [
        (member, entry["kimg"], entry["from"])
        for member in sorted({member for member, _ in units})
        for entry in (RunRecord(undisturbed.run_dir(member)).result() or {})["sweep"]["schedule"]
        if entry["from"] is not None
    ]


def test_winner_is_confirmed_by_the_schedule_of_its_weights(undisturbed: SweepStudy) -> None:
    (row,) = json.loads((undisturbed.directory / "leaderboard.json").read_text())["rows"]
    states = weights(undisturbed)
    assert states[row["trial"]]["w"] == min(s["w"] for s in states.values())
    (name,) = row["runs"]
    assert name == f"c-{row['trial']}-s101"
    assert states[name] == states[row["trial"]] and row["mean"] == row["selection_value"]
    result = RunRecord(undisturbed.run_dir(name)).result() or {}
    assert result["status"] == "finished"
    assert [entry["from"] for entry in result["sweep"]["schedule"]] == [None] * len(
        result["sweep"]["schedule"]
    )
    assert len(result["sweep"]["schedule"]) > 1
    starts = (undisturbed.run_dir(name) / "starts").read_text().splitlines()
    assert len(starts) == len(result["sweep"]["schedule"]), "each stretch trained once"


def test_table_has_a_row_for_each_member_and_the_status_counts_generations(
    undisturbed: SweepStudy,
) -> None:
    watch = Watch(undisturbed)
    rows = watch.rows()
    shown = watch.shown(rows)
    assert [r.key for r in shown[:5]] == [f"t000{i}" for i in range(5)]
    assert [r.kimg for r in shown] == [BUDGET] * 6 and len(rows) == 5 * GENERATIONS + 1
    best = watch.best(shown)
    states = weights(undisturbed)
    assert best is not None and states[best.key]["w"] == min(s["w"] for s in states.values())
    console = Console(file=io.StringIO(), width=80, height=30)
    console.print(LiveTable(watch, 1, console).render())
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    assert "t0004" in printed and "-g0" not in printed
    assert status_of(undisturbed.directory).trials == {"done": 5 * GENERATIONS}
    took = [u for u in units_of(trials_of(undisturbed.trials)).values() if u.user_attrs["from"]]
    reported = next(r for r in rows if r.key == took[0].user_attrs["key"])
    assert reported.params.endswith(f"from {took[0].user_attrs['from']}")


def test_children_killed_around_the_copy_change_nothing(
    undisturbed: SweepStudy, tmp_path: Path
) -> None:
    study = sweep(tmp_path, "does=die")
    died = {path.name.rpartition("-")[2] for path in study.directory.glob("t*/t*-g*-*")}
    assert died == {"before", "while", "after"}
    assert weights(study) == weights(undisturbed)


def test_workers_killed_in_the_middle_change_nothing(
    undisturbed: SweepStudy, tmp_path: Path
) -> None:
    settings = Settings.load(undisturbed.directory)
    settings.overrides.append("pace=0.03")
    study = SweepStudy.create(tmp_path / "s", settings, undisturbed.space)
    command = [sys.executable, "-m", "gansweep.engine", str(study.directory)]
    rng, many, kills = random.Random(0), 0, 0
    with contextlib.ExitStack() as stack:

        def work() -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        process = work()
        while process.poll() is None:
            time.sleep(0.01)
            begun = sum(len(p.read_bytes().split()) for p in study.directory.glob("t*/starts"))
            if begun >= many + 4 and kills < 4:  # some two units later, wherever it is by then
                time.sleep(rng.uniform(0, 0.1))
                process.kill()
                many, kills, process = begun, kills + 1, work()
    assert process.returncode == 0 and kills >= 2
    assert weights(study) == weights(undisturbed)


def test_diverged_member_is_replaced_by_a_copy_of_a_good_one(tmp_path: Path) -> None:
    study = sweep(tmp_path, "does=diverge:t0001:3")
    units = units_of(trials_of(study.trials))
    assert units["t0001", 1].user_attrs["status"] == "diverged"
    source = units["t0001", 2].user_attrs["from"]
    assert source not in (None, "t0001")
    assert_weights_follow_schedules(study)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["model.batch_size=choice(32, 64)"], "order of the data"),
        (["model.generator.width=choice(8, 16)"], "cannot change while a member trains"),
        (["sweep.population.every_kimg=8"], "leaves no time"),
        (["sweep.population.share=0.1"], "is nobody"),
        (["sweep.population.share=0.6"], "above 0 up to 0.5"),
        (["sweep.population.factors=[]"], "no numbers to multiply by"),
        (["sweep.population.resample=2"], "not a number from 0 to 1"),
        (["sweep.seeds=3"], "Use sweep.seeds=1"),
        (["sweep.constraints=['seconds <= 60']"], r"Use sweep.constraints=\[\]"),
        (["sweep.pruner.name=asha"], "Use sweep.pruner.name=none"),
        (["sweep.objective.at=best"], "Use sweep.objective.at=last"),
        (["~callbacks.checkpoint"], "Leave it in"),
        (
            ["callbacks.stop_on_plateau._target_=gansweep.callbacks.stop_when_done.StopOnPlateau"],
            "~callbacks.stop_on_plateau",
        ),
    ],
)
def test_what_does_not_go_with_a_population_is_refused(
    tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        sweep(tmp_path, *more)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
@pytest.mark.parametrize("first", [3, 11])
def test_units_that_a_damaged_journal_lost_come_back_from_the_members_records(
    undisturbed: SweepStudy, tmp_path: Path, first: int
) -> None:
    lines = (undisturbed.directory / "study.journal").read_bytes().splitlines(keepends=True)

    def reported(study: SweepStudy) -> dict[str, Any]:
        trials = [*trials_of(study.trials), *trials_of(study.confirms)]
        shown = {t.user_attrs["key"]: (t.state, t.params, t.values) for t in trials}
        sources = {t.user_attrs["key"]: t.user_attrs.get("from") for t in trials}
        return {"shown": shown, "sources": sources}

    for at in range(first, len(lines), 29):
        directory = tmp_path / f"{at}" / "s"
        shutil.copytree(undisturbed.directory, directory)
        (directory / "study.journal").write_bytes(
            b"".join([*lines[:at], b"\0\n", *lines[at + 1 :]])
        )
        repair(directory)
        study = SweepStudy(directory)
        assert reported(study) == reported(undisturbed), at
        assert study.finished() and study.claim("w") is None
        assert_weights_follow_schedules(study)
