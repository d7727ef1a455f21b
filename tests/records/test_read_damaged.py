"""Records that are incomplete, damaged or foreign are shown as damaged and never crash."""

from __future__ import annotations

import json
import os
import random
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sweep_studies
import yaml
from report_records import FID, lively_run, part_of_sweep, protocol, write_evaluation, write_run

from gansweep.cli.main import main
from gansweep.engine.lease.locks import is_alive, remove_dead
from gansweep.engine.lease.workers import WorkerInfo, workers_of
from gansweep.engine.status import status_of
from gansweep.errors import visible
from gansweep.records.find import find_records
from gansweep.records.read import load
from gansweep.records.record import RunRecord
from gansweep.report.page.page import write_report

Command = Callable[..., Any]
ESCAPE = "\x1b[2J\x1b]0;owned\x07"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A group of two runs, each with all files of a record."""
    group = tmp_path_factory.mktemp("made") / "group"
    for seed in range(2):
        record = lively_run(group / f"run-{seed}", "dcgan", seed, kimg=10)
        write_evaluation(record, {FID: 3.0}, {FID: protocol("fid", "minimize")})
    return group


@pytest.fixture
def group(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "group"))


def rewritten(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"command": "gansweep train 'model=gan"}, "command cannot be read (No closing quotation)"),
        ({"command": "rm -rf ~"}, "command does not start with gansweep train"),
        ({"kimg": "abc"}, 'kimg is "abc"'),
        ({"status": None}, "status is null"),
        ({"best": {FID: 3}}, f"best.{FID} is 3"),
        ({"last": {FID: {"value": "x", "kimg": 1}}}, f'last.{FID} contains "x"'),
        ({"last": {FID: {"value": 1.0, "interval": 3}}}, f"the interval of last.{FID} is 3"),
        ({"protocols": {FID: {"direction": "up"}}}, f'the direction of {FID} is "up"'),
        ({"protocols": {FID: {"data": []}}}, f"data in the protocol of {FID} is []"),
        ({"overrides": [1]}, "overrides contains a value that is not text"),
        ({"sweep": {"params": [1]}}, "sweep.params is [1]"),
        ({"sweep": [1]}, "sweep is [1]"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_damaged_result_is_named_and_the_others_are_shown(
    group: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], reason: str
) -> None:
    rewritten(group / "run-1" / "result.json", **changes)
    good, bad = load([group])
    assert good.complete and (bad.status, bad.complete) == ("damaged", False)
    assert bad.reason == f"damaged: result.json: {reason}."
    page = write_report([group], group / "page.html").read_text()
    assert "result.json" in page and "run-0" in page
    assert main(["doctor", str(group)]) == 0
    output = capsys.readouterr().out
    assert "1 damaged" in output and "result.json" in output


@pytest.mark.parametrize(
    "content",
    [
        *(b"[1]", b"{", b"", b"null", b"\xff\xfe", b'{"status": "finished"', b"[" * 100_000),
        b'{"kimg": ' + b"9" * 5000 + b"}",
    ],
    ids=lambda content: repr(content[:12]),
)
@pytest.mark.parametrize("file", ["result.json", "config.yaml"])
def test_a_file_with_foreign_content_is_named(group: Path, file: str, content: bytes) -> None:
    (group / "run-1" / file).write_bytes(content)
    bad = load([group])[1]
    assert bad.status == "damaged" and bad.reason.startswith(f"damaged: {file}: ")


@pytest.mark.parametrize("file", ["result.json", "config.yaml", "history.jsonl"])
def test_a_pipe_or_an_endless_file_is_not_read(group: Path, file: str) -> None:
    path = group / "run-1" / file
    for make in (os.mkfifo, lambda path: os.symlink("/dev/zero", path), os.mkdir):
        path.unlink()
        make(path)
        runs = {run.directory.name: run for run in load([group])}
        assert runs["run-0"].complete
        assert any(file in note for note in runs["run-1"].notes)
        if path.is_dir():
            path.rmdir()
            path.touch()


def test_stray_pictures_are_skipped(group: Path) -> None:
    samples = group / "run-0" / "samples"
    known = RunRecord(group / "run-0").sample_grids()
    for name in ("1x.png", "².png", "9" * 200 + ".png", "-1.png", "1.5.png", "notes.txt"):
        (samples / name).write_bytes(b"")
    (samples / "999999999.png").symlink_to("/dev/zero")
    os.mkfifo(samples / "999999998.png")
    found = RunRecord(group / "run-0").sample_grids()
    assert [path for _, path in found[:-2]] == [path for _, path in known]
    write_report([group], group / "page.html")


def test_invalid_rows_of_the_history_are_noted(group: Path) -> None:
    record = RunRecord(group / "run-0")
    before = load([group])[0].curves[FID].kimg
    with open(record.history_path, "ab") as file:
        file.write(b'{"kimg": "abc"}\n[1]\n{"kimg": 1e999, "x": [["a"]]}\n')
    run = load([group])[0]
    assert run.curves[FID].kimg == before
    assert any("3 damaged lines" in note and "history.jsonl" in note for note in run.notes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record.truncate_history(1.0)
    assert all(row["kimg"] <= 1.0 for row in record.history())


def test_escape_sequences_reach_neither_the_terminal_nor_the_page(
    group: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.move(group / "run-1", group / f"run{ESCAPE}")
    record = RunRecord(group / f"run{ESCAPE}")
    rewritten(record.result_path, reason=ESCAPE, status=f"failed{ESCAPE}", model=ESCAPE)
    with open(record.history_path, "a") as file:
        file.write(json.dumps({"kimg": 1.0, f"loss/{ESCAPE}": 1.0}) + "\n")
    page = write_report([group], group / "page.html").read_text()
    assert main(["doctor", str(group), "--show", "9"]) == 0
    assert main(["report", str(group), "--csv", "-"]) == 0
    for text in (page, *capsys.readouterr()):
        assert not {"\x1b", "\x07"} & set(text)
    assert r"\x1b[2J" in page
    assert visible("a\tb\nc é \U0001f600 \udcff\u202e") == "a\tb\nc é \U0001f600 \\udcff\\u202e"


def test_a_run_in_the_directory_of_a_group_hides_none(tmp_path: Path) -> None:
    for place in (".", "a", "a/inside", "b"):
        write_run(tmp_path / "group" / place)
    files = tmp_path / "group" / "a" / "wandb" / "run" / "files"
    files.mkdir(parents=True)
    (files / "config.yaml").write_text("wandb: 1")
    found = [r.directory.relative_to(tmp_path / "group") for r in find_records([tmp_path])]
    assert list(map(str, found)) == [".", "a", "a/inside", "b"]


# Sweeps


def garbage() -> Iterator[bytes]:
    yield from (b"", b"\n", b"garbage", b"[1]\n{}", b'{"pid": "x"}\n{}', b"\xff\xfe\n", b"7\n7\n")
    fixed = {"worker": 1, "pid": 1, "kernel": "k", "host": "h", "job": None, "started": 1.0}
    yield json.dumps(fixed).encode() + b'\n{"doing": "", "since": 0, "gpus": null}'
    yield json.dumps({**fixed, "worker": ESCAPE}).encode() + b"\nnull"
    yield b'{"kernel": ' + b"[" * 50_000


@pytest.mark.parametrize("content", list(garbage()), ids=lambda content: repr(content[:20]))
def test_a_lease_of_garbage_does_not_crash(tmp_path: Path, content: bytes) -> None:
    study = sweep_studies.make(tmp_path / "s")
    sweep_studies.begin(study)
    (tmp_path / "s" / "workers").mkdir(exist_ok=True)
    for path in (
        tmp_path / "s" / "leases" / "trials-0",
        tmp_path / "s" / "workers" / "w0.alive",
        tmp_path / "s" / "launcher.alive",
    ):
        path.write_bytes(content)
        is_alive(path)
        WorkerInfo.read(path)
    assert all("\x1b" not in worker.worker for worker in workers_of(tmp_path / "s"))
    assert status_of(tmp_path / "s").storage_error == ""
    for age in (0, 1000):
        os.utime(tmp_path / "s" / "workers" / "w0.alive", (age, age))
    remove_dead(tmp_path / "s" / "workers" / "w0.alive")


def test_the_status_of_a_sweep_names_what_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = tmp_path / "s"
    sweep_studies.make(sweep, command=f"gansweep sweep 'x {ESCAPE}")
    for key in ("t0000", "t0001"):
        entry = part_of_sweep(key, {"model": "gan"})
        write_run(sweep / key, scores={FID: [3.0]}, sweep=entry)
    (sweep / "t0001" / "result.json").write_text("[1]")
    assert main(["status", str(sweep)]) == 0
    output = capsys.readouterr().out
    assert "damaged: t0001/result.json: it is not a mapping" in output and "\x1b" not in output
    (sweep / "s.journal").unlink(missing_ok=True)
    for path in sweep.glob("*journal*"):
        path.write_bytes(b"garbage\n")
    (sweep / "stopped").write_text("[1]")
    assert main(["status", str(sweep)]) == 0
    assert "is damaged" in capsys.readouterr().out
    assert main(["status", str(sweep), "--json"]) == 0


@pytest.mark.parametrize("key", ["n_trials", "space", "overrides", "objective", "launcher", "name"])
@pytest.mark.parametrize("value", [None, "abc", -1, [1], {"a": [1]}, True])
def test_settings_of_a_wrong_type_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    from omegaconf import OmegaConf

    sweep_studies.make(tmp_path / "s")
    path = tmp_path / "s" / "sweep.yaml"
    path.write_text(OmegaConf.to_yaml({**OmegaConf.load(path), key: value}))  # type: ignore[dict-item]
    assert main(["status", str(tmp_path / "s")]) in (0, 2)


# Every file, in many ways


OTHERS: list[Any] = [None, [], {}, "abc", -1, 1e308, True, "'", [["a"]], {"a": {"b": 1}}, 10**30]


def mangled(path: Path, content: bytes, rng: random.Random) -> bytes:
    """The content cut, with a flipped bit or inserted bytes, or with a value of a wrong type."""
    where, flipped = rng.randrange(len(content)), 1 << rng.randrange(8)
    if rng.random() < 0.6:
        return swapped(path, content, rng)
    return rng.choice(
        [
            content[:where],
            content[:where] + bytes([content[where] ^ flipped]) + content[where + 1 :],
            content[:where] + b"\x1b[31m\xff\x00" + content[where:],
            b"",
        ]
    )


def swapped(path: Path, content: bytes, rng: random.Random) -> bytes:
    """The content with one value at any depth removed or replaced."""
    text = content.decode()
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    place = rng.randrange(len(lines))
    value = yaml.safe_load(lines[place]) if path.suffix == ".yaml" else json.loads(lines[place])
    *parents, last = rng.choice(list(places(value)))
    holder = value
    for key in parents:
        holder = holder[key]
    if rng.random() < 0.2:
        del holder[last]
    else:
        holder[last] = rng.choice(OTHERS)
    lines[place] = yaml.safe_dump(value) if path.suffix == ".yaml" else json.dumps(value)
    return ("\n".join(lines) + "\n").encode()


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of keys to every value."""
    listed = enumerate(value) if isinstance(value, list) else ()
    for key, child in value.items() if isinstance(value, dict) else listed:
        yield (*path, key)
        yield from places(child, (*path, key))


@pytest.mark.slow
def test_no_damage_of_a_record_takes_a_page_down(
    group: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(0)
    run = group / "run-1"
    files = [p for p in run.rglob("*") if p.is_file() and p.suffix in (".json", ".jsonl", ".yaml")]
    whole = {path: path.read_bytes() for path in files}
    for attempt in range(32):
        path = files[attempt % len(files)]
        path.write_bytes(mangled(path, whole[path], rng))
        try:
            write_report([group], group / "page.html")
            assert main(["doctor", str(group)]) == 0
        except Exception as error:
            raise AssertionError(f"{path.name}: {path.read_bytes()[:3000]!r}") from error
        assert "\x1b" not in capsys.readouterr().out + (group / "page.html").read_text()
        path.write_bytes(whole[path])
