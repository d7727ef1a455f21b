"""Seconds of gansweep's scores compared with torch-fidelity's, and of the Frechet distance.

`scores`: digits of the training set against digits of the test set, both at 32 x 32, with
Inception-v3 and random weights (torch-fidelity's precision and recall use VGG-16). Both libraries
get the same images and weights and have the features of the real images in their cache. One call of
gansweep loads the network, reads the cache and scores. "the same again" is another call of the same
panel, as in a training run. `frechet`: two covariances of 2,048 features. The ways run in turn in
every round, ratios are taken within a round, and the median of the rounds is printed. On a CPU the
seconds are the process's work on it, so that other processes of the machine do not enter, and with
one thread each way runs in a fork of its own: ours keeps freed memory there, as a training run and
`gansweep evaluate` do, and torch-fidelity has the C library's defaults.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.linalg
import torch
from forks import apart
from torch import Tensor, nn

from gansweep.data.images import Digits
from gansweep.data.source import DataSource
from gansweep.metrics.features.inception import PUBLISHED
from gansweep.metrics.moments import Gaussian
from gansweep.metrics.panel import Panel
from gansweep.metrics.scores.frechet import frechet_distance
from gansweep.run.memory import keep_freed_memory

THREE = ("fid", "is", "kid")
ALL = (*THREE, "precision", "recall", "density", "coverage")
VGG_FILE = "vgg16-397923af.pth"  # as torchvision names it
DIM = 2048
IMAGES = range(20, 361)  # the Inception score needs 20; digits has 360 test images
Way = Callable[[], dict[str, float]]


def progress(what: str) -> None:
    if sys.stderr.isatty():
        print(f"\r  {what}\x1b[K", end="\r", file=sys.stderr, flush=True)


def work() -> float:
    """Processor seconds of this process and of its children that have ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in found)


def timed(
    ways: dict[str, Way], rounds: int, clock: Callable[[], float] = work
) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """Returns: seconds of every way in every round, and the last result of each way."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Any] = {}
    for number in range(rounds):
        # every other round backwards: the CPU caches then help each way equally
        for name in list(ways)[:: 1 if number % 2 == 0 else -1]:
            progress(f"round {number + 1}/{rounds}: {name}")
            began = clock()
            found[name] = ways[name]()
            seconds[name].append(clock() - began)
    progress("")
    return seconds, found


def keeping_memory(way: Way) -> dict[str, float]:
    """The way as in gansweep's own processes, see keep_freed_memory."""
    keep_freed_memory()
    return way()


def row(name: str, seconds: list[float], against: list[float] | None, target: str = "") -> str:
    line = f"  {name:44} {statistics.median(seconds):8.2f} s"
    if against is None:
        return line
    ratios = [ours / theirs for ours, theirs in zip(seconds, against, strict=True)]
    spread = f"({min(ratios):.3f} to {max(ratios):.3f})"
    return f"{line}   {statistics.median(ratios):6.3f} of its time {spread:18} {target}"


def write_weights(folder: Path, images: Tensor) -> None:
    """Write random weights into torch.hub's folder, so that neither library downloads anything.

    images: uint8 (n, 3, H, W). Inception's batch norms take their statistics from these images:
        with other statistics random layers would give all images the same features.
    """
    import torchvision
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Unloaded(FeatureExtractorInceptionV3):
        def load_state_dict(self, *_: Any, **__: Any) -> None:
            """There is nothing to load yet."""

    folder.mkdir(parents=True)
    file = folder / PUBLISHED.file_name
    torch.save({}, file)
    torch.manual_seed(0)
    network = Unloaded("", ["2048"], feature_extractor_weights_path=str(file)).train()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of this one batch
    with torch.no_grad():
        network(images)
        network.fc.weight *= 30  # the class probabilities then differ between images
    torch.save(network.state_dict(), file)
    torch.save(torchvision.models.vgg16().state_dict(), folder / VGG_FILE)


