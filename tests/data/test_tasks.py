"""Translation tasks and folders of pairs: sources, targets, and that splits share nothing."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gansweep.config import compose as config
from gansweep.data import tasks
from gansweep.data.batch import Batch
from gansweep.data.images import Digits
from gansweep.data.pair_folders import PairedFolders, UnpairedFolders
from gansweep.data.pairs import Paired, Unpaired
from gansweep.data.resident import ResidentSource
from gansweep.errors import UserError
from gansweep.metrics.scores.held_out import HeldOut
from gansweep.run.build import build_data


class Colours(ResidentSource):
    """40 random colour images, every one different, 10 of them to test on."""

    name, class_names = "colours", None

    def __init__(self, side: int = 8, **options) -> None:
        super().__init__(**options)
        self.side = side

    @property
    def shape(self) -> tuple[int, ...]:
        return (3, self.side, self.side)

    def read(self, split: str):
        rng = torch.Generator().manual_seed(len(split))
        n = 30 if split == "train" else 10
        return torch.randint(256, (n, *self.shape), dtype=torch.uint8, generator=rng), None


def take(data, n: int, batch_size: int = 6, **options):
    options = {"seed": 3, "device": "cpu", **options}
    return list(itertools.islice(data.train_batches(batch_size, **options), n))


def pixels(images: torch.Tensor) -> torch.Tensor:
    return images.add(1).mul(127.5).round().byte()


def random_images(channels: int = 1, side: int = 8, n: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randint(256, (n, channels, side, side), dtype=torch.uint8, generator=rng)


# Each task compared with a slow, obvious reference


def test_inversion_and_rotation_pixel_by_pixel() -> None:
    images = random_images()
    black, turned = tasks.inverted(images), tasks.rotated(images)
    for n, y, x in np.ndindex(3, 8, 8):
        assert int(black[n, 0, y, x]) == 255 - int(images[n, 0, y, x])
        # anticlockwise: the right column becomes the top row
        assert turned[n, 0, 7 - x, y] == images[n, 0, y, x]


def test_tint_runs_from_navy_to_amber_and_is_invertible() -> None:
    ramp = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    colours = tasks.tinted(ramp).flatten(2)[0].T
    assert tuple(colours[0].tolist()) == tasks.TINT_DARK
    assert tuple(colours[255].tolist()) == tasks.TINT_LIGHT
    assert tuple(colours[51].tolist()) == (67, 65, 88)  # a fifth of the way
    assert bool((colours[1:].int().sum(1) > colours[:-1].int().sum(1)).all())


def test_grey_is_the_luminance_that_pillow_computes() -> None:
    images = random_images(channels=3)
    for image, made in zip(images, tasks.grey(images), strict=True):
        theirs = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"), int)
        assert np.abs(theirs - made[0].numpy().astype(int)).max() <= 1


def test_edges_are_the_length_of_sobels_gradient() -> None:
    images = random_images()
    made = tasks.edges(images)
    for n, y, x in np.ndindex(3, 8, 8):
        window = [[float(images[n, 0, min(7, max(0, y + dy)), min(7, max(0, x + dx))])
                   for dx in (-1, 0, 1)] for dy in (-1, 0, 1)]  # fmt: skip
        (a, b, c), (d, _, f), (g, h, i) = window
        across = (c + 2 * f + i - a - 2 * d - g) / 4
        down = (g + 2 * h + i - a - 2 * b - c) / 4
        assert abs(int(made[n, 0, y, x]) - min(255, math.hypot(across, down))) <= 0.51


def test_a_full_step_is_a_white_edge_and_an_even_image_has_none() -> None:
    step = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    step[..., 4:] = 255
    row = tasks.edges(step)[0, 0, 3].tolist()
    assert row == [0, 0, 0, 255, 255, 0, 0, 0]
    assert not tasks.edges(torch.full((1, 3, 8, 8), 77, dtype=torch.uint8)).any()


@pytest.mark.parametrize(("side", "first", "last"), [(8, 2, 5), (28, 7, 20), (128, 36, 91)])
def test_the_hole_is_grey_and_central_and_the_rest_is_kept(
    side: int, first: int, last: int
) -> None:
    images = random_images(side=side, n=1)
    made = tasks.holed(images)
    inside = torch.zeros(side, side, dtype=torch.bool)
    inside[first : last + 1, first : last + 1] = True
    assert bool((made[0, 0][inside] == 128).all())
    assert torch.equal(made[0, 0][~inside], images[0, 0][~inside])
    assert (side - 1 - last) == first


def test_noise_has_the_stated_spread_and_is_the_same_each_time() -> None:
    images = torch.full((1500, 1, 8, 8), 128, dtype=torch.uint8)
    made = tasks.noisy(images, 0.2)
    assert torch.equal(made, tasks.noisy(images, 0.2))
    spread = made.float().div(127.5).std()
    assert abs(float(spread) - 0.2) < 0.003
    assert len(made.unique(dim=0)) == 1500  # no image shares its noise with another


def test_training_and_test_images_have_different_noise() -> None:
    data = Paired(Digits(), "denoise")
    noise = {}
    for split in ("train", "test"):
        batch = next(data.batches(split))
        middle = batch.images.abs() < 0.3  # where the noise is not clipped
        noise[split] = (batch.source - batch.images)[:300] * middle[:300]
    assert not torch.equal(noise["train"].sign(), noise["test"].sign())
    both = (noise["train"] != 0) & (noise["test"] != 0)
    pair = torch.stack([noise["train"][both], noise["test"][both]])
    assert abs(float(torch.corrcoef(pair)[0, 1])) < 0.2


def test_the_mask_has_otsus_threshold() -> None:
    images = torch.cat([random_images(n=4), random_images(n=4) // 3])
    made = tasks.foreground(images)
    for image, mask in zip(images, made, strict=True):
        values = image.flatten().double()

        def between(level: int, values: torch.Tensor = values) -> float:
            low, high = values[values <= level], values[values > level]
            if not len(low) or not len(high):
                return 0.0
            return len(low) * len(high) * float(low.mean() - high.mean()) ** 2

        best = max(range(256), key=between)
        assert torch.equal(mask, (image > best).byte() * 255)


def test_an_even_image_has_no_foreground() -> None:
    assert not tasks.foreground(torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)).any()


# Pairs


@pytest.mark.parametrize("name", ["invert", "rotate", "tint", "edges", "hole", "denoise", "mask"])
def test_paired_batches_contain_a_source_and_the_target_of_the_task(name: str) -> None:
    data = Paired(Digits(), name)
    task = tasks.task_named(name, (1, 8, 8), 0.5)
    images, labels = (torch.cat(part) for part in zip(*Digits().arrays("test"), strict=True))
    batch = next(data.batches("test"))
    assert torch.equal(pixels(batch.source), task.source(images))
    assert torch.equal(pixels(batch.images), task.target(images))
    assert torch.equal(batch.labels, labels)
    assert (batch.images.shape[1:], batch.source.shape[1:]) == (data.shape, data.source_shape)
    assert data.is_mask == (name == "mask")


def test_training_pairs_are_true_and_mirrored_together() -> None:
    data = Paired(Colours(), "invert", flip=True)
    kept = [image.numpy().tobytes() for image in Colours().read("train")[0]]
    mirrored = 0
    for batch in take(data, 10):
        assert torch.allclose(batch.images, -batch.source, atol=1e-6)
        mirrored += sum(image.numpy().tobytes() not in kept for image in pixels(batch.source))
    assert 15 < mirrored < 45


def test_the_source_of_an_unpaired_target_is_never_a_training_source() -> None:
    data = Unpaired(Digits(), "invert")
    assert not data.is_paired("train") and data.is_paired("test")
    sources, targets = set(), set()
    for batch in take(data, 30, batch_size=100):
        sources |= {image.numpy().tobytes() for image in pixels(batch.source)}
        targets |= {image.numpy().tobytes() for image in pixels(-batch.images)}
    copies = len(Digits().read("train")[0]) - len(Digits().read("train")[0].unique(dim=0))
    assert copies == 0  # so that equal pixels mean the same image
    assert len(sources) == len(targets) == 718 == data.n_train
    assert not sources & targets
    test = next(data.batches("test"))
    assert torch.allclose(test.images, -test.source, atol=1e-6)
    assert not sources & {image.numpy().tobytes() for image in pixels(test.source)}


def test_unpaired_sources_and_targets_have_different_orders() -> None:
    data = Unpaired(Colours(), "invert")
    rows = {side: {image.numpy().tobytes(): k for k, image in enumerate(part.read("train")[0])}
            for side, part in (("source", data.sources), ("images", data.targets))}  # fmt: skip
    beside = [
        (rows["source"][a.numpy().tobytes()], rows["images"][b.numpy().tobytes()])
        for batch in take(data, 10, batch_size=5)
        for a, b in zip(pixels(batch.source), pixels(batch.images), strict=True)
    ]
    first = dict(beside[:15])
    assert sorted(first) == sorted(first.values()) == list(range(15))
    assert any(first[a] != b for a, b in beside[15:30])  # another partner in the next epoch


@pytest.mark.parametrize("kind", [Paired, Unpaired])
def test_a_resumed_run_and_two_processes_see_the_same_pairs(kind: type) -> None:
    data = kind(Colours(), "hole", flip=True)
    whole = take(data, 9)
    for a, b in zip(whole[4:], take(data, 5, start_image=24), strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.source, b.source)
    shares = [take(data, 9, rank=rank, world=2) for rank in (0, 1)]
    for batch, first, second in zip(whole, *shares, strict=True):
        assert torch.equal(batch.images, torch.cat([first.images, second.images]))
        assert torch.equal(batch.source, torch.cat([first.source, second.source]))


def test_fingerprints_differ_between_tasks_splits_and_pairing() -> None:
    base = Digits()
    sets = [Paired(base, "invert"), Paired(base, "rotate"), Paired(base, "hole"),
            Paired(base, "denoise"), Paired(base, "denoise", sigma=0.2),
            Unpaired(base, "invert")]  # fmt: skip
    found = [data.fingerprint("train") for data in sets]
    assert len(set(found)) == len(sets)
    assert found[0] == Paired(Digits(), "invert").fingerprint("train")
    assert sets[0].fingerprint("test") != found[0]
    assert sets[0].fingerprint("test") == sets[-1].fingerprint("test")


def test_hydra_swaps_the_base_of_a_task() -> None:
    cfg = config.compose(["data=paired", "data@data.base=digits", "data.base.image_size=16"])
    assert build_data(cfg).shape == (1, 16, 16)
    cfg = config.compose(["data=unpaired", "data@data.base=fashion_mnist", "data.task=edges"])
    assert cfg.data.base._target_.endswith("FashionMNIST")


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["data.task=colourise"], "colour images, but these have 1 channel"),
        (["data.task=invrt"], "Did you mean 'invert'"),
        (["data@data.base=ring"], "has points"),
        (["data.task=denoise", "data.sigma=0"], "data.sigma=0.5"),
        (["data.task=rotate", "data.flip=true"], "data.flip=false"),
        (["data.base.flip=true"], "data.flip=true"),
    ],
)
def test_impossible_tasks_are_refused_with_the_fix(words: list[str], refusal: str) -> None:
    with pytest.raises(UserError, match=refusal):
        build_data(config.compose(["data=paired", *words]))


def test_colour_images_are_colourised_from_their_grey() -> None:
    data = Paired(Colours(), "colourise")
    assert (data.source_shape, data.shape) == ((1, 8, 8), (3, 8, 8))
    batch = next(data.batches("test"))
    assert torch.equal(pixels(batch.source), tasks.grey(pixels(batch.images)))


# Folders


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """12 pairs, B being A inverted; A holds PNG files and B BMP files."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    a, b = tmp_path / "A", tmp_path / "B"
    for folder in (a, b):
        (folder / "more").mkdir(parents=True)
    for k in range(12):
        image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        name = f"more/{k}" if k % 2 else str(k)
        Image.fromarray(image).save(a / f"{name}.png")
        Image.fromarray(255 - image).save(b / f"{name}.bmp")
    return a, b


