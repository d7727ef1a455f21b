"""Run the experiments and write the score and the seconds they took into the files that state them.

scripts/figures [NAME ...]: experiments of conf/experiment/, all by default. For each, one run with
seed 0 on one thread, whose seconds are those of the processor, from the start of the command to its
end; then line 3 of its file, line 2 of the model's file that names it, and its row
in the README say what came out. Where the README shows a picture of it, that is its last samples.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
EXPERIMENTS = TOP / "conf" / "experiment"
README = TOP / "README.md"
PICTURES = TOP / ".github" / "images" / "families"


def main() -> None:
    known = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: every experiment")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on one core")
    options = parser.parse_args()
    names = options.names or known
    if unknown := set(names) - set(known):
        parser.error(f"conf/experiment/ has no {', '.join(sorted(unknown))}")
    with ThreadPoolExecutor(options.jobs) as pool:
        results = zip(names, pool.map(trained, names), strict=True)
        for number, (name, result) in enumerate(results, start=1):
            told = f"{seconds(result)} s on one core of {processor(result)}: {score(result)}"
            print(f"[{number}/{len(names)}] {name}: {told}", flush=True)
            state(name, result, told)


def trained(name: str) -> dict[str, Any]:
    """The content of result.json of one run in an empty place."""
    with tempfile.TemporaryDirectory() as place:
        words = [f"experiment={name}", "trainer=cpu", "trainer.threads=1", "tracker=none"]
        command = [sys.executable, "-m", "gansweep", "train", *words, f"runs_dir={place}"]
        log = Path(place, "log.txt")
        with open(log, "wb") as file:
            process = subprocess.Popen(command, cwd=TOP, stdout=file, stderr=file)
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"{name} failed:\n{log.read_text()[-3000:]}")
        (path,) = Path(place).glob("**/result.json")
        content: dict[str, Any] = json.loads(path.read_text())
        # of the processor: what else the machine does counts for nothing
        content["seconds"] = usage.ru_utime + usage.ru_stime
        _state_the_test(content, path.with_name("evaluations.jsonl"))
        if f"families/{name}.png" in README.read_text():
            PICTURES.mkdir(exist_ok=True)
            shutil.copy(max((path.parent / "samples").glob("*.png")), PICTURES / f"{name}.png")
    return content


def _state_the_test(result: dict[str, Any], evaluations: Path) -> None:
    """Where held-out samples judge the run, state what it came to on the test split instead."""
    protocols = result["protocols"]
    judged_by = protocols[result["objective"]]
    if judged_by.get("split") != "validation":
        return
    reported = json.loads(evaluations.read_text().splitlines()[-1])
    words = {protocol["score"]: name for name, protocol in reported["protocols"].items()}
    result["objective"] = words[judged_by["score"]]
    protocols |= reported["protocols"]
    result["last"] |= reported["scores"]


def seconds(result: dict[str, Any]) -> int:
    return round(result["seconds"])


def score(result: dict[str, Any]) -> str:
    """The objective at the end, and the captured modes where they are counted."""
    name = result["objective"]
    tested = result["protocols"][name].get("split") == "test"
    told = f"{name} {value(result, name)} {'of the best checkpoint' if tested else 'at the end'}"
    modes = next((key for key in result["last"] if key.startswith("modes_")), None)
    if modes is not None and name.startswith(("fid", "reverse_kl")):
        counts = next(v["value"] for k, v in result["last"].items() if k.startswith("mode_counts"))
        told += f", {result['last'][modes]['value']:.0f} of {len(counts)} modes"
    told += "".join(f", {name} {value(result, name)}" for name in class_agreement(result))
    return f"{told} (seed 0)"


def class_agreement(result: dict[str, Any]) -> list[str]:
    """The score of a conditional model that says whether it makes what it is asked for."""
    return [name for name, p in result["protocols"].items() if p["score"] == "class_agreement"]


def value(result: dict[str, Any], name: str) -> str:
    number = result["last"][name]["value"]
    return f"{number:.2f}" if abs(number) >= 1 else f"{number:.3f}"


def processor(result: dict[str, Any]) -> str:
    """ "an AMD EPYC" where it is an AMD EPYC 7763."""
    name = " ".join(str(result["hardware"]["device"]).split()[:2])
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def state(name: str, result: dict[str, Any], told: str) -> None:
    path = EXPERIMENTS / f"{name}.yaml"
    lines = path.read_text().splitlines()
    stated = re.match(r"# \d+ s on one .*core of ", lines[2])
    lines[2 : 3 if stated else 2] = [f"# {told}"]
    path.write_text("\n".join(lines) + "\n")
    objective = result["objective"]
    figure = f"{objective} {value(result, objective)}"
    short = f"{seconds(result)} s on one core of {processor(result)}: {figure}"
    for model in (TOP / "conf" / "model").glob("*.yaml"):
        text = model.read_text()
        pattern = rf"^# gansweep train experiment={name}\b.*$"
        line = f"# gansweep train experiment={name}, {short}"
        model.write_text(re.sub(pattern, line, text, count=1, flags=re.MULTILINE))
    word = result["protocols"][objective]["score"]
    followed = "".join(f"class {value(result, n)}, " for n in class_agreement(result))
    cells = f"| {followed}{word} {value(result, objective)} | {seconds(result)} |"
    row = re.compile(rf"(\| `{name}` (?:\|[^|`]*)?)\|[^|]*\|[^|]*\|$", re.MULTILINE)
    README.write_text(row.sub(rf"\g<1>{cells}", README.read_text()))


if __name__ == "__main__":
    main()
