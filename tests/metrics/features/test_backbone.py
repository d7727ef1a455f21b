"""The contract of every feature space."""

import pytest
import torch
import torch.nn.functional as F
from tensor_data import noise, some_images
from torch import Tensor

from gansweep.errors import UserError
from gansweep.metrics.features.backbone import Backbone, as_rgb, full_precision

CPU = torch.device("cpu")


class Recorder(Backbone):
    """Records the settings under which its features are computed."""

    def extract(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen = precisions(), torch.is_autocast_enabled("cpu"), torch.is_grad_enabled()
        if images.amax() == 0:
            raise RuntimeError("failed")
        return images.flatten(1).float(), images.new_zeros(len(images), 0)


def precisions() -> list[str]:
    if not hasattr(torch.backends.cudnn, "conv"):  # before torch 2.9
        allowed = "tf32" if torch.backends.cudnn.allow_tf32 else "ieee"
        matmul = torch.get_float32_matmul_precision().replace("highest", "ieee")
        return [matmul, allowed]
    return [
        torch.backends.cuda.matmul.fp32_precision,
        torch.backends.cudnn.conv.fp32_precision,
        torch.backends.mkldnn.matmul.fp32_precision,
        torch.backends.mkldnn.conv.fp32_precision,
    ]


class TestEveryBackbone:
    @pytest.mark.parametrize("precision", ["highest", "high", "medium"])
    def test_measures_in_full_float32_and_leaves_the_settings_alone(self, precision: str) -> None:
        recorder = Recorder(CPU)
        given = torch.get_float32_matmul_precision()
        try:
            torch.set_float32_matmul_precision(precision)
            before = precisions()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                recorder.features(some_images(1, 1, 2, 2))
            assert recorder.seen == (["ieee"] * len(before), False, False)
            with pytest.raises(RuntimeError, match="failed"):
                recorder.features(torch.zeros(1, 1, 2, 2, dtype=torch.uint8))
            assert precisions() == before
            assert torch.get_float32_matmul_precision() == precision
        finally:
            torch.set_float32_matmul_precision(given)

    @pytest.mark.gpu
    def test_convolves_and_multiplies_without_tf32_on_a_gpu(self) -> None:
        x = noise(0)(8, 64, 32, 32).cuda()
        weight = noise(1)(64, 64, 3, 3).cuda()
        expected = F.conv2d(x.double(), weight.double())
        matrix = x.flatten(1)
        before = precisions()
        with full_precision():
            found, product = F.conv2d(x, weight), matrix @ matrix.T
        assert precisions() == before
        assert ((found - expected).norm() / expected.norm()).item() < 1e-6
        exact = matrix.double() @ matrix.T.double()
        assert ((product - exact).norm() / exact.norm()).item() < 1e-6

    @pytest.mark.parametrize(
        "images, text",
        [
            (torch.tensor([[[[-1.0, 0.5]]]]), r"float32 \(1, 1, 1, 2\) from -1 to 0.5.*to_uint8"),
            (torch.zeros(3, 4, 4, dtype=torch.uint8), r"uint8 \(3, 4, 4\)"),
            (torch.zeros(0, 3, 4, 4), "from none to none"),
        ],
    )
    def test_refuses_anything_but_a_batch_of_uint8_images(self, images: Tensor, text: str) -> None:
        with pytest.raises(ValueError, match=f"uint8 .*0..255.*{text}"):
            Recorder(CPU).features(images)

    def test_takes_one_or_three_channels_as_colours(self) -> None:
        grey = some_images(2, 1, 4, 4)
        assert torch.equal(as_rgb(grey), grey.repeat(1, 3, 1, 1))
        with pytest.raises(UserError, match="4 channels.*metrics=classifier"):
            as_rgb(some_images(2, 4, 4, 4))
