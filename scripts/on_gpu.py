"""Check a new GPU within a time limit: tests, parity with the CPU, benchmarks, one training.

Each step is a separate program with a share of the time. Time that a step does not use goes to the
steps after it. A step that fails or runs out of time is reported, and the next one starts. At the
end DIR holds table.md (rows for BENCHMARKS.md with the device's name), report.json, log.txt (the
output of all steps) and the pictures of the training.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[1]
SAVES = 20  # seconds that a step gets to save and exit when its time is up
LEAST = 5  # a step with fewer seconds than this is not started


@dataclass(frozen=True)
class Step:
    """One program, its share of the time, and how its report becomes table rows.

    words: arguments of the Python interpreter.   rows: gives (what, figure) pairs for a log file.
    """

    name: str
    share: float
    words: Sequence[str]
    rows: Callable[[Path], list[tuple[str, str]]]


def steps_on(device: str, out: Path, words: Sequence[str]) -> list[Step]:
    """The steps on "cuda", or smaller ones on "cpu".   words: options of the training."""
    small = device == "cpu"
    trainer = "cpu" if small else "gpu"
    train = [
        *("train", "model=dcgan", "data=digits", "data.image_size=32", f"trainer={trainer}"),
        *("model.generator.width=16", "model.discriminator.width=16") * small,
        *(f"budget_kimg={2 if small else 300}", "callbacks.quality.every_kimg=100"),
        *("tracker=none", f"runs_dir={out / 'runs'}", "group=on_gpu", "name=dcgan32", *words),
    ]
    scripts = str(TOP / "scripts")
    found = {name: out / f"{name}.json" for name in ("parity", "graphs", "training", "scores")}
    return [
        Step(
            "tests",
            0.25,
            ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "gpu", str(TOP / "tests")],
            lambda log: [("pytest -m gpu", last_line(log))],
        ),
        Step(
            "parity",
            0.15,
            [f"{scripts}/parity.py", "--device", device, "--json", str(found["parity"])],
            lambda log: parity_rows(found["parity"]),
        ),
        Step(
            "CUDA graphs",
            0.1,
            [f"{scripts}/graphs.py", "--device", device, "--json", str(found["graphs"])],
            lambda log: graphs_rows(found["graphs"]),
        ),
        Step(
            "bench training",
            0.2,
            [
                f"{scripts}/benchmarks/throughput.py",
                *("--device", device, "--rounds", "1" if small else "5"),
                *("--json", str(found["training"])),
            ],
            lambda log: training_rows(found["training"]),
        ),
        Step(
            "bench scores",
            0.15,
            [
                *(f"{scripts}/benchmarks/scores.py", "scores", "--device", device),
                *("--images", "64" if small else "320", "--rounds", "1" if small else "3"),
                *("--json", str(found["scores"])),
            ],
            lambda log: scores_rows(found["scores"]),
        ),
        Step(
            "train 32x32",
            0.15,
            ["-m", "gansweep", *train],
            lambda log: run_rows(out / "runs" / "on_gpu" / "dcgan32"),
        ),
    ]


def last_line(log: Path) -> str:
    lines = [line for line in log.read_text().splitlines() if line.strip()]
    return lines[-1].strip("= ") if lines else "nothing"


def read(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def parity_rows(path: Path) -> list[tuple[str, str]]:
    found = read(path)
    if found is None:
        return []
    largest = {v: worst for v, worst in found["largest"].items() if worst is not None}
    worst = max(largest, key=lambda v: largest[v])
    figure = f"{found['equal']} of {len(found['largest'])} models; {largest[worst]:.1e} ({worst})"
    return [("one step in float64 against the CPU's, largest relative difference", figure)]


def graphs_rows(path: Path) -> list[tuple[str, str]]:
    return [
        (
            f"a turn as one CUDA graph, {row['game']}: of the eager speed; difference in float64",
            f"{row['median']:.2f} ({row['least']:.2f}, {row['most']:.2f}); {row['difference']:.1e}",
        )
        for row in read(path) or []
    ]


def training_rows(path: Path) -> list[tuple[str, str]]:
    return [
        (
            f"training, {row['game']}: {row['way']}, against the {row['loop']} loop "
            f"({row['images_per_second']:,.0f} images/s)",
            f"{row['median']:.2f} ({row['least']:.2f}, {row['most']:.2f})",
        )
        for row in read(path) or []
    ]


def scores_rows(path: Path) -> list[tuple[str, str]]:
    return [
        (
            f"{row['way']}, seconds, of those of {row['against']}",
            f"{row['seconds']:.2f}, {row['ratio']:.2f}",
        )
        for row in read(path) or []
    ]


def run_rows(run: Path) -> list[tuple[str, str]]:
    result = read(run / "result.json")
    if result is None:
        return []
    scores = ", ".join(
        f"{name} {float(score['value']):.3g}"
        for name, score in result["last"].items()
        if isinstance(score["value"], (int, float)) and name == result.get("objective")
    )
    seconds = float(result["seconds"])
    speed = result["kimg"] * 1000 / seconds if seconds else 0
    end = f"{result['status']} at {result['kimg']:g} kimg, {seconds:.0f} s, {speed:,.0f} images/s"
    return [("train model=dcgan data=digits data.image_size=32", f"{end}; {scores or 'no score'}")]


def device_name(device: str) -> str:
    if device == "cpu":
        return f"CPU ({platform.machine()}), a rehearsal"
    import torch

    return str(torch.cuda.get_device_name())


def run_step(step: Step, seconds: float, log: Path) -> str:
    """Run a step for at most `seconds`.   Returns: "done", "failed (code)" or "cut after N s".

    A step that is out of time gets SIGTERM, so that it can save, and SIGKILL if it does not exit.
    """
    with open(log, "wb") as file:
        process = subprocess.Popen(
            [sys.executable, *step.words],
            cwd=TOP,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
            return "done" if code == 0 else f"failed ({code})"
        except subprocess.TimeoutExpired:
            return f"cut after {seconds:.0f} s"
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a step and all processes that it started."""
    for number, wait in ((signal.SIGTERM, SAVES), (signal.SIGKILL, None)):
        if process.poll() is not None:
            break
        os.killpg(process.pid, number)
        try:
            process.wait(wait)
        except subprocess.TimeoutExpired:
            continue


