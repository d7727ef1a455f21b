import math
from pathlib import Path

import pytest
from report_records import FID, part_of_sweep, protocol, write_run

from gansweep.errors import UserError
from gansweep.records.read import load


def test_a_run_keeps_its_scores_protocols_and_sweep(tmp_path: Path) -> None:
    sweep = part_of_sweep("t0000", {"model": "dcgan", "model.n_critic": 2})
    write_run(tmp_path / "demo" / "t0000", scores={FID: [30.0, 18.0, 25.0]}, sweep=sweep)
    (run,) = load([tmp_path])
    best, last = run.best(FID), run.last(FID)
    assert best and (best.value, best.kimg) == (18.0, 2.0)
    assert last and (last.value, last.kimg) == (25.0, 3.0)
    assert run.protocols[FID]["n_fake"] == 2000
    assert run.sweep and run.sweep.params == {"model": "dcgan", "model.n_critic": 2}
    assert (run.name, run.model, run.seed, run.complete) == ("demo/t0000", "dcgan", 0, True)


def test_a_run_without_a_result_is_read_from_its_history(tmp_path: Path) -> None:
    write_run(tmp_path / "a", status=None, scores={FID: [30.0, 18.0, 25.0]})
    (run,) = load([tmp_path])
    best, last = run.best(FID), run.last(FID)
    assert (run.status, run.complete, run.kimg) == ("no result", False, 3.0)
    assert best and last and (best.value, last.value) == (18.0, 25.0)
    assert "no result.json" in run.reason


def test_a_torn_history_and_a_damaged_result_become_notes(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    with open(record.history_path, "ab") as file:
        file.write(b'{"kimg": 3.0, "fi')
    record.result_path.write_text('{"status": "fini')
    (run,) = load([tmp_path])
    assert run.status == "damaged" and "result.json: Unterminated string" in run.reason
    assert any("1 damaged line" in note for note in run.notes)
    assert run.curves[FID].kimg == [1.0, 2.0]


def test_a_replaced_checkpoint_becomes_a_note(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a")
    note = "last.pt is damaged: the run continues from previous.pt, at 2 kimg."
    record.append({"kimg": 2.0, "seconds": 2.0, "note": note})
    (run,) = load([tmp_path])
    assert run.notes == [note] and run.complete


def test_a_damaged_config_and_an_empty_history_do_not_crash(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a", status=None, scores={})
    record.config_path.write_text("model: [unclosed")
    (run,) = load([tmp_path])
    assert (run.model, run.kimg, run.scores()) == ("unknown", 0.0, [])
    assert run.status == "damaged" and any("config.yaml: " in note for note in run.notes)


def test_a_missing_measurement_is_a_gap_and_a_repeated_clock_counts_once(tmp_path: Path) -> None:
    record = write_run(tmp_path / "a", scores={FID: [30.0]})
    record.append({"kimg": 2.0, "seconds": 4.0, "loss/generator": math.nan})
    record.append({"kimg": 1.0, "seconds": 2.0, FID: 29.0})
    (run,) = load([tmp_path])
    assert run.curves["loss/generator"].values == [None]
    assert run.curves[FID].values == [29.0]


def test_a_list_of_numbers_is_a_curve_but_not_a_score(tmp_path: Path) -> None:
    counts = "mode_counts_2k"
    record = write_run(
        tmp_path / "a",
        last={counts: {"value": [3, 0], "kimg": 1.0}},
        protocols={FID: protocol("fid", "minimize"), counts: protocol("mode_counts", None)},
    )
    record.append({"kimg": 1.0, "seconds": 1.0, counts: [3, 0]})
    (run,) = load([tmp_path])
    assert run.curves[counts].values == [[3, 0]]
    assert run.scores() == [FID]


def test_each_run_is_loaded_once_and_a_trackers_config_is_not_a_run(tmp_path: Path) -> None:
    record = write_run(tmp_path / "demo" / "a")
    files = record.directory / "wandb" / "offline-run" / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text("wandb: 1")
    assert len(load([tmp_path, tmp_path / "demo", tmp_path / "demo" / "a"])) == 1


def test_a_path_without_runs_is_explained(tmp_path: Path) -> None:
    write_run(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="No run was found under .*empty.*config.yaml"):
        load([tmp_path / "a", tmp_path / "empty"])
    with pytest.raises(UserError, match="does not exist"):
        load([tmp_path / "absent"])
