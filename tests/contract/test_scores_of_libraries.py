"""Our scores against torch-fidelity's and torchmetrics', on the same images and weights.

The weights are random: what agrees under them agrees under the published ones, which need a
download.
"""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from random_inception import random_inception
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics
from torch_fidelity.metric_prc import prc_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore as TheirInceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from gansweep.metrics.features.inception import Inception
from gansweep.metrics.moments import gaussian_of
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.scores.frechet import frechet_score
from gansweep.metrics.scores.inception_score import inception_score
from gansweep.metrics.scores.kernel import KernelDistance
from gansweep.metrics.scores.prdc import neighbours

N = 20
SUBSETS, SUBSET_SIZE = 20, 12

pytestmark = [
    pytest.mark.slow,
    # of torchmetrics: on its memory, and on the spread of the only split
    pytest.mark.filterwarnings("ignore:Metric .* will save all extracted features:UserWarning"),
    pytest.mark.filterwarnings(r"ignore:std\(\). degrees of freedom:UserWarning"),
]


class Images(Dataset[Tensor]):
    """Blobs of any colours, or with more contrast and a cast."""

    def __init__(self, seed: int, contrast: float, cast: float) -> None:
        draw = torch.Generator().manual_seed(seed)
        coarse = torch.randn(N, 3, 5, 5, generator=draw)
        strength = contrast * torch.rand(N, 1, 1, 1, generator=draw)
        smooth = F.interpolate(coarse, (32, 32), mode="bilinear") * strength
        tinted = smooth + cast * torch.tensor([1.0, 0.0, -1.0])[:, None, None]
        self.pixels = (128 + 100 * tinted).clamp(0, 255).to(torch.uint8)

    def __getitem__(self, index: int) -> Tensor:
        return self.pixels[index]

    def __len__(self) -> int:
        return N


REAL, FAKE = Images(0, 1.0, 0.0), Images(1, 1.3, 0.6)


class Seen(NamedTuple):
    """Features and logits of the real and of the fake images under our network."""

    real: Tensor
    fake: Tensor
    fake_logits: Tensor


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    network = random_inception()
    with torch.no_grad():
        network.fc.weight *= 30  # predictions sure enough for an Inception score
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(network.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def seen(weights: Path) -> Seen:
    backbone = Inception(torch.device("cpu"), weights)
    real, _ = backbone.features(REAL.pixels)
    return Seen(real, *backbone.features(FAKE.pixels))


@pytest.fixture(scope="module")
def ours(seen: Seen) -> dict[str, float]:
    metrics = {
        "features": [
            frechet_score(gaussian_of(seen.real)),
            OrderedSamples(KernelDistance(seen.real, N, SUBSETS, SUBSET_SIZE).scores),
            neighbours(seen.real),
        ],
        "logits": [OrderedSamples(inception_score)],
    }
    found: dict[str, float] = {}
    for kind, values in (("features", seen.fake), ("logits", seen.fake_logits)):
        for metric in metrics[kind]:
            metric.update(torch.arange(N), values)
            found |= {word: value.item() for word, value in metric.compute().items()}
    return found


def test_fid_is_and_kid_agree_with_torch_fidelity(ours: dict[str, float], weights: Path) -> None:
    theirs = calculate_metrics(
        input1=FAKE,
        input2=REAL,
        isc=True,
        fid=True,
        kid=True,
        kid_subsets=SUBSETS,
        kid_subset_size=SUBSET_SIZE,
        feature_extractor_weights_path=str(weights),
        cuda=False,
        cache=False,
        save_cpu_ram=True,  # no worker processes
        verbose=False,
    )
    names = {
        "fid": "frechet_inception_distance",
        "is": "inception_score_mean",
        "is_std": "inception_score_std",
        "kid": "kernel_inception_distance_mean",
        "kid_std": "kernel_inception_distance_std",
    }
    assert {word: ours[word] for word in names} == {
        word: pytest.approx(theirs[name], rel=1e-3) for word, name in names.items()
    }


def test_precision_and_recall_agree_with_torch_fidelity(ours: dict[str, float], seen: Seen) -> None:
    theirs = prc_features_to_metric(seen.fake, seen.real, verbose=False)
    assert 0 < theirs["precision"] < 1 and 0 < theirs["recall"] < 1
    assert {word: ours[word] for word in ("precision", "recall")} == {
        word: pytest.approx(theirs[word]) for word in ("precision", "recall")
    }


class Given(nn.Identity):
    """Lets torchmetrics, which takes weights for its FID alone, have the features as images."""

    num_features = 2048


def test_scores_agree_with_torchmetrics(ours: dict[str, float], seen: Seen) -> None:
    # whole sets for KID and IS: its subsets and splits come from the global random state
    numbers = torch.arange(N)
    kid = OrderedSamples(KernelDistance(seen.real, N, 1, N).scores)
    inception = OrderedSamples(partial(inception_score, splits=1))
    kid.update(numbers, seen.fake)
    inception.update(numbers, seen.fake_logits)
    their_fid = FrechetInceptionDistance(Given())
    their_kid = KernelInceptionDistance(Given(), subsets=1, subset_size=N)
    for metric in (their_fid, their_kid):
        metric.update(seen.real, real=True)
        metric.update(seen.fake, real=False)
    their_inception = TheirInceptionScore(Given(), splits=1)
    their_inception.update(seen.fake_logits)
    with torch.random.fork_rng():
        theirs = [their_kid.compute()[0].item(), their_inception.compute()[0].item()]
    found = [kid.compute()["kid"].item(), inception.compute()["is"].item()]
    assert ours["fid"] == pytest.approx(their_fid.compute().item(), rel=1e-3)
    assert found == pytest.approx(theirs, rel=1e-3)
