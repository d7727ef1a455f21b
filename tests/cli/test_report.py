import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import sweep_studies
from command_line import Finished
from report_records import FID, MODES, part_of_sweep, protocol, write_run

from gansweep.cli.report import conclude, main, parser
from gansweep.errors import UserError
from gansweep.metrics.protocol import score_name


def test_report_writes_the_page_into_its_path_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "demo" / "a")
    assert main([str(tmp_path / "demo")]) == 0
    page = tmp_path / "demo" / "report.html"
    assert page.is_file()
    assert str(page) in capsys.readouterr().out


def test_tables_go_to_files_or_to_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "demo" / "a")
    latex = tmp_path / "table.tex"
    assert main([str(tmp_path / "demo"), "--csv", "-", "--latex", str(latex)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("rank,configuration") and "booktabs" in out
    assert r"\begin{tabular}" in latex.read_text()
    assert not (tmp_path / "demo" / "report.html").exists()


def test_a_place_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    write_run(tmp_path / "demo" / "a")
    blocked = tmp_path / "file"
    blocked.write_text("")
    for option in ("-o", "--csv"):
        with pytest.raises(UserError, match="cannot be written"):
            main([str(tmp_path / "demo"), option, str(blocked / "x")])


def test_mixed_protocols_stop_a_table_and_leave_nothing(tmp_path: Path) -> None:
    write_run(tmp_path / "a", scores={FID: [5.0], MODES: [9.0]})
    other = {FID: protocol("fid", "minimize", split="test")}
    write_run(tmp_path / "b", scores={FID: [6.0]}, protocols=other)
    target = tmp_path / "table.csv"
    with pytest.raises(UserError, match="(?s)split=train.*split=test.*--metric"):
        main([str(tmp_path), "--csv", str(target)])
    assert not target.exists()
    assert main([str(tmp_path), "--csv", str(target), "--metric", "modes"]) == 0
    assert FID not in target.read_text()


@pytest.mark.parametrize("words", [[], ["--csv", "-"]])
def test_damaged_runs_are_named_beside_the_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    write_run(tmp_path / "sound")
    (write_run(tmp_path / "torn").directory / "result.json").write_text("{")
    assert main([str(tmp_path), *words]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"1 damaged run: {tmp_path / 'torn'} (result.json: ")
    (tmp_path / "torn" / "result.json").unlink()
    assert main([str(tmp_path), *words]) == 0
    assert not capsys.readouterr().err


def test_the_score_of_the_examples_is_one_that_the_digits_have() -> None:
    measured = {"score": "fid", "backbone": "digitsnet1", "n_fake": 1000, "split": "train"}
    page = Path(__file__).parents[2] / "docs" / "report.md"
    for text in (parser().format_help(), page.read_text()):
        assert f"--metric {score_name(measured)} " in text


def test_the_end_of_a_sweep_prints_its_leaderboard_and_page(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a")
    conclude(tmp_path)
    out = capsys.readouterr().out
    assert "dcgan" in out and f"wrote {tmp_path / 'report.html'}" in out


def test_the_end_of_a_sweep_prints_a_command_that_trains_its_first_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gansweep", "train", *(f"model.option_{i}=[{i}, a]" for i in range(9)), "seed=101"]
    write_run(tmp_path / "a", scores={FID: [1.0]}, command=shlex.join(words))
    write_run(tmp_path / "b", model="wgan", scores={FID: [2.0]}, command="gansweep train")
    conclude(tmp_path)
    _, _, command = capsys.readouterr().out.partition("train dcgan again:\n")
    assert max(map(len, command.splitlines())) <= 80
    assert shlex.split(command.replace("\\\n", " ")) == words


def test_the_leaderboard_keeps_to_80_columns_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    for width in (8, 16):
        config = {"model": {"generator": {"activation": "x" * 90, "width": width}}}
        write_run(tmp_path / f"w{width}", model="a_gan_of_a_long_name_" * 4, config=config)
    conclude(tmp_path)
    table = capsys.readouterr().out.partition("wrote")[0]
    assert max(map(len, table.splitlines())) <= 80


def test_variants_that_the_table_does_not_show_are_named_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a")
    reasons = {"gan": "no trial took this value", "r3gan": "3 trials were pruned"}
    reasons |= {"dcgan": "its best trial was not confirmed"}
    (tmp_path / "leaderboard.json").write_text(json.dumps({"left_out": reasons}))
    conclude(tmp_path)
    said = capsys.readouterr().out
    assert "r3gan is not ranked: 3 trials were pruned." in said
    assert "\ngan is not ranked: no trial took this value." in said
    assert "dcgan is not ranked" not in said


def test_help_teaches_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; from gansweep.cli.report import parser; print(parser().format_help());"
        "print({'numpy', 'plotly', 'jinja2', 'sklearn', 'torch', 'yaml'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Examples:" in done.stdout and "--latex" in done.stdout
    assert done.stdout.rstrip().endswith("set()")


def test_status_and_sweep_print_the_leaderboard_again(
    tmp_path: Path, command: Callable[..., Finished]
) -> None:
    folder = tmp_path / "runs" / "first"
    sweep_studies.make(folder, n_trials=2)
    part = part_of_sweep("t0000", {"model.n_critic": 1}, at="last")
    write_run(folder / "t0000", sweep=part)
    shown = command("status", "runs/first", "--leaderboard")
    again = command("sweep", "sweep=tpe", "model=gan", "name=first", "--leaderboard")
    board = "dcgan reaches fid_digitsnet_2k_train 20 over 1 seed"
    assert shown.out.startswith("sweep s\n") and board in shown.out
    assert board in again.out and "trials" not in again.out
    assert not (folder / "report.html").exists()
