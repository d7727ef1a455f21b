"""The real side of the scores: measured once for one content, count and backbone, then kept."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from gansweep.data.source import DataSource, Split
from gansweep.metrics.cache import Content, kept, say
from gansweep.metrics.features import Backbone
from gansweep.metrics.frechet import Gaussian, Moments


@dataclass(frozen=True, slots=True)
class RealSide:
    """What the scores know of the real images.

    features: (n_real, d), where KID asked for them.   class_counts: (K,), where there are labels.
    """

    gaussian: Gaussian
    count: int
    features: Tensor | None
    class_counts: Tensor | None


def real_side(
    data: DataSource, split: Split, n_real: int | None, backbone: Backbone, with_features: bool
) -> RealSide:
    """The real images of a split under a backbone, on the CPU; at most `n_real` of them.

    Kept by the content of the split, never by the data set's name.
    """
    key = [data.fingerprint(split), split, str(n_real or "all")]
    key += [backbone.resizer, backbone.name, backbone.weights_hash]
    key += ["features" if with_features else "moments"]
    content = kept(
        f"real/{'-'.join(key)}.pt",
        lambda: _measure(data, split, n_real, backbone, with_features),
    )
    gaussian = Gaussian(content["mean"], content["cov"], content["count"])
    return RealSide(gaussian, content["count"], content["features"], content["class_counts"])


@torch.no_grad()
def _measure(
    data: DataSource, split: Split, n_real: int | None, backbone: Backbone, with_features: bool
) -> Content:
    moments: Moments | None = None
    features, labels = [], []
    count, told = 0, time.monotonic()
    for chunk, chunk_labels in data.arrays(split, n_real):
        for images in chunk.split(backbone.batch_size):
            pool, _ = backbone.features(images)
            # every process reads the cache or measures all: nothing to sum up over processes
            moments = moments or Moments(pool.shape[1], sync_on_compute=False).to(pool.device)
            moments.update(pool)
            count += len(images)
            if with_features:
                features.append(pool.cpu())
            if time.monotonic() - told > 10:
                told = time.monotonic()
                say(f"measuring the real images under {backbone.name}: {count:,} so far")
        if chunk_labels is not None:
            labels.append(chunk_labels)
    assert moments is not None, "DataSource.arrays yields at least one image"
    mean, cov = moments.compute()
    n_classes = data.n_classes or 0
    return {
        "mean": mean.cpu(),
        "cov": cov.cpu(),
        "count": count,
        "features": torch.cat(features) if features else None,
        "class_counts": torch.cat(labels).bincount(minlength=n_classes) if labels else None,
    }
