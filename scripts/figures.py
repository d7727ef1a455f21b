"""Run the experiments and write their scores and seconds into the files that state them.

scripts/figures [NAME ...]: experiments of conf/experiment/, all by default but the published runs
(paper_*), which take a GPU for days. Each is one run with
seed 0 on one thread. Its seconds are CPU seconds of the whole command. The result is written into
line 3 of the experiment's file and line 2 of the model file that names it; the guide's catalogue is
made from these lines. A picture of the experiment that is already in .github/images/families/ is
replaced by the last samples, and so are its records in results/, where it has any.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from gansweep.records.record import RunRecord
from gansweep.records.sheets import as_png, enlarged, layout_of

TOP = Path(__file__).resolve().parents[1]
EXPERIMENTS = TOP / "conf" / "experiment"
MODELS = TOP / "conf" / "model"
PICTURES = TOP / ".github" / "images" / "families"
RESULTS = TOP / "results"
RECORDS = ("config.yaml", "result.json", "history.jsonl", "evaluations.jsonl")


def main() -> None:
    known = sorted(path.stem for path in EXPERIMENTS.glob("*.yaml"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all but paper_*")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, each on one core")
    options = parser.parse_args()
    names = options.names or [name for name in known if not name.startswith("paper_")]
    if unknown := set(names) - set(known):
        parser.error(f"conf/experiment/ has no {', '.join(sorted(unknown))}")
    with ThreadPoolExecutor(options.jobs) as pool:
        results = zip(names, pool.map(trained, names), strict=True)
        for number, (name, result) in enumerate(results, start=1):
            summary = f"{seconds(result)} s on one core of {processor(result)}: {score(result)}"
            print(f"[{number}/{len(names)}] {name}: {summary}", flush=True)
            state(name, result, summary)


def trained(name: str) -> dict[str, Any]:
    """The content of result.json of one run, whose directory is removed."""
    place = Path(
        "build", "figures", name
    )  # relative: records that are kept name no machine's paths
    shutil.rmtree(TOP / place, ignore_errors=True)
    words = [f"experiment={name}", "trainer=cpu", "trainer.threads=1", "tracker=none"]
    command = [sys.executable, "-m", "gansweep", "train", *words, f"runs_dir={place}"]
    log = TOP / place / "log.txt"
    log.parent.mkdir(parents=True)
    with open(log, "wb") as file:
        process = subprocess.Popen(command, cwd=TOP, stdout=file, stderr=file)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{name} failed:\n{log.read_text()[-3000:]}")
    (path,) = log.parent.glob("**/result.json")
    content: dict[str, Any] = json.loads(path.read_text())
    # CPU seconds do not depend on what else the machine does
    content["seconds"] = usage.ru_utime + usage.ru_stime
    _state_the_test(content, path.with_name("evaluations.jsonl"))
    if (PICTURES / f"{name}.png").exists():
        show_last_samples(RunRecord(path.parent), PICTURES / f"{name}.png")
    if (RESULTS / name).is_dir():
        keep_records(path.parent, RESULTS / name)
    shutil.rmtree(TOP / place)
    return content


def keep_records(run: Path, place: Path) -> None:
    """Copy what a run has written in words: neither weights nor pictures."""
    for file in RECORDS:
        (place / file).unlink(missing_ok=True)
        if (run / file).exists():
            shutil.copyfile(run / file, place / file)


def show_last_samples(record: RunRecord, target: Path) -> None:
    """Write the last sheet of samples as PNG, enlarged and marked as machine-made."""
    sheet = record.sample_grids()[-1][1]
    layout = layout_of(sheet.read_bytes())
    with Image.open(sheet) as picture:
        target.write_bytes(as_png(enlarged(picture), layout.kind if layout else ""))


def _state_the_test(result: dict[str, Any], evaluations: Path) -> None:
    """If the objective uses the validation split, replace it by the score of the test split."""
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
    text = f"{name} {value(result, name)} {'of the best checkpoint' if tested else 'at the end'}"
    modes = next((key for key in result["last"] if key.startswith("modes_")), None)
    if modes is not None and name.startswith(("fid", "reverse_kl")):
        counts = next(v["value"] for k, v in result["last"].items() if k.startswith("mode_counts"))
        text += f", {result['last'][modes]['value']:.0f} of {len(counts)} modes"
    text += "".join(f", {name} {value(result, name)}" for name in class_agreement(result))
    return f"{text} (seed 0)"


def class_agreement(result: dict[str, Any]) -> list[str]:
    """The score of a conditional model: how often its samples are of the requested class."""
    return [name for name, p in result["protocols"].items() if p["score"] == "class_agreement"]


def value(result: dict[str, Any], name: str) -> str:
    number = result["last"][name]["value"]
    return f"{number:.2f}" if abs(number) >= 1 else f"{number:.3f}"


def processor(result: dict[str, Any]) -> str:
    """The first two words of the processor's name with an article, such as "an AMD EPYC"."""
    name = " ".join(str(result["hardware"]["device"]).split()[:2])
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def state(name: str, result: dict[str, Any], summary: str) -> None:
    """Write the result of one experiment into its file and its model's file."""
    path = EXPERIMENTS / f"{name}.yaml"
    lines = path.read_text().splitlines()
    stated = re.match(r"# \d+ s on one .*core of ", lines[2])
    lines[2 : 3 if stated else 2] = [f"# {summary}"]
    path.write_text("\n".join(lines) + "\n")
    objective = result["objective"]
    figure = f"{objective} {value(result, objective)}"
    short = f"{seconds(result)} s on one core of {processor(result)}: {figure}"
    for model in MODELS.glob("*.yaml"):
        text = model.read_text()
        pattern = rf"^# gansweep train experiment={name}\b.*$"
        line = f"# gansweep train experiment={name}, {short}"
        model.write_text(re.sub(pattern, line, text, count=1, flags=re.MULTILINE))


if __name__ == "__main__":
    main()
