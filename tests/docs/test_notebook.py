"""The notebooks of the guide run from the first cell to the last."""

from pathlib import Path

import pytest
from places import TOP


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted((TOP / "docs").glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("pandas")
    pytest.importorskip("ipykernel")
    book = nbformat.read(path, as_version=4)
    assert [cell for cell in book.cells if cell.get("outputs")] == [], "strip the outputs"
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3", resources=resources).execute()
    assert "fid_pixels_1k" in (tmp_path / "report.html").read_text()
    shown = [str(output) for cell in book.cells for output in cell.get("outputs", [])]
    assert any("mlp_gan-004" in text for text in shown)