OPTIONS = {"image_size": 6, "resize": 8, "crop": "random", "flip": True, "workers": 0}


def test_paired_folders_crop_and_mirror_both_images_of_a_pair(folders: tuple[Path, Path]) -> None:
    data = PairedFolders(*folders, **OPTIONS, test_every=4)
    assert (data.n_train, data.n_test, data.name) == (9, 3, "A_to_B")
    for batch in take(data, 5, batch_size=4):
        assert torch.allclose(batch.images, -batch.source, atol=1e-6)
    for split in ("train", "test"):
        for batch in data.batches(split):
            assert torch.allclose(batch.images, -batch.source, atol=1e-6)
    later = take(data, 2, batch_size=3, start_image=9)
    for a, b in zip(take(data, 5, batch_size=3)[3:], later, strict=True):
        assert torch.equal(a.images, b.images) and torch.equal(a.source, b.source)


def test_a_source_without_counterpart_is_named_before_training(
    folders: tuple[Path, Path],
) -> None:
    (folders[1] / "more" / "5.bmp").unlink()
    Image.new("RGB", (8, 8)).save(folders[1] / "stray.png")
    with pytest.raises(UserError, match=r"more/5\); 1 of .*B .*stray") as error:
        PairedFolders(*folders, **OPTIONS).prepare()
    assert "data=unpaired_folders" in str(error.value)


