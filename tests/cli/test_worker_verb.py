"""`gansweep worker` by hand: where it works, and what it refuses before a trial fails by it."""

from pathlib import Path

import pytest
from sweep_studies import make

from gansweep.cli import worker
from gansweep.engine import worker as engine
from gansweep.errors import UserError
from gansweep.search.settings import Settings


def sweep_of(directory: Path, folder: Path, *overrides: str) -> Path:
    settings: Settings = make(directory, overrides=list(overrides)).settings
    settings.folder = str(folder)
    settings.save(directory)
    return directory


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, Path]]:
    """The working directory and the sweep's absolute directory of each worker that starts."""
    seen: list[tuple[Path, Path]] = []

    def run(directory: Path) -> int:
        seen.append((Path.cwd(), directory.resolve()))
        return 0

    monkeypatch.setattr(engine, "run_worker", run)
    return seen


def test_it_works_in_the_folder_of_the_sweeps_command(
    places: list[tuple[Path, Path]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else `data.root=photos` is not found, and good trials fail."""
    begun, elsewhere = tmp_path / "begun", tmp_path / "elsewhere"
    begun.mkdir()
    elsewhere.mkdir()
    directory = sweep_of(begun / "runs" / "s", begun)
    monkeypatch.chdir(elsewhere)
    assert worker.main(["../begun/runs/s"]) == 0
    assert places == [(begun, directory)]


def test_where_that_folder_is_missing_it_says_so_and_works(
    places: list[tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    directory = sweep_of(tmp_path / "s", tmp_path / "gone")
    monkeypatch.chdir(tmp_path)
    assert worker.main(["s"]) == 0
    assert places == [(tmp_path, directory)]
    said = " ".join(capsys.readouterr().err.split())
    assert f"started in {tmp_path / 'gone'}" in said and "relative paths" in said


def test_a_variable_that_is_not_allowed_ends_the_worker_and_no_trial(tmp_path: Path) -> None:
    directory = sweep_of(tmp_path / "s", tmp_path, "data.root=${oc.env:MY_PICTURES}")
    with pytest.raises(UserError, match="MY_PICTURES"):
        engine.run_worker(directory)
