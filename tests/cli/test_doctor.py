"""What `gansweep doctor` prints of records: of one run, of a sweep, of what is half there."""

import io
import json
import math
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from report_records import lively_run, part_of_sweep, protocol

from gansweep.cli.diagnoses import Page, examined
from gansweep.cli.doctor import main
from gansweep.diagnosis.evidence import evidence_of
from gansweep.errors import UserError
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.records.writer import newest
from gansweep.report.page.symptoms import symptoms
from gansweep.report.sparkline import ASCII, BLOCKS, sparkline

COMMAND = "gansweep train model=gan 'data.names=[a, b]' model.optimizer.generator.lr=0.001"
MODES, KL, COUNTS = "modes_1k", "reverse_kl_1k", "mode_counts_1k"
PROTOCOLS = {
    MODES: protocol("modes", "maximize"),
    KL: protocol("reverse_kl", "minimize"),
    COUNTS: protocol("mode_counts", None, mode_names=list("abcdefgh")),
}


def run_of_modes(
    directory: Path,
    counts: list[int],
    *,
    status: str | None = "finished",
    config: dict[str, Any] | None = None,
    **result: Any,
) -> RunRecord:
    """A run whose samples always fell into the modes so."""
    rate = {"optimizer": {"generator": {"lr": 0.001}, "discriminator": {"lr": 0.001}}}
    content: dict[str, Any] = {
        "budget_kimg": 10,
        "choices": {"model": "gan", "data": "ring"},
        "model": rate | {"loss": {"_target_": "gansweep.terms.losses.NonSaturating"}},
        **(config or {}),
    }
    record = RunRecord.create(directory, yaml.safe_dump(content))
    for name, stated in PROTOCOLS.items():
        record.append({"kimg": 1.0, "protocol": {name: stated}})
    total, k = sum(counts), len(counts)
    kl = math.fsum(c / total * math.log(c / total * k) for c in counts if c)
    for kimg in range(1, 11):
        scores = {MODES: float(sum(c > 0 for c in counts)), KL: kl, COUNTS: counts}
        record.append({"kimg": float(kimg), "seconds": 1.0, "loss/generator": 1.0, **scores})
    if status is not None:
        content = {
            "status": status,
            "reason": "",
            "kimg": 10.0,
            "command": COMMAND,
            "objective": KL,
        }
        content |= {"model": "gan", "data": "ring", "game": {"takes": ["loss", "penalties"]}}
        record.write_result(content | result)
    return record


def healthy(directory: Path, **given: Any) -> RunRecord:
    return run_of_modes(directory, [125] * 8, **given)


def collapsed(directory: Path, **given: Any) -> RunRecord:
    return run_of_modes(directory, [500, 500, *[0] * 6], **given)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_a_failed_run_is_reported_with_numbers_curves_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collapsed(tmp_path / "g" / "r")
    out = said(capsys, str(tmp_path / "g" / "r"))
    assert "failure: Mode collapse" in out
    assert "fill 2 of 8 modes" in " ".join(out.split()) and "no c, no d" in " ".join(out.split())
    assert f"{MODES}" in out and "▁" in out and "2 to 2" in out
    assert "not judged" in out and "gansweep evaluate" in out
    assert "healthy" not in out


def test_remedies_can_be_pasted_into_a_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = collapsed(tmp_path / "g" / "r").directory
    out = said(capsys, str(directory))
    (patient,) = map(examined, load([directory]))
    (finding,) = patient.findings
    joined = out.replace(" \\\n", " ")
    assert "\\\n" not in joined
    printed = [shlex.split(line) for line in joined.splitlines() if "gansweep train" in line]
    assert printed == [shlex.split(remedy.command) for remedy in finding.remedies]
    assert all("data.names=[a, b]" in words for words in printed)


def test_a_healthy_run_is_called_so_and_what_was_not_measured_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    healthy(tmp_path / "g" / "r")
    out = said(capsys, str(tmp_path / "g" / "r"))
    assert "healthy: none of the known failures shows" in out
    assert "failure:" not in out and "warning:" not in out
    assert f"gansweep evaluate {tmp_path / 'g' / 'r'}" in " ".join(out.split())


