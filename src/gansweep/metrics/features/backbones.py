"""The choice of a feature space by name. Each is imported only when it is chosen."""

from __future__ import annotations

from pathlib import Path

import torch

from gansweep.data.source import DataSource
from gansweep.metrics.features.backbone import Backbone

BACKBONES = ("classifier", "inception", "dinov2", "clip")
WITH_CLASSES = ("classifier", "inception")  # those that predict classes, which IS needs


def load_backbone(
    choice: str,
    data: DataSource,
    device: torch.device,
    weights_path: str | Path | None = None,
    min_test_accuracy: float = 0.9,
) -> Backbone:
    """The backbone of that name. Its weights are downloaded, read or (classifier) trained.

    choice: one of `BACKBONES`, as `choose_backbone` gives.   data: for the classifier.
    weights_path: a file with other weights than the published ones; not for the classifier.
    min_test_accuracy: of the classifier, 0 to 1.
    Raises: UserError for weights that cannot be downloaded or read, or for a classifier below
        `min_test_accuracy`.
    """
    if choice == "classifier":
        from gansweep.metrics.features.classifier import dataset_classifier

        return dataset_classifier(data, device, min_test_accuracy)
    if choice == "inception":
        from gansweep.metrics.features.inception import Inception

        return Inception(device, weights_path)
    if choice == "dinov2":
        from gansweep.metrics.features.dinov2 import DinoV2

        return DinoV2(device, weights_path)
    assert choice == "clip", choice
    from gansweep.metrics.features.clip import Clip

    return Clip(device, weights_path)
