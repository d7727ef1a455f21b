"""torch-fidelity's Inception-v3 as a backbone, with random weights in place of the real ones."""

from pathlib import Path
from unittest.mock import patch
from urllib.error import URLError

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from gansweep.errors import UserError
from gansweep.metrics.inception import FILE_NAME, PUBLISHED_HASH, Inception

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "random.pth"
    with (
        torch.random.fork_rng(),
        patch("torch_fidelity.feature_extractor_inceptionv3.load_state_dict_from_url"),
        patch.object(FeatureExtractorInceptionV3, "load_state_dict"),
    ):
        torch.manual_seed(0)
        network = FeatureExtractorInceptionV3("random", ["2048"])
    torch.save(network.state_dict(), file)
    return file


@pytest.mark.slow
def test_features_are_torch_fidelitys(weights: Path) -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    before = torch.get_rng_state()
    backbone = Inception(CPU, weights)
    assert torch.equal(before, torch.get_rng_state())
    theirs = FeatureExtractorInceptionV3(
        "reference", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(weights)
    )
    expected = theirs(images)
    found = backbone.features(images)
    for ours, reference in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-5)
    grey = images[:, :1]
    torch.testing.assert_close(
        backbone.features(grey)[0], backbone.features(grey.repeat(1, 3, 1, 1))[0]
    )
    assert backbone.name == f"inception{backbone.weights_hash[:8]}"


def test_the_published_hash_is_the_one_in_the_files_name() -> None:
    assert PUBLISHED_HASH == "6726825d"
    assert FILE_NAME == "weights-inception-2015-12-05-6726825d.pth"


def test_a_missing_file_is_named_with_the_option() -> None:
    with pytest.raises(UserError, match=r"nowhere\.pth.*does not exist.*metrics\.weights_path="):
        Inception(CPU, "nowhere.pth")


def test_a_file_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    file = tmp_path / "code.pth"
    torch.save({"network": torch.nn.Linear(1, 1)}, file)
    with pytest.raises(UserError, match="cannot be read as a file of weights"):
        Inception(CPU, file)


@pytest.mark.slow
def test_other_weights_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"linear.weight": torch.zeros(1)}, file)
    with pytest.raises(UserError, match="does not hold the weights of torch-fidelity's"):
        Inception(CPU, file)


def test_offline_the_error_says_which_file_goes_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(UserError, match=f"{FILE_NAME}.*no route to host.*{tmp_path}.*metrics="):
        Inception(CPU)
    assert "downloading the Inception weights" in capsys.readouterr().err
