"""torch-fidelity's Inception-v3 as a backbone, with random weights in place of the real ones."""

from pathlib import Path

import pytest
import torch
from random_inception import random_inception
from tensor_data import some_images
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import (
    URL_INCEPTION_V3,
    FeatureExtractorInceptionV3,
)
from torch_fidelity.interpolate_compat_tensorflow import (
    interpolate_bilinear_2d_like_tensorflow1x,
)

from gansweep.errors import UserError
from gansweep.metrics.features import inception
from gansweep.metrics.features.inception import PUBLISHED, Inception
from gansweep.metrics.features.inception_network import folded
from gansweep.metrics.features.resizing import tensorflow1_bilinear

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def theirs() -> FeatureExtractorInceptionV3:
    return random_inception(spread_statistics=True)


@pytest.fixture(scope="module")
def weights(theirs: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    torch.save(theirs.state_dict(), file)
    return file


@pytest.fixture(scope="module")
def backbone(weights: Path) -> Inception:
    return Inception(CPU, weights)


def test_features_are_torch_fidelitys(
    backbone: Inception, theirs: FeatureExtractorInceptionV3
) -> None:
    images = some_images(2, 3, 40, 32)
    for ours, reference in zip(backbone.features(images), theirs(images), strict=True):
        assert reference.std() > 0.5  # the random weights show something of the image
        assert (ours - reference).norm() / reference.norm() < 2e-6
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-4)


def test_grey_images_are_colour_images_of_three_equal_channels(backbone: Inception) -> None:
    grey = some_images(1, 1, 28, 28)
    colour = grey.repeat(1, 3, 1, 1)
    torch.testing.assert_close(backbone.features(grey), backbone.features(colour))


def test_pieces_of_a_batch_give_what_one_pass_gives(
    backbone: Inception, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = some_images(3, 3, 8, 8)
    whole = backbone.features(images)
    monkeypatch.setattr(inception, "CPU_BATCH", 2)
    torch.testing.assert_close(backbone.features(images), whole, rtol=1e-5, atol=1e-5)


def test_the_global_random_state_is_left_alone(weights: Path) -> None:
    before = torch.get_rng_state()
    Inception(CPU, weights)
    assert torch.equal(before, torch.get_rng_state())


def test_other_weights_than_the_published_name_the_feature_space(backbone: Inception) -> None:
    assert backbone.name == f"inception{backbone.weights_hash[:8]}"
    assert len(backbone.weights_hash) == 16
    assert PUBLISHED.named("inception", "6726825d00000000") == "inception"


def test_the_published_file_is_torch_fidelitys() -> None:
    assert PUBLISHED.url == URL_INCEPTION_V3
    assert PUBLISHED.url.endswith(f"/{PUBLISHED.file_name}")
    assert PUBLISHED.file_name.endswith(f"-{PUBLISHED.sha256}.pth")


@pytest.mark.parametrize("height, width", [(8, 8), (32, 20), (299, 299), (300, 598), (1, 5)])
def test_the_resizer_is_tensorflows(height: int, width: int) -> None:
    images = some_images(1, 3, height, width)
    expected = interpolate_bilinear_2d_like_tensorflow1x(
        images.float(), size=(299, 299), align_corners=False
    )
    found = tensorflow1_bilinear(images, 299)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_batch_norm_folds_into_the_convolution_before_it() -> None:
    convolution = nn.Conv2d(2, 3, 3, bias=False)
    norm = nn.BatchNorm2d(3, eps=0.001)
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean):
            values.normal_()
        norm.running_var.uniform_(0.1, 2)
    layers = nn.ModuleDict({"conv": convolution, "bn": norm}).eval()
    state = {f"layer.{name}": value for name, value in layers.state_dict().items()}
    x = torch.randn(1, 2, 5, 5)
    torch.testing.assert_close(
        nn.functional.conv2d(x, *folded(state, "layer")), norm(convolution(x))
    )


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"linear.weight": torch.zeros(1)}, "no 'fc.weight'"),
        ({"fc.weight": torch.zeros(1000, 2048)}, "not \\(1008, 2048\\)"),  # torchvision's
    ],
)
def test_the_weights_of_another_network_are_refused(
    tmp_path: Path, change: dict[str, Tensor], reason: str
) -> None:
    file = tmp_path / "other.pth"
    torch.save(change, file)
    with pytest.raises(UserError, match=f"does not contain the weights of Inception-v3.*{reason}"):
        Inception(CPU, file)


def test_a_weight_of_another_shape_is_refused(
    theirs: nn.Module, tmp_path: Path, backbone: Inception
) -> None:
    file = tmp_path / "other.pth"
    state = theirs.state_dict() | {"Mixed_7c.branch_pool.conv.weight": torch.zeros(192, 7, 1, 1)}
    torch.save(state, file)
    with pytest.raises(UserError, match="does not contain the weights of Inception-v3"):
        Inception(CPU, file)
