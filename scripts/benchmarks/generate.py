"""`gansweep generate` into a folder, marks included, against a bare loop that saves the same PNGs.

Both ways run in turn in one process, into new folders, with the network opened before. The bare
loop has the pixels in memory and only calls Pillow's `save`; gansweep makes them, too.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from gansweep.inference.generate import write_folder
from gansweep.inference.opened import Opened, open_run
from gansweep.inference.request import Request, Use
from gansweep.inference.stream import Stream


def bare(pixels: np.ndarray, folder: Path) -> None:
    folder.mkdir()
    for number, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{number:06d}.png")


def timed(opened: Opened, n: int, rounds: int, top: Path) -> list[tuple[float, float]]:
    """(wall seconds of the bare loop, of gansweep) of each round."""
    request = Request(opened.use, n=n, form="png")
    pixels = torch.cat([part.pixels() for part in Stream(opened, 0).parts(n)]).numpy().squeeze()
    found = []
    for number in range(rounds):
        started = time.perf_counter()
        bare(pixels, top / f"bare-{number}")
        between = time.perf_counter()
        write_folder(opened, request, None, top / f"own-{number}")
        found.append((between - started, time.perf_counter() - between))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a trained run")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    opened = open_run(Use(options.run, accelerator="cpu"))
    with tempfile.TemporaryDirectory() as top:
        found = timed(opened, options.images, options.rounds, Path(top))
    shares = sorted(loop / own for loop, own in found)
    rate = options.images / statistics.median(own for _, own in found)
    print(
        f"{opened.model} {opened.data.shape}: {rate:,.0f} PNGs/s, "
        f"{statistics.median(shares):.2f} of the bare loop ({shares[0]:.2f}, {shares[-1]:.2f})"
    )
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"largest resident memory {memory / 1024:,.0f} MiB")


if __name__ == "__main__":
    main()
