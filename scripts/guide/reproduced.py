"""The results of `gansweep reproduce` in docs/reproduce.md and README.md, from results/*.json.

python scripts/guide/reproduced.py     writes both parts anew, each between its two comments
"""

from __future__ import annotations

from pathlib import Path

from gansweep.reproduce.guide import every_table, page_part, readme_part

TOP = Path(__file__).resolve().parents[2]
RESULTS = TOP / "results"
BEGIN, END = "<!-- reproduced tables -->", "<!-- end of the reproduced tables -->"


def pages() -> dict[Path, str]:
    """Each file -> its content with the results of today.   Raises: ValueError without comments."""
    tables = [*every_table(RESULTS)]
    parts = {"docs/reproduce.md": page_part(tables), "README.md": readme_part(tables)}
    return {TOP / name: _with_part(TOP / name, part) for name, part in parts.items()}


def _with_part(path: Path, part: str) -> str:
    page = path.read_text(encoding="utf-8")
    if BEGIN not in page or END not in page:
        raise ValueError(f"{path} needs the lines '{BEGIN}' and '{END}' around the results.")
    before, _, rest = page.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{part}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    for path, content in pages().items():
        path.write_text(content, encoding="utf-8")
