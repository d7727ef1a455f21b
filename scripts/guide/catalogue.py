"""The model catalogue of the guide, from the first lines of conf/model/ and conf/experiment/.

Needs no gansweep: these lines state the paper, what a model is for, and the score and the seconds
that `scripts/figures` measured.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
MODELS, EXPERIMENTS = TOP / "conf" / "model", TOP / "conf" / "experiment"
PICTURES = TOP / ".github" / "images" / "families"
PUBLISHED = "paper_"  # how the experiments at a paper's own settings begin
FAMILIES = (
    *("Unconditional", "With classes", "Few labels", "Grown, styled", "Against collapse"),
    *("Image to image", "Autoencoders"),
)
CAPTIONS = {
    "digits_anomaly": "0 is normal; the most normal images, the strangest",
    "digits_cgan": "a column for each class",
    "digits_cyclegan": "given, made, true",
    "digits_denoising": "given, made, true",
    "digits_infogan": "a column for each value of its code",
    "fashion_context_encoder": "given, made, true",
    "fashion_cyclegan": "given, made, true",
    "fashion_pix2pix": "given, made, true",
    "digits_retrieval": "the nearest codes of the first",
    "mnist_cgan": "a column for each class",
    "mnist_colourisation": "given, made, true",
    "mnist_context_encoder": "given, made, true",
    "mnist_denoising": "given, made, true",
    "grid_pacgan": "25 modes, in orange what it makes",
}
REAL_SCALE = ("mnist_", "fashion_")  # the first words of experiments on images of 28x28 and more
ON_REAL_IMAGES = """## At 28x28 and 32x32

The same models on MNIST and Fashion-MNIST, which download themselves. The files in
`conf/experiment/` state the sizes and what else was measured; `results/` has the records of these
runs.

| command | what | score | s |
|---|---|---|---|"""
HEAD = """# Model catalogue

