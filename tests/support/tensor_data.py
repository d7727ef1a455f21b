"""Made-up images for the tests of the scores, and data sets of two tensors a split."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gansweep.data.batch import Batch
from gansweep.data.source import DataSource, Mixture, Share, Split


def noise(seed: int) -> Callable[..., Tensor]:
    """shape -> numbers with a standard deviation of 0.2; each call goes on where the last ended."""
    generator = torch.Generator().manual_seed(seed)
    return lambda *shape: torch.randn(*shape, generator=generator) * 0.2


def some_images(*shape: int) -> Tensor:
    """Of evenly distributed values, the same each time."""
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


class Tensors(DataSource):
    """A data set of two tensors a split, with everything a test may want to bend."""

    def __init__(
        self,
        name: str,
        images: Tensor,
        labels: Tensor | None = None,
        mixture: Mixture | None = None,
        n_test: int = 60,
    ) -> None:
        self.name = name
        self.images: dict[str, Tensor] = {"train": images[n_test:], "test": images[:n_test]}
        self.labels = None
        if labels is not None:
            self.labels = {"train": labels[n_test:], "test": labels[:n_test]}
        self.true_mixture = mixture

    def prepare(self) -> None: ...

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.images["train"].shape[1:])

    @property
    def class_names(self) -> list[str] | None:
        if self.labels is None:
            return None
        return [str(k) for k in range(int(self.labels["train"].max()) + 1)]

    @property
    def mixture(self) -> Mixture | None:
        return self.true_mixture

    def count(self, split: Split) -> int:
        return len(self.images.get(split, ()))

    def _drawn(self, share: Share) -> Iterator[Batch]:
        raise NotImplementedError

    def arrays(
        self, split: Split, limit: int | None = None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        n = min(self.count(split), limit or self.count(split))
        for start in range(0, n, 100):
            rows = slice(start, min(start + 100, n))
            yield self.images[split][rows], self.labels[split][rows] if self.labels else None

    def fingerprint(self, split: Split) -> str:
        total = self.images[split].double().sum().item()
        return f"{int(total * 1000) % 2**60:016x}"


def squares(n: int = 260, n_classes: int = 2) -> Tensors:
    """Grey 8x8 images whose class is the corner of a bright square: learnt in a moment."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % n_classes
    images = torch.randint(0, 60, (n, 1, 8, 8), generator=draw)
    for row, label in enumerate(labels.tolist()):
        images[row, :, 4 * (label // 2) :, 4 * (label % 2) :][:, :4, :4] += 180
    return Tensors("squares", images.to(torch.uint8), labels)