class Images(torch.utils.data.Dataset[Tensor]):
    """A data set for torch-fidelity from images: uint8 (n, 3, H, W)."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, i: int) -> Tensor:
        return self.images[i]


def theirs(
    fake: Tensor, real: Tensor, cache: Path, device: str, **options: Any
) -> dict[str, float]:
    """One call of torch-fidelity. It caches the features of the real images in the first call."""
    from torch_fidelity import calculate_metrics

    found: dict[str, float] = calculate_metrics(
        input1=Images(fake.expand(-1, 3, -1, -1)),
        input2=Images(real.expand(-1, 3, -1, -1)),
        input2_cache_name="real",
        cache_root=str(cache),
        isc=True,
        fid=True,
        kid=True,
        kid_subset_size=len(fake) // 2,  # as ours
        cuda=device == "cuda",
        verbose=False,
        **options,
    )
    return found


def panel_of(data: DataSource, n: int, scores: tuple[str, ...], device: str) -> Panel:
    panel = Panel(data, n_fake=n, n_real=n, backbone="inception", scores=scores)
    panel.prepare(device)
    return panel


def ours(panel: Panel, fake: Tensor) -> dict[str, float]:
    """One call of a panel.   Returns: name of the score, such as "fid" -> value."""
    samples = iter(fake.float() / 127.5 - 1)

    def generate(n: int, _: torch.Generator) -> Tensor:
        return torch.stack([next(samples) for _ in range(n)]).to(panel.device)

    scores = panel.score(generate).values()
    return {str(score.protocol["score"]): float(score.value) for score in scores}  # type: ignore[arg-type]


def compare_scores(n: int, rounds: int, device: str) -> list[dict[str, Any]]:
    """Print the seconds of each way and the ratio to torch-fidelity's.   Returns: them as rows."""
    data = Digits(image_size=32)
    real, fake = (
        torch.cat([chunk for chunk, _ in data.arrays(split, n)]) for split in ("train", "test")
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"TORCH_HOME": folder, "GANSWEEP_CACHE": f"{folder}/gansweep"}
        colour = real[:16].expand(-1, 3, -1, -1)
        write_weights(Path(folder, "hub", "checkpoints"), colour)
        cache = Path(folder, "fidelity")
        progress("filling both caches with the features of the real images")
        panel = panel_of(data, n, ALL, device)
        theirs(real, real, cache, device, prc=True, input1_cache_name="real")
        ways: dict[str, Way] = {
            "torch-fidelity: FID, IS, KID": lambda: theirs(fake, real, cache, device),
            "gansweep: FID, IS, KID": lambda: ours(panel_of(data, n, THREE, device), fake),
            "torch-fidelity: FID, IS, KID, PRC": lambda: theirs(
                fake, real, cache, device, prc=True
            ),
            "gansweep: these and density, coverage": lambda: ours(
                panel_of(data, n, ALL, device), fake
            ),
            "gansweep: the same again": lambda: ours(panel, fake),
        }
        ways |= {n: partial(keeping_memory, way) for n, way in ways.items() if "gansweep" in n}
        ways = {name: partial(apart, way, device) for name, way in ways.items()}
        seconds, found = timed(ways, rounds, work if device == "cpu" else time.perf_counter)
    (three, our_three, four, our_all, again) = ways
    print(f"{n} images of 32 x 32 against {n}, under Inception-v3; median of {rounds} rounds")
    print(row(three, seconds[three], None))
    print(row(our_three, seconds[our_three], seconds[three], "target 0.35"))
    print(row(four, seconds[four], None))
    print(row(our_all, seconds[our_all], seconds[four], "target 0.13"))
    print(row(again, seconds[again], seconds[four]))
    keys = {
        "fid": "frechet_inception_distance",
        "is": "inception_score_mean",
        "kid": "kernel_inception_distance_mean",
    }
    for word, key in keys.items():
        expected, value = found[three][key], found[our_three][word]
        difference = abs(value / expected - 1)
        print(f"  {word:4} {value:.8g}, torch-fidelity {expected:.8g}: relative {difference:.1e}")
    return [
        {
            "way": way,
            "against": against,
            "seconds": statistics.median(seconds[way]),
            "ratio": statistics.median(
                a / b for a, b in zip(seconds[way], seconds[against], strict=True)
            ),
        }
        for way, against in ((our_three, three), (our_all, four), (again, four))
    ]


def covariance(features: np.ndarray[Any, Any]) -> Gaussian:
    cov = torch.from_numpy(np.cov(features, rowvar=False))
    return Gaussian(torch.from_numpy(features.mean(0)), cov)


def compare_traces(rounds: int) -> None:
    """Time the distance of two Gaussians in 2,048 dimensions, the real one's factor computed."""
    draw = np.random.default_rng(0)
    scale = np.geomspace(1, 1e-3, DIM)
    real = covariance(draw.normal(size=(2 * DIM, DIM)) * scale)
    fake = covariance(draw.normal(0.1, 1, (2 * DIM, DIM)) * scale[draw.permutation(DIM)])
    product = real.cov.numpy() @ fake.cov.numpy()
    rest = float((real.mean - fake.mean).square().sum() + real.cov.trace() + fake.cov.trace())
    assert real.factor.shape == (DIM, DIM)  # computed here, before the timing
    ways: dict[str, Way] = {
        "scipy.linalg.sqrtm": lambda: {"trace": np.trace(scipy.linalg.sqrtm(product)).real},
        "scipy.linalg.eigvals": lambda: {
            "trace": np.sqrt(scipy.linalg.eigvals(product).astype(complex)).real.sum()
        },
        "gansweep": lambda: {"fid": frechet_distance(real, fake).item()},
    }
    seconds, found = timed(ways, rounds)
    print(f"Frechet distance, d = {DIM}, real factor at hand; median of {rounds} rounds")
    value = found["gansweep"]["fid"]
    print(f"  {'gansweep':24} {statistics.median(seconds['gansweep']):8.2f} s   {value:.10g}")
    for name, target in {"scipy.linalg.sqrtm": 10, "scipy.linalg.eigvals": 2.5}.items():
        expected = rest - 2 * found[name]["trace"]
        ratios = [a / b for a, b in zip(seconds[name], seconds["gansweep"], strict=True)]
        print(
            f"  {name:24} {statistics.median(seconds[name]):8.2f} s   {expected:.10g}   "
            f"{statistics.median(ratios):5.1f} times ours ({min(ratios):.1f} to {max(ratios):.1f}) "
            f"target {target}   relative {abs(value / expected - 1):.1e}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["scores", "frechet"])
    parser.add_argument("--images", type=int, default=64, help="real and generated (default 64)")
    parser.add_argument("--rounds", type=int, default=2, help="rounds (default 2)")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads (default 1)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cpu", help="default: cpu")
    parser.add_argument("--json", type=Path, help="write the ratios of `scores` to this file too")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", module="torch_fidelity|multiprocessing|torch.utils.data")
    torch.set_num_threads(options.threads)
    named = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"{named}, {options.threads} thread(s), torch {torch.__version__}")
    if options.what == "scores":
        if options.images not in IMAGES:
            parser.error(f"--images takes {IMAGES.start} to {IMAGES.stop - 1}")
        rows = compare_scores(options.images, options.rounds, options.device)
        if options.json:
            options.json.write_text(json.dumps(rows) + "\n")
    else:
        compare_traces(options.rounds)


if __name__ == "__main__":
    main()