Each model runs with `gansweep train experiment=...`: a small configuration for digits-size data on
one CPU core, whose file says what differs from the paper beside sizes and rates. `model=NAME` takes
the paper's own sizes from `conf/model/`, which want a GPU, and a `# ours` in its file says where it
departs and why; `experiment=paper_NAME` is a [published run](#published-runs). What strengthens any
of them stands in [Options of every model](models.md).

The scores and seconds are those of **one run each** (seed 0, one core of an AMD EPYC;
`scripts/figures` makes them anew). The score is taken at the end of the run, or from its best
checkpoint on the test split where held-out images choose it. Seconds are processor seconds of the
whole command. Small gaps mean nothing: the leaderboard of a [sweep](first-sweep.md) has seeds, and
the files in `conf/experiment/` state what was measured over several.

The full name of a score says how it was measured: see [Scores](scores.md#names). `fid` here is
`fid_digitsnet1_1k_train`, in the features of a classifier of the digits; it cannot be compared with
published FIDs.
"""


@dataclass(frozen=True)
class Experiment:
    """What the first lines of a file of conf/experiment/ state.

    score: as in "fid 17.17", or "class 0.951, fid 9.45".
    purpose: what it is for; "" where it does not say so.
    """

    name: str
    command: str
    seconds: int
    score: str
    purpose: str

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """Raises: ValueError where the second or third line is not that of an experiment."""
        lines = path.read_text(encoding="utf-8").splitlines()
        command = re.match(r"# (gansweep train experiment=\S+.*)$", lines[1])
        stated = re.match(r"# (\d+) s on one core of [^:]+: (\w+) ([\d.]+) (?:at|of)", lines[2])
        if command is None or stated is None:
            raise ValueError(
                f"{path.name}: line 2 must have the command, line 3 the seconds and the score. "
                f"'scripts/figures {path.stem}' measures and writes them."
            )
        seconds, name, value = stated.group(1, 2, 3)
        asked = re.search(r"class_agreement_\w+ ([\d.]+)", lines[2])
        score = f"{word_of(name)} {value}"
        return cls(
            path.stem,
            command[1],
            int(seconds),
            f"class {asked[1]}, {score}" if asked else score,
            _line(lines, "Task"),
        )


@dataclass(frozen=True)
class Model:
    """What the first lines of a file of conf/model/ state.   experiment: the one that shows it."""

    name: str
    paper: str
    family: str
    purpose: str
    experiment: str

    @classmethod
    def read(cls, path: Path) -> Model:
        """Raises: ValueError for a file that lacks its experiment or its family."""
        lines = path.read_text(encoding="utf-8").splitlines()
        command = re.match(r"# gansweep train experiment=(\w+), \d+ s ", lines[1])
        family, _, purpose = _line(lines, "Family").partition(". ")
        if command is None or family not in FAMILIES:
            raise ValueError(
                f"{path.name}: line 2 must name its experiment with seconds and score, and a line "
                f"'# Family: NAME. What it is for.' one of {'; '.join(FAMILIES)}."
            )
        return cls(path.stem, _cited(lines[0].removeprefix("# ")), family, purpose, command[1])


def word_of(name: str) -> str:
    """fid_digitsnet1_1k_train -> fid: the word of a score's full name."""
    return re.sub(r"_([a-z_]+net\d+|\d+k?)(_.*)?$", "", name)


def models() -> list[Model]:
    """By family, then in the order of the papers' years."""
    found = [Model.read(path) for path in MODELS.glob("*.yaml")]
    return sorted(found, key=lambda m: (FAMILIES.index(m.family), _year(m.paper), m.name))


def experiments() -> dict[str, Experiment]:
    """Those that were measured here."""
    paths = sorted(EXPERIMENTS.glob("*.yaml"))
    return {p.stem: Experiment.read(p) for p in paths if not p.stem.startswith(PUBLISHED)}


def published() -> dict[str, tuple[str, str]]:
    """Experiments at a paper's own settings: name -> command, and what of the paper it is."""
    found = {}
    for path in sorted(EXPERIMENTS.glob(f"{PUBLISHED}*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        command = re.match(rf"# (gansweep train experiment={path.stem}\b.*)$", lines[1])
        if command is None or "arXiv:" not in lines[2] and "ICML" not in lines[2]:
            raise ValueError(f"{path.name}: line 2 must have the command, line 3 cite the paper.")
        found[path.stem] = command[1], lines[2].removeprefix("# ")
    return found


def page() -> str:
    """The catalogue in Markdown."""
    listed, known = models(), experiments()
    shown = {model.experiment for model in listed}
    real = [one for name, one in known.items() if name.startswith(REAL_SCALE)]
    others = [one for name, one in known.items() if name not in shown and one not in real]
    tables = (_model_tables(listed, known), _tasks(others), _on_real_images(real))
    parts = (*tables, _published_runs(), _pictures())
    return "\n".join([HEAD, *itertools.chain.from_iterable(parts)])


def _model_tables(listed: list[Model], known: dict[str, Experiment]) -> Iterator[str]:
    for family in FAMILIES:
        yield f"## {family}\n"
        yield "| `model=` | paper | what it is for | `experiment=` | score | s |"
        yield "|---|---|---|---|---|---|"
        for model in (one for one in listed if one.family == family):
            shown = known[model.experiment]
            yield (
                f"| [`{model.name}`](reference/model.md#{model.name}) | {model.paper} | "
                f"{model.purpose.rstrip('.')} | `{shown.name}` | {shown.score} | {shown.seconds} |"
            )
        yield ""


def _tasks(experiments: list[Experiment]) -> Iterator[str]:
    yield "## Tasks and comparisons\n"
    yield "Experiments beside the one of each model. Tasks are scored on held-out images.\n"
    yield "| command | what | score | s |\n|---|---|---|---|"
    yield from _rows(experiments)


def _on_real_images(experiments: list[Experiment]) -> Iterator[str]:
    if experiments:
        yield ON_REAL_IMAGES
        yield from _rows(experiments)


def _rows(experiments: list[Experiment]) -> Iterator[str]:
    for one in experiments:
        yield f"| `{one.command}` | {one.purpose.rstrip('.')} | {one.score} | {one.seconds} |"
    yield ""


def _published_runs() -> Iterator[str]:
    yield "## Published runs\n"
    yield "At the papers' own settings: data, networks, optimizers, batches and steps. They want a"
    yield "GPU for hours or days and were not run here. What departs is marked `# ours` in their"
    yield "files, and [a test](models.md#parameter-counts) holds their numbers.\n"
    yield "| command | paper |\n|---|---|"
    for command, paper in published().values():
        yield f"| `{command}` | {paper} |"
    yield ""


def _pictures() -> Iterator[str]:
    yield "## Pictures\n"
    yield "As the commands above leave them under `samples/`, enlarged.\n"
    yield '<div class="pictures" markdown>\n'
    for path in sorted(PICTURES.glob("*.png"), key=_largest_first):
        caption = CAPTIONS.get(path.stem, "samples")
        yield f"<figure markdown>![{path.stem}: {caption}](images/families/{path.name})"
        yield f"<figcaption markdown>`{path.stem}`: {caption}</figcaption></figure>\n"
    yield "</div>\n"


def _largest_first(picture: Path) -> tuple[bool, str]:
    return not picture.stem.startswith(REAL_SCALE), picture.stem


def _line(lines: list[str], word: str) -> str:
    """What a comment `# WORD: text` says; "" where there is none."""
    found = (line.removeprefix(f"# {word}: ") for line in lines if line.startswith(f"# {word}: "))
    return next(found, "")


def _cited(line: str) -> str:
    """The first paper of a header with a link to it: "[Mao 2017](https://arxiv.org/abs/...)"."""
    found = re.match(r"(?P<who>.+?) (?P<year>\d{4}),.*?arXiv:(?P<number>\d{4}\.\d{4,5})", line)
    if found is None:
        raise ValueError(f"'{line}' cites no paper as 'Author et al. 2017, arXiv:1611.04076'.")
    name = re.split(r" et al\.| and | & ", found["who"])[0].split()[-1]
    return f"[{name} {found['year']}](https://arxiv.org/abs/{found['number']})"


def _year(paper: str) -> int:
    found = re.search(r" (\d{4})\]", paper)
    return int(found[1]) if found else 0
