"""scripts/on_gpu: each step has a time limit; one that fails or hangs stops no other."""

import json
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from loaded_scripts import script
from places import TOP

SCRIPTS = TOP / "scripts"


@pytest.fixture(scope="module")
def on_gpu() -> ModuleType:
    return script("on_gpu")


@pytest.mark.slow
def test_a_step_that_fails_or_hangs_is_reported_and_the_next_one_runs(
    on_gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(name: str, code: str, share: float) -> object:
        return on_gpu.Step(name, share, ["-c", code], lambda log: [(name, on_gpu.last_line(log))])

    monkeypatch.setattr(on_gpu, "LEAST", 0)
    steps = [
        step("fails", "print('printed'); raise SystemExit(3)", 1),
        step("hangs", "import time; print('began', flush=True); time.sleep(600)", 1),
        step("works", "print('5.0 s'); print()", 1),
    ]
    began = time.monotonic()
    found = on_gpu.run_all(steps, 12, tmp_path)
    assert time.monotonic() - began < 60
    assert [f["outcome"].split()[0] for f in found] == ["failed", "cut", "done"]
    assert found[0]["rows"] == [("fails", "printed")] and found[2]["rows"] == [("works", "5.0 s")]
    table = on_gpu.table("NVIDIA H200", found)
    assert table.startswith("## NVIDIA H200, Python ")
    assert "| works | `scripts/on_gpu`, works: done | 5.0 s |" in table
    on_gpu.collect(tmp_path, steps)
    assert "== hangs\nbegan" in (tmp_path / "log.txt").read_text()


def test_time_that_a_step_did_not_use_goes_to_later_steps(
    on_gpu: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step = on_gpu.Step("quick", 1, ["-c", ""], lambda log: [])
    on_gpu.run_all([step, step], 100, tmp_path)
    limits = [line.split()[-2] for line in capsys.readouterr().out.splitlines() if "most" in line]
    assert limits[0] == "50" and int(limits[1]) > 80


def test_rows_are_read_from_the_reports_of_the_programs(on_gpu: ModuleType, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert on_gpu.run_rows(run) == [] and on_gpu.parity_rows(run / "none") == []
    run.mkdir()
    last = {"fid": {"value": 3.14159}, "kid": {"value": 0.5}}
    result = {"status": "finished", "kimg": 300.0, "seconds": 20.0, "last": last}
    (run / "result.json").write_text(json.dumps({**result, "objective": "fid"}))
    ((_, figure),) = on_gpu.run_rows(run)
    assert figure == "finished at 300 kimg, 20 s, 15,000 images/s; fid 3.14"


def test_every_step_is_rehearsed_on_the_cpu_with_the_same_programs(
    on_gpu: ModuleType, tmp_path: Path
) -> None:
    gpu, cpu = (on_gpu.steps_on(device, tmp_path, []) for device in ("cuda", "cpu"))
    assert [s.words[:2] for s in gpu] == [s.words[:2] for s in cpu]
    assert sum(s.share for s in gpu) == pytest.approx(1)
    for step in gpu:
        assert step.words[0] == "-m" or Path(step.words[0]).is_file()


def test_parity_finds_a_model_with_a_different_step(monkeypatch: pytest.MonkeyPatch) -> None:
    parity = script("parity")
    cpu = torch.device("cpu")
    assert parity.difference("gan", cpu)[0] == 0
    true = parity.after_a_step("gan", cpu)
    key = next(name for name in true if name.startswith("generator."))
    answers = iter((true, true | {key: true[key] + 1e-3}))
    monkeypatch.setattr(parity, "after_a_step", lambda variant, device: next(answers))
    worst, where = parity.difference("gan", cpu)
    assert worst == pytest.approx(1e-3) and where == key
