"""Seconds and sizes of the report's board: writing the page, opening it in Chromium, using it.

The runs are written by this program: a sweep of `--runs` runs, five seeds a configuration, each
with `--points` rows of history and `--moments` sheets of 64 images. In Chromium, headless: the
first paint, when the leaderboard can be used, when the first figure stands, and how long controls
take. Needs playwright and Chromium.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from gansweep.records.sheets import Layout, as_webp
from gansweep.report.page.page import write_report

FID, MODES = "fid_digitsnet_2k_train", "modes_2k"
WORDS = ("precision", "recall", "density", "coverage")
SCORES = (FID, MODES, *(f"{word}_digitsnet_2k_train" for word in WORDS))
MODELS = ("gan", "dcgan", "wgan_gp", "sngan")
SEEDS = 5
SHEETS = 40  # different sheets, which the runs share
LAYOUT = Layout("samples", 8, 8, (28, 28), gap=0, count=64, noise=100)
STARTED = "document.documentElement.dataset.started === 'yes'"
USABLE = "document.querySelector('#leaderboard tbody tr input') !== null"
FIGURE = "Number(document.documentElement.dataset.figures || 0) > 0"


def protocol(score: str) -> dict[str, Any]:
    word = score.split("_")[0]
    direction = "minimize" if word == "fid" else "maximize"
    measured = {"n_fake": 2000, "n_real": 1437, "split": "train", "data": "digits"}
    return {"score": word, "direction": direction, **measured, "backbone": "digitsnet"}


def sheets() -> list[bytes]:
    """Strokes on a dark ground, about as large as sheets of digits."""
    found = []
    for number in range(SHEETS):
        rng = np.random.default_rng(number)
        pixels = np.zeros((8, 28, 8, 28))
        for row in range(8):
            for column in range(8):
                x, y = rng.uniform(6, 22, 2)
                for _ in range(60):
                    x, y = np.clip((x + rng.normal(0, 1.5), y + rng.normal(0, 1.5)), 1, 26)
                    tile = pixels[row, int(y) - 1 : int(y) + 2, column, int(x) - 1 : int(x) + 2]
                    tile += rng.uniform(40, 120)
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8).reshape(224, 224))
        found.append(as_webp(image, LAYOUT))
    return found


def write_runs(top: Path, runs: int, points: int, moments: int) -> None:
    pictures = sheets()
    for number in range(runs):
        write_run(top / "large-sweep", number, points, moments, pictures)


def write_run(sweep: Path, number: int, points: int, moments: int, pictures: list[bytes]) -> None:
    """The files of one run as training writes them."""
    trial, seed = divmod(number, SEEDS)
    rng = random.Random(number)
    model = MODELS[trial % len(MODELS)]
    lr = 1e-4 * 10 ** random.Random(trial).uniform(0, 1.5)
    params = {"model": model, "model.optimizer.generator.lr": lr, "model.n_critic": 1 + trial % 5}
    final = 15 + 8 * (trial % len(MODELS)) + 20 * abs(math.log10(lr / 4e-4)) + rng.gauss(0, 0.8)
    directory = sweep / f"t{trial:04d}-s{seed}"
    for folder in ("samples", "checkpoints"):
        (directory / folder).mkdir(parents=True)
    lines = [{"kimg": 1.0, "protocol": {score: protocol(score) for score in SCORES}}]
    for place in range(points):
        kimg = 60 * (place + 1) / points
        lines.append({"kimg": kimg, "seconds": 2 * kimg, **row(kimg, final, rng)})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (directory / "history.jsonl").write_text(text)
    config = {
        "model": {"optimizer": {"generator": {"lr": lr}}, "n_critic": params["model.n_critic"]}
    }
    config |= {"choices": {"model": model, "data": "digits"}, "seed": seed, "batch_size": 64}
    (directory / "config.yaml").write_text(json.dumps(config))
    last = {score: {"value": lines[-1][score], "kimg": 60.0} for score in SCORES}
    result = {
        **{"status": "finished", "reason": "", "model": model, "data": "digits", "seed": seed},
        **{"kimg": 60.0, "objective": FID, "best": last, "last": last, "seconds": 120.0},
        **{"images_per_second": 500.0, "protocols": {score: protocol(score) for score in SCORES}},
        "command": f"gansweep train model={model} seed={seed}",
        "sweep": {
            **{"name": "large-sweep", "key": f"t{trial:04d}", "params": params, "role": "trial"},
            "objective": {"metric": FID, "direction": "minimize", "at": "last"},
        },
    }
    (directory / "result.json").write_text(json.dumps(result))
    for moment in range(moments):
        file = directory / "samples" / f"{60_000 * (moment + 1) // moments:09d}.webp"
        file.write_bytes(pictures[(number + moment) % len(pictures)])


def row(kimg: float, final: float, rng: random.Random) -> dict[str, float]:
    decay = math.exp(-kimg / 15)
    near = max(0.05, 1 - final / 100)
    shares = {f"{word}_digitsnet_2k_train": near * (1 - decay) for word in WORDS}
    return {
        FID: final + 200 * decay + rng.gauss(0, 0.6),
        MODES: float(round(10 * (1 - decay))),
        **{name: share * rng.uniform(0.97, 1.03) for name, share in shares.items()},
        "loss/generator": 1 + final / 60 - decay + rng.gauss(0, 0.05),
        "loss/discriminator": 0.5 + decay + rng.gauss(0, 0.05),
        "grad_norm/generator": 0.3 + rng.uniform(0, 0.2),
        "grad_norm/discriminator": 0.5 + rng.uniform(0, 0.2),
        "balance/real_mean": 0.5 + 0.3 * decay + rng.gauss(0, 0.01),
        "balance/fake_mean": 0.5 - 0.3 * decay + rng.gauss(0, 0.01),
    }


def until(page: Page, condition: str, limit: float = 60.0) -> float:
    """Milliseconds since the navigation began when the condition holds."""
    end = time.monotonic() + limit
    while not page.evaluate(condition):
        if time.monotonic() > end:
            raise TimeoutError(condition)
        time.sleep(0.01)
    return float(page.evaluate("performance.now()"))


def opened(page: Page, file: Path) -> dict[str, float]:
    page.goto(file.as_uri(), wait_until="commit")
    until(page, STARTED)
    found = {"usable": until(page, USABLE)}
    paint = "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)[0] ?? 0"
    found["first paint"] = float(page.evaluate(paint))
    if page.evaluate("document.getElementById('curves') !== null"):
        before = float(page.evaluate("performance.now()"))
        page.evaluate("gansweep.goTo('curves')")
        found["first figure, once asked for"] = until(page, FIGURE) - before
    page.evaluate("gansweep.goTo('leaderboard')")
    page.wait_for_timeout(3000)  # the sections above it settle
    return found


def controls(page: Page) -> dict[str, float]:
    """Milliseconds from a change of the state to the next painted frame with the table redrawn."""
    rows = "gansweep.board.rows"
    changes = {
        "filter": "{filter: 'lr > 3e-4 and model = dcgan'}",
        "no filter": "{filter: ''}",
        "search": "{search: 'wgan'}",
        "no search": "{search: ''}",
        "sort": "{sort: [gansweep.board.columns[0].id, 'desc']}",
        "pin a baseline": f"{{baseline: {rows}[0].id}}",
        "select all rows": f"{{selected: {rows}.map(row => row.id)}}",
        "select other rows": f"{{selected: {rows}.slice(1, 6).map(row => row.id)}}",
        "single runs": "{group: 'runs', sort: null}",
        "configurations": "{group: 'rows'}",
        "other columns": "{columns: gansweep.board.columns.slice(0, 6).map(one => one.id)}",
    }
    timed = """change => new Promise(done => {
        const from = performance.now();
        gansweep.state.set(change);
        requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(
            () => done(performance.now() - from), 0)));
    })"""
    return {
        name: float(page.evaluate(f"({timed})({change})"))
        for name, change in changes.items()
        if not page.wait_for_timeout(400)
    }


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next(found for name in names if (found := shutil.which(name)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--points", type=int, default=200)
    parser.add_argument("--moments", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="write the runs and the page here, and keep them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        top = options.keep or Path(place)
        if not (top / "large-sweep").exists():
            write_runs(top, options.runs, options.points, options.moments)
        began = time.perf_counter()
        file = write_report([top / "large-sweep"], top / "report.html")
        print(f"{options.runs} runs x {options.points} points x {options.moments} moments")
        seconds, size = time.perf_counter() - began, file.stat().st_size / 1e6
        print(f"page written in {seconds:.1f} s, {size:.1f} MB")
        measured: dict[str, list[float]] = {}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
            for _ in range(options.rounds):
                page = browser.new_page(viewport={"width": 1280, "height": 900})
                for name, value in {**opened(page, file), **controls(page)}.items():
                    measured.setdefault(name, []).append(value)
                page.close()
            browser.close()
    for name, values in measured.items():
        print(f"{name:32} {statistics.median(values):7.0f} ms")


if __name__ == "__main__":
    main()
