"""DINOv2 and CLIP with small random weights, their resizer, and refused files."""

import dataclasses
import hashlib
import io
import math
import warnings
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from tensor_data import noise, some_images
from torch import Tensor, nn
from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP

from gansweep.data.images import Digits
from gansweep.errors import UserError
from gansweep.metrics.choice import choose_backbone
from gansweep.metrics.features import clip, dinov2, inception
from gansweep.metrics.features.backbone import Backbone
from gansweep.metrics.features.backbones import BACKBONES, WITH_CLASSES, load_backbone
from gansweep.metrics.features.clip import Clip
from gansweep.metrics.features.dinov2 import DinoV2, vision_transformer
from gansweep.metrics.features.resizing import pillow_bicubic
from gansweep.metrics.features.weights import Published, State

CPU = torch.device("cpu")
WIDTH, DEPTH, PATCH = 128, 2, 14  # of the small DINOv2: two heads
PUBLISHED = {"inception": inception.PUBLISHED, "dinov2": dinov2.PUBLISHED, "clip": clip.PUBLISHED}


class TestThePillowResizer:
    @pytest.mark.parametrize(
        "height, width", [(8, 8), (28, 32), (224, 224), (256, 256), (224, 300), (500, 500)]
    )
    def test_gives_what_pillow_gives(self, height: int, width: int) -> None:
        images = some_images(2, 3, height, width)
        expected = torch.stack([self.by_pillow(image) for image in images])
        difference = (pillow_bicubic(images, 224) - expected).abs()
        assert difference.max() <= 1
        assert (difference > 0).float().mean() < 0.002  # ties of rounding

    @staticmethod
    def by_pillow(image: Tensor) -> Tensor:
        picture = Image.fromarray(image.permute(1, 2, 0).numpy())
        resized = picture.resize((224, 224), Image.Resampling.BICUBIC)
        return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def dinov2_state(side: int = 37) -> State:
    """The weights of a small DINOv2, with the names of the published file."""
    random = noise(0)
    state = {
        "cls_token": random(1, 1, WIDTH),
        "pos_embed": random(1, 1 + side * side, WIDTH),
        "mask_token": random(1, WIDTH),
        "patch_embed.proj.weight": random(WIDTH, 3, PATCH, PATCH) / 5,
        "patch_embed.proj.bias": random(WIDTH),
        "norm.weight": 1 + random(WIDTH),
        "norm.bias": random(WIDTH),
    }
    shapes = {"attn.qkv": (3 * WIDTH, WIDTH), "attn.proj": (WIDTH, WIDTH)}
    shapes |= {"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}
    for block in (f"blocks.{i}" for i in range(DEPTH)):
        for name, shape in shapes.items():
            state |= {
                f"{block}.{name}.weight": random(*shape),
                f"{block}.{name}.bias": random(shape[0]),
            }
        for name in ("norm1", "norm2"):
            state |= {
                f"{block}.{name}.weight": 1 + random(WIDTH),
                f"{block}.{name}.bias": random(WIDTH),
            }
        state |= {f"{block}.ls1.gamma": random(WIDTH), f"{block}.ls2.gamma": random(WIDTH)}
    return state


def by_the_definition(state: State, images: Tensor, positions: Tensor) -> Tensor:
    """DINOv2's class token, as a plain reference; images (N, 3, H, W), normalised."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ state[f"{name}.weight"].T + state[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()
        return x * state[f"{name}.weight"] + state[f"{name}.bias"]

    patches = F.unfold(images, PATCH, stride=PATCH).transpose(1, 2)
    kernel = state["patch_embed.proj.weight"].flatten(1)
    x = patches @ kernel.T + state["patch_embed.proj.bias"]
    x = torch.cat([state["cls_token"].expand(len(x), -1, -1), x], 1) + positions
    for block in (f"blocks.{i}" for i in range(DEPTH)):
        joined = linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv")
        # (N, tokens, 3 * heads * 64) to three of (N, heads, tokens, 64)
        query, key, value = joined.unflatten(2, (3, -1, 64)).permute(2, 0, 3, 1, 4)
        attention = (query @ key.mT / math.sqrt(64)).softmax(-1)
        attended = linear((attention @ value).transpose(1, 2).flatten(2), f"{block}.attn.proj")
        x = x + state[f"{block}.ls1.gamma"] * attended
        hidden = F.gelu(linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1"))
        x = x + state[f"{block}.ls2.gamma"] * linear(hidden, f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def bicubic_matrix(given: int, wanted: int, scale: float) -> Tensor:
    """(wanted, given): the cubic of a = -0.75 around (i + 0.5) / scale - 0.5, edges repeated."""
    a = -0.75
    matrix = torch.zeros(wanted, given, dtype=torch.float64)
    for i in range(wanted):
        position = (i + 0.5) / scale - 0.5
        for k in range(math.floor(position) - 1, math.floor(position) + 3):
            d = abs(position - k)
            near = (a + 2) * d**3 - (a + 3) * d**2 + 1
            weight = near if d <= 1 else a * (d**3 - 5 * d**2 + 8 * d - 4)
            matrix[i, min(max(k, 0), given - 1)] += weight
    return matrix.float()


class TestDinoV2:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        file = tmp_path / "small.pth"
        torch.save(dinov2_state(), file)
        return file

    def test_features_are_the_class_token_of_the_definition(self) -> None:
        state = dinov2_state(side=16)  # as many positions as patches: nothing to interpolate
        images = noise(1)(2, 3, 224, 224)
        expected = by_the_definition(state, images, state["pos_embed"])
        torch.testing.assert_close(
            vision_transformer(state)(images), expected, rtol=1e-4, atol=1e-4
        )

    def test_positions_are_interpolated_with_dinov2s_offset(self) -> None:
        state = dinov2_state(side=37)
        side = bicubic_matrix(37, 16, scale=(16 + 0.1) / 37)
        grid = state["pos_embed"][0, 1:].unflatten(0, (37, 37)).permute(2, 0, 1)
        grid = (side @ grid @ side.T).flatten(1).T
        positions = torch.cat([state["pos_embed"][0, :1], grid])
        found = vision_transformer(state).encoder.pos_embedding[0]
        torch.testing.assert_close(found, positions, rtol=1e-4, atol=1e-4)

    def test_images_are_resized_and_normalised_as_in_the_paper(self, weights: Path) -> None:
        backbone = DinoV2(CPU, weights)
        images = some_images(2, 3, 32, 48)
        expected = torch.stack([TestThePillowResizer.by_pillow(image) for image in images]) / 255
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        expected = (expected - mean[:, None, None]) / std[:, None, None]
        features, logits = backbone.features(images)
        torch.testing.assert_close(features, backbone.network(expected), rtol=0.01, atol=0.01)
        assert features.shape == (2, WIDTH) and logits.shape == (2, 0)
        assert not features.requires_grad

    def test_its_name_tells_other_weights_from_the_published(self, weights: Path) -> None:
        before = torch.get_rng_state()
        backbone = DinoV2(CPU, weights)
        assert torch.equal(before, torch.get_rng_state())
        assert backbone.name == f"dinov2{backbone.weights_hash[:8]}"
        assert dinov2.PUBLISHED.named("dinov2", dinov2.PUBLISHED.sha256[:16]) == "dinov2"
        assert backbone.resizer == "pillow-bicubic-224"

    @pytest.mark.parametrize(
        "name, reason",
        [
            ("register_tokens", "register_tokens is no part"),  # ViT-L/14 with registers
            ("visual.conv1.weight", "visual.conv1.weight is no part"),
        ],
    )
    def test_the_weights_of_another_network_are_refused(
        self, tmp_path: Path, name: str, reason: str
    ) -> None:
        file = tmp_path / "other.pth"
        torch.save(dinov2_state() | {name: torch.zeros(1)}, file)
        with pytest.raises(UserError, match=f"does not contain the weights of DINOv2.*{reason}"):
            DinoV2(CPU, file)

    def test_the_gated_layers_of_vit_g_are_refused(self, tmp_path: Path) -> None:
        renamed = {name.replace("fc1", "w12"): value for name, value in dinov2_state().items()}
        file = tmp_path / "gated.pth"
        torch.save(renamed, file)
        with pytest.raises(UserError, match="DINOv2 ViT-L/14 .*no 'blocks.0.mlp.fc1"):
            DinoV2(CPU, file)


class TestClip:
    @pytest.fixture
    def encoder(self) -> CLIPVisual:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            encoder = CLIPVisual(16, 32, vision_layers=2, vision_width=64, vision_patch_size=8)
        encoder.register_parameter("text_projection", nn.Parameter(torch.zeros(8, 16)))
        return encoder

    @pytest.fixture
    def program(self, encoder: CLIPVisual, tmp_path: Path) -> Path:
        """The weights in the format of the published file."""

        class Carrier(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.visual, self.text_projection = encoder.visual, encoder.text_projection

            def forward(self, x: Tensor) -> Tensor:
                return x

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns that the format is deprecated
            torch.jit.trace(Carrier(), torch.zeros(1)).save(tmp_path / "program.pt")
        return tmp_path / "program.pt"

    def test_features_are_torch_fidelitys(
        self, encoder: CLIPVisual, program: Path, tmp_path: Path
    ) -> None:
        torch.save(encoder.state_dict(), tmp_path / "state.pth")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs = FeatureExtractorCLIP(
                "clip-vit-b-32", ["clip"], feature_extractor_weights_path=str(program)
            )
        before = torch.get_rng_state()
        backbone = Clip(CPU, tmp_path / "state.pth")
        assert torch.equal(before, torch.get_rng_state())
        images = some_images(2, 3, 20, 32)
        features, logits = backbone.features(images)
        torch.testing.assert_close(features, theirs(images)[0], rtol=1e-4, atol=1e-5)
        assert features.shape == (2, 16) and logits.shape == (2, 0)
        assert backbone.resizer == "tf1-bilinear-32"
        assert backbone.name == f"clip{backbone.weights_hash[:8]}"

    def test_a_program_runs_only_where_its_hash_is_the_published_one(
        self, program: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(UserError, match="cannot be read as a file of weights"):
            Clip(CPU, program)
        sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
        monkeypatch.setattr(clip, "PUBLISHED", dataclasses.replace(clip.PUBLISHED, sha256=sha256))
        assert Clip(CPU, program).name == "clip"

    def test_the_weights_of_another_network_are_refused(self, tmp_path: Path) -> None:
        torch.save(dinov2_state(), tmp_path / "other.pth")
        with pytest.raises(
            UserError, match="does not contain the weights of CLIP.*no 'visual.proj'"
        ):
            Clip(CPU, tmp_path / "other.pth")


@pytest.mark.parametrize("name", PUBLISHED)
class TestWeightFiles:
    @pytest.fixture
    def published(self, name: str) -> Published:
        return PUBLISHED[name]

    @pytest.fixture(autouse=True)
    def home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
        return tmp_path / "home/hub/checkpoints"

    def load(self, name: str, path: Path | str | None = None) -> Backbone:
        return load_backbone(name, None, CPU, path)  # type: ignore[arg-type]  # data unread

    def test_offline_the_error_says_what_to_fetch_and_where_it_goes(
        self, name: str, published: Published, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def offline(*_: object, **__: object) -> None:
            raise URLError("no route to host")

        monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
        with pytest.raises(UserError) as caught:
            self.load(name)
        for text in (
            published.url,
            "no route to host",
            str(home / published.file_name),
            "$TORCH_HOME",
            "metrics.weights_path=",
            "metrics=classifier",
        ):
            assert text in str(caught.value)

    def test_a_download_is_announced_checked_by_its_hash_and_made_once(
        self,
        name: str,
        published: Published,
        home: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        made = []

        def download(url: str, file: str, hash_prefix: str) -> None:
            made.append((url, hash_prefix))
            Path(file).write_bytes(b"weights")

        monkeypatch.setattr(torch.hub, "download_url_to_file", download)
        for _ in range(2):
            assert published.found(None) == home / published.file_name
        assert made == [(published.url, published.sha256)]
        err = capsys.readouterr().err
        assert f"{published.size_mb} MB" in err and str(home) in err

    @pytest.mark.parametrize("content", ["missing", "cut", "code", "list"])
    def test_a_file_without_weights_is_named_with_the_option(
        self, name: str, published: Published, tmp_path: Path, content: str
    ) -> None:
        file = tmp_path / "weights.pth"
        whole = io.BytesIO()
        torch.save({"a": torch.zeros(1000)}, whole)
        if content == "cut":
            file.write_bytes(whole.getvalue()[:500])
        elif content == "code":
            torch.save({"network": nn.Linear(1, 1)}, file)
        elif content == "list":
            torch.save([torch.zeros(1)], file)
        reason = "does not exist" if content == "missing" else "cannot be read as a file of weights"
        with pytest.raises(UserError) as caught:
            self.load(name, file)
        for text in (str(file), reason, published.file_name, "metrics.weights_path="):
            assert text in str(caught.value)


def test_an_unknown_backbone_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match="'dino'.*Did you mean 'dinov2'.*clip"):
        choose_backbone(Digits(), "dino")
    assert set(WITH_CLASSES) < set(BACKBONES)