def run_all(steps: Sequence[Step], seconds: float, out: Path) -> list[dict[str, Any]]:
    """Run every step with its share of the time that is left.   Returns: one report per step."""
    ends = time.monotonic() + seconds
    found: list[dict[str, Any]] = []
    for number, step in enumerate(steps):
        left = ends - time.monotonic()
        mine = left * step.share / sum(later.share for later in steps[number:])
        log = out / f"{step.name.replace(' ', '_')}.log"
        print(f"[{number + 1}/{len(steps)}] {step.name}: at most {mine:.0f} s", flush=True)
        began = time.monotonic()
        outcome = run_step(step, mine, log) if mine >= LEAST else "not begun"
        took = time.monotonic() - began
        rows = step.rows(log) if log.exists() else []
        found.append({"step": step.name, "outcome": outcome, "seconds": took, "rows": rows})
        print(f"      {outcome} in {took:.0f} s", flush=True)
        for what, figure in rows:
            print(f"      {what}: {figure}", flush=True)
        if outcome != "done" and log.exists():
            print("".join(f"      | {line}\n" for line in tail(log)), end="", flush=True)
    return found


def tail(log: Path, lines: int = 12) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-lines:]


def table(name: str, found: Sequence[dict[str, Any]]) -> str:
    """A section of BENCHMARKS.md."""
    versions = f"Python {platform.python_version()}, torch {torch_version()}"
    day = datetime.date.today().strftime("%B %Y")
    lines = [f"## {name}, {versions}, {day}", "", "| what | how | figure |", "|---|---|---|"]
    for result in found:
        how = f"`scripts/on_gpu`, {result['step']}: {result['outcome']}"
        rows = result["rows"] or [(result["step"], "nothing measured")]
        lines += [f"| {what} | {how} | {figure} |" for what, figure in rows]
    return "\n".join(lines) + "\n"


def torch_version() -> str:
    import torch

    return str(torch.__version__)


def collect(out: Path, steps: Sequence[Step]) -> None:
    """Join the logs of all steps into one, and copy the last samples of the training beside it."""
    with open(out / "log.txt", "w") as whole:
        for step in steps:
            log = out / f"{step.name.replace(' ', '_')}.log"
            if log.exists():
                whole.write(f"== {step.name}\n{log.read_text(errors='replace')}\n")
                log.unlink()
    pictures = sorted((out / "runs").glob("**/samples/*.webp"))
    if pictures:
        (out / "samples.webp").write_bytes(pictures[-1].read_bytes())


def main() -> int:
    """Exit code: 1 if a step failed or was cut, 2 if there is no such device."""
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],  # type: ignore[union-attr]
        epilog="Other arguments are options of the training, such as data=mnist data.root=DIR.",
    )
    parser.add_argument("--minutes", type=float, default=10, help="for all steps (default 10)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="default: cuda")
    parser.add_argument(
        "--out", type=Path, default=Path("on_gpu"), metavar="DIR", help="default: on_gpu"
    )
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="options of the training")
    options = parser.parse_args()
    if options.minutes <= 0:
        parser.error(f"--minutes {options.minutes:g} leaves no time: give 1 or more")
    if options.device == "cuda":
        import torch

        if not torch.cuda.is_available():
            parser.error(
                "PyTorch sees no GPU here: check nvidia-smi, or rehearse with --device cpu"
            )
    out = options.out.resolve()
    if (out / "runs").exists():
        parser.error(f"{out} holds the figures of an earlier call: give another --out")
    out.mkdir(parents=True, exist_ok=True)
    steps = steps_on(options.device, out, options.words)
    found = run_all(steps, options.minutes * 60 - SAVES, out)
    name = device_name(options.device)
    (out / "report.json").write_text(json.dumps({"device": name, "steps": found}, indent=2) + "\n")
    (out / "table.md").write_text(table(name, found))
    collect(out, steps)
    print(f"\n{table(name, found)}\nIn {out}: table.md, report.json, log.txt, samples.webp, runs/")
    return 0 if all(result["outcome"] == "done" for result in found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