def test_test_folders_pair_too(folders: tuple[Path, Path]) -> None:
    a, b = folders
    data = PairedFolders(a, b, test_root_a=a / "more", test_root_b=b / "more", workers=0,
                         image_size=8)  # fmt: skip
    # the test folders lie in those of the training, which leaves their images out
    assert (data.n_train, data.n_test) == (6, 6)
    batch = next(data.batches("test"))
    assert torch.allclose(batch.images, -batch.source, atol=1e-6)


@pytest.mark.parametrize("which", ["root_a", "test_root_a"])
def test_a_missing_folder_is_named_by_its_option(folders: tuple[Path, Path], which: str) -> None:
    roots = {"root_a": folders[0], "root_b": folders[1], which: folders[0] / "none"}
    with pytest.raises(UserError, match=f"data.{which}"):
        PairedFolders(**roots)


def test_two_files_of_one_name_are_refused(folders: tuple[Path, Path]) -> None:
    Image.new("RGB", (8, 8)).save(folders[0] / "0.jpg")
    with pytest.raises(UserError, match="only one of them can be the counterpart"):
        PairedFolders(*folders, **OPTIONS).prepare()


def test_unpaired_folders_may_differ_in_size_and_repeat_the_smaller(
    folders: tuple[Path, Path],
) -> None:
    a, b = folders
    for path in sorted(a.glob("more/*.png")):
        path.unlink()
    data = UnpairedFolders(a, b, image_size=8, workers=0, test_every=3)
    assert (data.sources.n_train, data.n_train) == (4, 8)
    assert not data.is_paired("train") and not data.is_paired("test")
    batch = next(data.batches("train"))
    assert len(batch.source) == len(batch.images) == 8
    assert torch.equal(batch.source[:4], batch.source[4:])
    assert take(data, 3, batch_size=4)[2].source.shape == (4, 3, 8, 8)


def test_unpaired_data_have_no_score_against_a_target(folders: tuple[Path, Path]) -> None:
    def answer(batch: Batch) -> dict[str, torch.Tensor]:
        return {"images": -batch.source, "cycle": batch.source}

    measured = {
        kind: HeldOut(kind(*folders, image_size=8, workers=0, test_every=3), "test").score(
            answer, torch.device("cpu")
        )
        for kind in (PairedFolders, UnpairedFolders)
    }
    words = {kind: {s.protocol["score"] for s in scores.values()}
             for kind, scores in measured.items()}  # fmt: skip
    assert words[PairedFolders] == {"l1", "psnr", "psnr_gain", "cycle_l1"}
    assert words[UnpairedFolders] == {"cycle_l1"}
