"""Add and subtract concepts in the space of codes: `gansweep arithmetic`.

Source: Radford et al. 2016, arXiv:1511.06434, Section 6.3.2: the mean code of three samples stands
for a concept, and the neighbours of the result are shown with uniform noise of +-0.25.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gansweep.callbacks.sheet import grid
from gansweep.data.order import generator_for
from gansweep.errors import UserError
from gansweep.inference import outputs
from gansweep.inference.editing.codes import Codes, Space
from gansweep.inference.editing.edits import Arithmetic
from gansweep.inference.editing.expressions import COLOURS, Concept, read_expression
from gansweep.inference.encoding import marked
from gansweep.inference.opened import Opened, class_number, open_run
from gansweep.metrics.features.classifier import dataset_classifier
from gansweep.provenance.mark import prompt_of

NEIGHBOURS = 8
TAIL = 0.2  # share of the samples of a class that count as bold, and as thin
TINT = 30 / 127.5  # mean difference of the strongest and weakest channel from which they are tinted
LEAST = 3  # samples that a concept needs


@dataclass
class Pool:
    """Samples among which concepts are found: their codes, pictures, classes and ink.

    images: (N, C, H, W) in [-1, 1].
    classes: by the classifier of the data; None where concepts are picked by number only.
    """

    codes: Codes
    images: Tensor
    classes: Tensor | None

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, concept: Concept, kind: int | None) -> Tensor:
        """The numbers of the samples that show the concept.   kind: its class."""
        if concept.numbers:
            return torch.tensor(concept.numbers)
        found = torch.ones(len(self), dtype=torch.bool)
        if kind is not None:
            assert self.classes is not None
            found = self.classes == kind
        if concept.attribute and found.any():
            found = found & self.has(concept.attribute, kind, self.images)
        return found.nonzero().flatten()

    def has(self, attribute: str, kind: int | None, images: Tensor) -> Tensor:
        """Whether samples of a class have an attribute, (N,): ink is measured against that class
        here, tint is not."""
        if attribute in COLOURS:
            tinted = (images.amax(1) - images.amin(1)).flatten(1).mean(1) >= TINT
            return tinted if attribute == "tinted" else ~tinted
        of_class = kind is not None and self.classes is not None
        own = ink(self.images[self.classes == kind] if of_class else self.images)
        if attribute == "bold":
            return ink(images) >= own.quantile(1 - TAIL)
        return ink(images) <= own.quantile(TAIL)


def ink(images: Tensor) -> Tensor:
    """(N,): the mean of the pixels, -1 to 1."""
    return images.flatten(1).mean(1)


def main(request: Arithmetic) -> int:
    """Run `gansweep arithmetic`.   Returns: the exit code.   Raises: UserError."""
    concepts = read_expression(request.expression)
    opened = open_run(request.use)
    path = request.use.output or Path(f"{opened.stem}-arithmetic.png")
    outputs.refuse_existing(path, request.use.force)
    work = Work(opened, request, concepts)
    picture = grid(work.sheet(), request.each + 1).enlarged()
    opened.keep_note_of_unmarked(f"an arithmetic to {path}")
    prompt = prompt_of({"": request.expression, "seed": request.seed, "space": request.space})
    content = marked(opened.marker(), picture, prompt.strip())
    outputs.write_file(path, content, request.use.force)
    print(f"read {opened.checkpoint}\nwrote {path}: a row for each concept, its mean at the end;")
    print(f"below them the result and {NEIGHBOURS} neighbours")
    if request.tries:
        print(work.measured())
    return 0


class Work:
    """One expression on one run.   kinds: the class of each concept, None for none.

    Raises: UserError for a concept that the samples do not show, and for `tries` where no single
        class is left to count.
    """

    def __init__(self, opened: Opened, request: Arithmetic, concepts: list[Concept]) -> None:
        self.opened, self.request, self.concepts = opened, request, concepts
        self.space = Space(opened, request.space)
        self.kinds = [self._kind(one) for one in concepts]
        self.result_kind = self._result_kind()
        if request.tries and self.result_kind is None:
            raise UserError(
                "tries= counts results of one class, and no single class is left of the signs in "
                f'"{request.expression}". Write one such as "bold 7 - 7 + 3", or leave tries= out.'
            )
        most = max((n for one in concepts for n in one.numbers), default=0)
        named = any(one.label or one.attribute for one in concepts)
        self.pool = self.drawn(max(request.pool if named else 0, most + 1))
        self.found = [
            self._enough(one, kind) for one, kind in zip(concepts, self.kinds, strict=True)
        ]

    def _kind(self, concept: Concept) -> int | None:
        names = self.opened.data.class_names
        channels = self.opened.data.shape[0]
        if concept.attribute in COLOURS and channels != 3:
            raise UserError(
                f"'{concept}': data={self.opened.data.name} has grey images. Use bold or thin, or "
                "a run on coloured images, such as 'gansweep train model=dcgan data=tinted' makes."
            )
        if not concept.label:
            return None
        if names is None:
            raise UserError(
                f"{concept.label}: data={self.opened.data.name} has no classes. Name samples by "
                'their numbers, as in "[3, 8] - [1] + [2]".'
            )
        return class_number(names, concept.label, self.opened.data.name)

    def _enough(self, concept: Concept, kind: int | None) -> Tensor:
        rows = self.pool.rows(concept, kind)
        if len(rows) < (1 if concept.numbers else LEAST):
            raise UserError(
                f"Only {len(rows)} of {len(self.pool)} samples show '{concept}' to the "
                f"classifier, and {LEAST} are needed. Use pool={4 * len(self.pool)}, another "
                "seed=, or a run that makes this class."
            )
        return rows

    def drawn(self, n: int) -> Pool:
        """The first n samples of the seed, and what the classifier says of them."""
        codes = self.space.first(self.request.seed, n)
        images = self.space.pictures(codes)
        classes = self.classified(images) if any(k is not None for k in self.kinds) else None
        return Pool(codes, images, classes)

    def classified(self, images: Tensor) -> Tensor:
        """(N,) classes by the classifier of the data."""
        judge = dataset_classifier(self.opened.data, self.opened.module.device)
        pixels = images.clamp(-1, 1).add(1).mul(127.5).round().byte()
        parts = pixels.split(judge.batch_size)
        return torch.cat([judge.features(part)[1].argmax(1).cpu() for part in parts])

    def _result_kind(self) -> int | None:
        """The class that is left of the signs: of "bold 7 - 7 + 3" it is 3.   None: no one."""
        sums: dict[int, int] = {}
        for concept, kind in zip(self.concepts, self.kinds, strict=True):
            if kind is not None:
                sums[kind] = sums.get(kind, 0) + concept.sign
        left = [kind for kind, total in sums.items() if total > 0]
        return left[0] if len(left) == 1 else None

    def result_attribute(self) -> str:
        """The attribute that is left, as "bold" of "bold 7 - 7 + 3"; "" for none."""
        sums: dict[str, int] = {}
        for concept in self.concepts:
            if concept.attribute:
                sums[concept.attribute] = sums.get(concept.attribute, 0) + concept.sign
        left = [attribute for attribute, total in sums.items() if total > 0]
        return left[0] if len(left) == 1 else ""

    def picked(self, rng: torch.Generator) -> list[Tensor]:
        """The rows that stand for each concept: picked ones all, of others `each` at random."""
        found = []
        for one, rows in zip(self.concepts, self.found, strict=True):
            some = torch.randperm(len(rows), generator=rng)[: self.request.each]
            found.append(rows if one.numbers else rows[some])
        return found

    def result(self, picked: list[Tensor]) -> Codes:
        """One code: the sum of the means with their signs."""
        z = self.pool.codes.z
        total = sum(
            (one.sign * z[rows].mean(0) for one, rows in zip(self.concepts, picked, strict=True)),
            torch.zeros_like(z[0]),
        )
        return self._asked(total[None], picked)

    def _asked(self, z: Tensor, picked: list[Tensor]) -> Codes:
        """Codes with the label that is left, where the model takes one."""
        codes = self.pool.codes
        first = picked[0][:1]
        noise = None if codes.noise is None else codes.noise[first].expand(len(z), -1)
        if codes.labels is None:
            return Codes(z, None, noise)
        kind = self.result_kind
        if kind is None:
            kind = int(codes.labels[first])
        return Codes(z, torch.full((len(z),), kind), noise)

    def sheet(self) -> Tensor:
        """Rows of `each` samples and the picture of their mean; then the result and neighbours."""
        each = self.request.each
        rng = generator_for(self.request.seed, 1)
        picked = self.picked(rng)
        blank = torch.full((1, *self.pool.images.shape[1:]), -1.0)
        rows = []
        for numbers in picked:
            fill = blank.expand(max(0, each - len(numbers)), -1, -1, -1)
            shown = [self.pool.images[numbers[:each]], fill]
            mean = self.pool.codes.z[numbers].mean(0, keepdim=True)
            own = self._of_row(mean, numbers)
            rows += [*shown, self.space.pictures(own)]
        result = self.result(picked)
        noise = torch.rand(NEIGHBOURS, result.z.shape[1], generator=rng) * 2 - 1
        near = result.z + self.request.jitter * noise
        shown_result = self.space.pictures(result.with_codes(torch.cat([result.z, near])))
        left = -len(shown_result) % (each + 1)
        return torch.cat([*rows, shown_result, blank.expand(left, -1, -1, -1)])

    def _of_row(self, mean: Tensor, numbers: Tensor) -> Codes:
        codes, first = self.pool.codes, numbers[:1]
        labels, noise = (None if x is None else x[first] for x in (codes.labels, codes.noise))
        return Codes(mean, labels, noise)

    def measured(self) -> str:
        """`shares` in words."""
        shares = self.shares()
        assert self.result_kind is not None, "refused at the start"
        kind = (self.opened.data.class_names or [])[self.result_kind]
        name = " ".join(filter(None, [self.result_attribute(), kind]))
        return (
            f"{shares['results']:.1%} of {self.request.tries} results are '{name}' to the "
            f"classifier; of plain samples {shares['plain samples']:.1%}"
        )

    def shares(self) -> dict[str, float]:
        """Of `tries` results and of plain samples (with the same label, where the model takes one)
        the share that shows the class and the attribute that are left."""
        kind, attribute = self.result_kind, self.result_attribute()
        assert kind is not None, "refused at the start"
        rng = generator_for(self.request.seed, 2)
        results = [self.result(self.picked(rng)) for _ in range(self.request.tries)]
        found = results[0].with_codes(torch.cat([one.z for one in results]))
        return {
            "results": self.share(found, kind, attribute),
            "plain samples": self.share(self._plain(kind), kind, attribute),
        }

    def _plain(self, kind: int) -> Codes:
        codes = self.pool.codes
        labels = None if codes.labels is None else torch.full((len(codes),), kind)
        return Codes(codes.z, labels, codes.noise)

    def share(self, codes: Codes, kind: int, attribute: str) -> float:
        """Of the codes' pictures, those of the class, with the attribute where there is one."""
        images = self.space.pictures(codes)
        right = self.classified(images) == kind
        if attribute:
            right = right & self.pool.has(attribute, kind, images)
        return float(right.float().mean())