def test_lines_keep_to_80_columns_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        collapsed(Path("g") / name)
    out = said(capsys, "g")
    # a directory stays in one piece, however long it is
    lines = [line for line in out.splitlines() if str(tmp_path) not in line]
    assert len(lines) > 20 and max(map(len, lines)) <= 80
    assert "\033" not in out


def test_colours_are_for_terminals_without_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"  # type: ignore[assignment]

        def isatty(self) -> bool:
            return True

    for no_color in (False, True):
        monkeypatch.setattr(sys, "stdout", out := Terminal())
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        monkeypatch.setenv("NO_COLOR", "1" if no_color else "")
        Page().head("failure", "bold red", "why")
        assert "failure" in out.getvalue()
        assert ("\033[1;31m" in out.getvalue()) == (not no_color)


def test_a_terminal_without_unicode_gets_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert Page().levels == ASCII


def test_a_running_and_a_killed_run_are_judged_by_what_they_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collapsed(tmp_path / "running", status="running")
    assert "Mode collapse" in said(capsys, str(tmp_path / "running"))
    killed = collapsed(tmp_path / "killed", status=None)
    with open(killed.history_path, "ab") as file:
        file.write(b'{"kimg": 11.0, "los')
    out = said(capsys, str(tmp_path / "killed"))
    assert "Mode collapse" in out and "1 damaged line" in out
    assert "gansweep train model=gan data=ring" in out


