"""The real side of the scores: measured once per content, count and backbone, then cached."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gansweep.data.order import generator_for
from gansweep.data.source import DataSource, Split
from gansweep.metrics.cache import Content, cached, say
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.moments import Gaussian, Moments

SUBSET_SEED = 20_190_415


@dataclass(frozen=True, slots=True)
class RealSide:
    """The real images of one split, as the scores use them.

    key: names the content, the count and the feature space; part of every cached file's name.
    features: (n_real, d), if a score needs them.
    labels: (n_real,) and class_counts: (K,), if the data have labels.
    """

    key: str
    gaussian: Gaussian
    count: int
    features: Tensor | None
    labels: Tensor | None
    class_counts: Tensor | None

    def to(self, device: torch.device) -> RealSide:
        features = None if self.features is None else self.features.to(device)
        return replace(self, gaussian=self.gaussian.to(device), features=features)

    def subset(self, n: int) -> Tensor:
        """(n, d) features of a fixed random subset of n images."""
        assert self.features is not None
        rows = torch.randperm(self.count, generator=generator_for(SUBSET_SEED))[:n]
        return self.features[rows.to(self.features.device)]

    def cached(self, what: str, make: Callable[[], Content]) -> Content:
        """A cached result computed from these images; `make` computes it the first time."""
        return cached(f"real/{self.key}-{what}.pt", make)


def real_side(
    data: DataSource, split: Split, n_real: int | None, backbone: Backbone, with_features: bool
) -> RealSide:
    """At most `n_real` real images of a split under a backbone, on the CPU.

    Cached by the content of the split, not by the name of the data set.
    """
    parts = [data.fingerprint(split), split, str(n_real or "all"), backbone.resizer]
    key = "-".join([*parts, backbone.name, backbone.weights_hash])
    content = cached(
        f"real/{key}-{'samples' if with_features else 'moments'}.pt",
        lambda: _measure(data, split, n_real, backbone, with_features),
    )
    labels, count = content["labels"], content["count"]
    gaussian = Gaussian(content["mean"], content["cov"], count)
    counts = None if labels is None else labels.bincount(minlength=data.n_classes or 0)
    return RealSide(key, gaussian, count, content["features"], labels, counts)


@torch.no_grad()
def _measure(
    data: DataSource, split: Split, n_real: int | None, backbone: Backbone, with_features: bool
) -> Content:
    moments: Moments | None = None
    features, labels = [], []
    count, reported = 0, time.monotonic()
    for chunk, chunk_labels in data.arrays(split, n_real):
        for images in chunk.split(backbone.batch_size):
            pool, _ = backbone.features(images)
            # every process reads the cache or measures all images: no sum over processes
            moments = moments or Moments(pool.shape[1], sync_on_compute=False).to(pool.device)
            moments.update(pool)
            count += len(images)
            if with_features:
                features.append(pool.cpu())
            if time.monotonic() - reported > 10:
                reported = time.monotonic()
                say(f"measuring the real images under {backbone.name}: {count:,} so far")
        if chunk_labels is not None:
            labels.append(chunk_labels)
    assert moments is not None, "DataSource.arrays yields at least one image"
    mean, cov = moments.compute()
    return {
        "mean": mean.cpu(),
        "cov": cov.cpu(),
        "count": count,
        "features": torch.cat(features) if features else None,
        "labels": torch.cat(labels) if labels else None,
    }