def test_a_run_in_its_first_steps_is_too_early_to_judge(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collapsed(tmp_path / "r", status="running", config={"budget_kimg": 1000})
    out = " ".join(said(capsys, str(tmp_path / "r")).split())
    assert "at 10 of 1000 kimg it is too early to judge" in out


def test_a_diverged_run_says_why_its_numbers_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = healthy(tmp_path / "r", status="diverged", reason="loss/generator is nan")
    record.append({"kimg": 11.0, "loss/generator": float("nan")})
    out = said(capsys, str(tmp_path / "r"))
    assert "failure: Divergence" in out and "loss/generator is nan" in out


def test_scores_of_an_evaluation_count(tmp_path: Path) -> None:
    record = healthy(tmp_path / "r")
    name = "memorisation_digitsnet_1k_test"
    evaluation = {
        "when": "2026-01-01T00:00:00+00:00",
        "checkpoint": "best.pt",
        "kimg": 9.0,
        "scores": {name: {"value": 0.9}},
        "protocols": {name: protocol("memorisation", None)},
    }
    record.append_evaluation(evaluation, newest(record.directory))
    (patient,) = map(examined, load([record.directory]))
    assert patient.evidence.score("memorisation") == name
    assert [finding.rule for finding in patient.findings] == ["memorisation"]
    assert "memorisation" not in {gap.rule for gap in patient.gaps}


def test_null_in_the_history_is_a_number_that_was_not_finite(tmp_path: Path) -> None:
    record = healthy(tmp_path / "r")
    record.append({"kimg": 11.0, "loss/generator": float("nan")})
    (run,) = load([record.directory])
    kimg, value = evidence_of(run).curves["loss/generator"][-1]
    assert kimg == 11 and value != value
    assert [f.rule for f in examined(run).findings] == ["divergence"]


def test_a_sweep_is_summed_up_before_its_worst_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        rate = 0.01 if number < 4 else 0.001 * (number - 3)
        params = {"model.optimizer.generator.lr": rate}
        config = {"model": {"optimizer": {"generator": {"lr": rate}}}}
        make = collapsed if number < 4 else healthy
        key = f"t{number:04d}"
        make(tmp_path / key, config=config, sweep=part_of_sweep(key, params))
    out = said(capsys, str(tmp_path), "--show", "2")
    head = " ".join(out.partition("\n\n")[0].split())
    assert head.startswith("8 runs: 4 with failures, 0 with warnings only, 4 without a finding.")
    assert "Mode collapse: 4 of 8 (4 failures), 4 of 4 with lr >= 0.01, 0 of 4 without" in head
    assert out.count("failure: Mode collapse") == 2
    assert f"{tmp_path / 't0007'}" not in out


def test_all_healthy_runs_are_reported_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in "ab":
        healthy(tmp_path / name)
    assert said(capsys, str(tmp_path)).strip() == (
        "2 runs: 0 with failures, 0 with warnings only, 2 without a finding."
    )


def test_symptoms_are_reported_only_where_a_setting_explains_much(tmp_path: Path) -> None:
    made = []
    for number in range(12):
        config = {"model": {"width": [4, 8][number % 2], "depth": number % 3}}
        made.append(healthy(tmp_path / f"r{number:02d}", config=config))
    runs = load([tmp_path])
    by_width = [(run, number % 2 == 0) for number, run in enumerate(runs)]
    (symptom,) = symptoms(by_width)
    assert (symptom.setting, symptom.inside, symptom.ill_inside) == ("width 4", 6, 6)
    assert symptom.ill_outside == 0
    assert symptoms([(run, number in (0, 1, 7, 8)) for number, run in enumerate(runs)]) == []
    assert symptoms([(run, True) for run in runs]) == []
    assert symptoms(by_width[:5]) == []


def test_real_looking_runs_of_every_kind_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("gan", "dcgan", "wgan_gp", "sngan"):
        lively_run(tmp_path / "g" / model, model, 0)
    assert "4 runs:" in said(capsys, str(tmp_path))


@pytest.mark.parametrize("many", ["0", "-1"])
def test_fewer_than_one_run_in_full_is_refused(tmp_path: Path, many: str) -> None:
    lively_run(tmp_path, "gan", 0)
    with pytest.raises(UserError, match=f"--show {many}: .* from 1"):
        main([str(tmp_path), "--show", many])


def test_a_place_without_runs_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No run was found"):
        main([str(tmp_path)])
    with pytest.raises(UserError, match="does not exist"):
        main([str(tmp_path / "nothing")])


def test_help_teaches_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from gansweep.cli.doctor import parser; print(parser().format_help());"
        "print({'numpy', 'plotly', 'jinja2', 'sklearn', 'torch', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout and "mode collapse" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert done.stdout.rstrip().endswith("set()")


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([0.0, 0.5, 1.0], "▁▅█"),
        ([1.0, 1.0], "▁▁"),
        ([2.0], "▁"),
        ([float("nan"), 0.0, 1.0], "▁█"),
        ([], ""),
        (range(8), BLOCKS),
    ],
)
def test_a_sparkline_runs_from_the_lowest_to_the_highest_value(values: Any, drawn: str) -> None:
    line = sparkline([(float(k), float(v)) for k, v in enumerate(values)], 8)
    assert line.drawn == drawn


def test_a_long_curve_is_averaged_over_equal_stretches_of_the_clock() -> None:
    points = [(float(k), float(k % 2)) for k in range(100)]
    assert sparkline(points, 10).low == sparkline(points, 10).high == 0.5
    gap = sparkline([(0.0, 0.0), (1.0, 1.0), (10.0, 0.5)], 3)
    assert gap.drawn[1] == " "


def test_the_record_of_a_finding_is_no_curve(tmp_path: Path) -> None:
    record = healthy(tmp_path / "r")
    row = {"finding": {"rule": "x", "text": "y", "severity": "warning"}}
    record.append({"kimg": 11.0, **row})
    (run,) = load([record.directory])
    assert "finding" not in evidence_of(run).curves
    assert json.loads(record.history_path.read_text().splitlines()[-1])["finding"]


def test_remedies_for_a_populations_member_keep_the_settings_that_it_ended_with(
    tmp_path: Path,
) -> None:
    words = ["model=gan", "data=ring", "model.ema_kimg=3", "group=s", "name=t0000"]
    more = {"command": "", "overrides": words, "config_dir": "my configs"}
    directory = collapsed(tmp_path / "s" / "t0000", **more).directory
    (run,) = load([directory])
    expected = "gansweep train --config-dir 'my configs' model=gan data=ring model.ema_kimg=3"
    assert evidence_of(run).command == expected
