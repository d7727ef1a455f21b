"""The contract of data sets in memory: their batches, arrays and fingerprints."""

import inspect
import itertools
import re
from collections import Counter
from pathlib import Path

import pytest
import torch
from hydra.utils import get_class, instantiate
from places import TOP
from torch import Tensor

from gansweep.config.compose import compose
from gansweep.data.batch import Batch
from gansweep.data.images import Digits
from gansweep.data.order import EndlessOrder, generator_for
from gansweep.data.resident import Arrays, ResidentSource
from gansweep.data.source import DataSource, Split
from gansweep.errors import UserError

CONFIGS = sorted((TOP / "conf" / "data").glob("*.yaml"))


class Numbered(ResidentSource):
    """Images of 1x2 pixels: the image's number, then 255. The label is the number, too."""

    name = "numbered"
    shape = (1, 1, 2)
    class_names = None

    def __init__(self, n: int, **options) -> None:
        super().__init__(**options)
        self.n = n

    def read(self, split: Split) -> Arrays:
        numbers = torch.arange(self.n if split == "train" else 0)
        pixels = torch.stack([numbers.to(torch.uint8), torch.full((len(numbers),), 255).byte()], 1)
        return pixels.reshape(-1, 1, 1, 2), numbers


def take(source: ResidentSource, batches: int, batch_size: int, **options) -> list[Batch]:
    options = {"seed": 3, "device": "cpu", **options}
    return list(itertools.islice(source.train_batches(batch_size, **options), batches))


def numbers(batches: list[Batch]) -> list[int]:
    return torch.cat([batch.labels for batch in batches]).tolist()


def same(a: list[Batch], b: list[Batch]) -> bool:
    return all(torch.equal(x.images, y.images) and torch.equal(x.labels, y.labels)
               for x, y in zip(a, b, strict=True))  # fmt: skip


def test_batches_follow_one_permutation_per_epoch() -> None:
    seen = numbers(take(Numbered(10), batches=9, batch_size=4))
    expected: list[int] = []
    for epoch in range(4):
        expected += torch.randperm(10, generator=generator_for(3, epoch)).tolist()
    assert seen == expected[:36]
    assert expected[:10] != expected[10:20]


def test_every_image_is_seen_equally_often_over_whole_epochs() -> None:
    counts = Counter(numbers(take(Numbered(10), batches=15, batch_size=4)))
    assert counts == dict.fromkeys(range(10), 6)


def test_seed_alone_decides_the_order() -> None:
    first, again = (take(Digits(flip=True), 5, 64, seed=1) for _ in range(2))
    assert same(first, again)
    assert not same(first, take(Digits(flip=True), 5, 64, seed=2))


@pytest.mark.parametrize("done", [1, 22, 23, 60])  # 22.4 batches of 64 are an epoch of 1,437
def test_start_image_continues_exactly_with_flips(done: int) -> None:
    source = Digits(flip=True)
    whole = take(source, done + 4, 64)
    assert same(take(source, 4, 64, start_image=done * 64), whole[done:])


@pytest.mark.parametrize("world", [2, 4])
def test_slices_of_the_processes_make_up_the_whole_batch(world: int) -> None:
    source = Digits(flip=True)
    whole = take(source, 50, 64, dtype=torch.float64)
    parts = [take(source, 50, 64, dtype=torch.float64, rank=r, world=world) for r in range(world)]
    for k, batch in enumerate(whole):
        assert torch.equal(batch.images, torch.cat([part[k].images for part in parts]))
        assert torch.equal(batch.labels, torch.cat([part[k].labels for part in parts]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pixels_0_and_255_become_minus_1_and_1(dtype: torch.dtype) -> None:
    images = torch.cat([batch.images for batch in take(Numbered(256), 4, 64, dtype=dtype)])
    assert images.dtype == dtype
    assert images.min() == -1
    assert (images[..., 1] == 1).all()
    expected = torch.arange(256, dtype=dtype) / 127.5 - 1
    assert torch.equal(images[..., 0].flatten().sort().values, expected)


def test_flip_mirrors_about_half_the_images_and_only_mirrors() -> None:
    plain = torch.cat([batch.images for batch in take(Numbered(250), 40, 50)])
    flipped = torch.cat([batch.images for batch in take(Numbered(250, flip=True), 40, 50)])
    mirrored = (flipped != plain).flatten(1).any(1)
    assert torch.equal(flipped[mirrored], plain[mirrored].flip(-1))
    assert 0.45 < mirrored.float().mean() < 0.55
    assert len({tuple(batch) for batch in mirrored.reshape(40, 50).tolist()}) == 40


def test_a_set_too_large_for_the_device_gives_the_same_batches() -> None:
    assert same(take(Digits(flip=True, image_size=9), 30, 64), take(HostDigits(), 30, 64))


class HostDigits(Digits):
    def __init__(self) -> None:
        super().__init__(flip=True, image_size=9)
        self.resident_gib = 0.0

    def _home(self, device: torch.device) -> tuple[Tensor, Tensor | None]:
        home = super()._home(device)
        assert self._on_device is None
        return home


def test_batches_do_not_touch_the_global_random_numbers() -> None:
    state = torch.get_rng_state()
    take(Digits(flip=True), 30, 64)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_batch_can_be_changed_without_changing_the_data() -> None:
    source = Digits()
    before = source.fingerprint("train")
    for batch in take(source, 3, 64):
        batch.images.zero_()
    source._fingerprints.clear()
    assert source.fingerprint("train") == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"batch_size": 11}, ["batch_size=11", "10 training images", "model.batch_size=10"]),
        ({"batch_size": 0}, ["batch_size=0", "model.batch_size=1"]),
        ({"batch_size": 7, "world": 3}, ["batch_size=7", "3 processes", "6 or 9"]),
        ({"batch_size": 4, "start_image": 6}, ["6 images", "batch_size=4"]),
    ],
)
def test_impossible_batches_are_refused_at_once(options: dict, words: list[str]) -> None:
    with pytest.raises(UserError) as refusal:
        Numbered(10).train_batches(seed=0, device="cpu", **options)
    assert all(word in str(refusal.value) for word in words)


def test_arrays_come_in_one_order_and_a_limit_takes_a_fixed_subset() -> None:
    source = Numbered(200)
    whole = torch.cat([labels for _, labels in source.arrays("train")])
    assert whole.tolist() == list(range(200))
    some, again = (torch.cat([x for _, x in source.arrays("train", limit=50)]) for _ in range(2))
    assert torch.equal(some, again)
    assert len(set(some.tolist())) == 50
    assert some.max() >= 150  # not the first 50
    assert sum(len(x) for x, _ in source.arrays("train", limit=500)) == 200


def test_arrays_refuse_an_unknown_and_an_empty_split() -> None:
    with pytest.raises(UserError, match="use train, validation, test"):
        next(Numbered(5).arrays("val"))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no test images"):
        next(Numbered(5).arrays("test"))
    with pytest.raises(UserError, match=r"no validation images.*data\.n_validation"):
        next(Numbered(5).arrays("validation"))


def test_fingerprint_depends_on_content_and_not_on_the_name() -> None:
    class Renamed(Numbered):
        name = "something else"

    prints = [Numbered(5).fingerprint("train"), Numbered(6).fingerprint("train")]
    assert len(set(prints)) == 2
    assert Renamed(5).fingerprint("train") == prints[0]
    assert len(prints[0]) == 16
    assert int(prints[0], 16) >= 0


def test_order_gives_any_row_without_the_rows_before_it() -> None:
    whole = EndlessOrder(7, seed=1).rows(0, 30)
    for start, count in [(0, 7), (5, 4), (13, 1), (6, 16)]:
        assert torch.equal(EndlessOrder(7, seed=1).rows(start, count), whole[start : start + count])


def described(value: object) -> object:
    """Every attribute, also of inner sets, without memory addresses."""
    if isinstance(value, DataSource):
        return {name: described(attribute) for name, attribute in vars(value).items()}
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_a_config_states_the_defaults_of_its_class(config: Path, tmp_path: Path) -> None:
    missing = [key for key in ("root", "root_a", "root_b") if f"\n{key}: ???" in config.read_text()]
    words = [f"data.{key}={tmp_path}" for key in missing]
    node = compose([f"data={config.stem}", *words]).data
    parameters = inspect.signature(get_class(node._target_)).parameters.values()
    required = {p.name for p in parameters if p.default is p.empty} | {"_target_", "root"}
    # records of earlier versions lack it: they trained on all images, and continue so
    apart = {"n_validation"} & node.keys()
    built = instantiate({**node, **dict.fromkeys(apart, 0)})
    bare = instantiate({key: node[key] for key in node if key in required})
    assert described(built) == described(bare)
    assert config.read_text().startswith("# ")


class Misread(ResidentSource):
    """Two classes of 8x8 images, as `given` says."""

    name, shape, class_names = "misread", (1, 8, 8), ["a", "b"]

    def __init__(self, given: tuple[object, object]) -> None:
        super().__init__()
        self.given = given

    def read(self, split: Split) -> Arrays:
        return self.given  # type: ignore[return-value]


IMAGES, LABELS = torch.zeros(20, 1, 8, 8, dtype=torch.uint8), torch.arange(20) % 2


@pytest.mark.parametrize(
    ("images", "labels", "words"),
    [
        (IMAGES.float(), LABELS, ["torch.float32 of shape (20, 1, 8, 8)", "torch.uint8", "255"]),
        (IMAGES[:, 0], LABELS, ["(20, 8, 8)", "(N, 1, 8, 8)"]),
        (
            IMAGES.numpy(),
            LABELS,
            ["a ndarray of shape (20, 1, 8, 8), not a tensor", "torch.from_numpy"],
        ),
        (IMAGES, LABELS[1:], ["20 samples and as labels torch.int64 of shape (19,)", "(20,)"]),
        (IMAGES, LABELS.float(), ["torch.float32 of shape (20,)", "torch.int64"]),
        (IMAGES, LABELS.numpy(), ["as labels a ndarray", "torch.int64"]),
    ],
)
def test_what_a_users_source_misread_is_explained(
    images: object, labels: object, words: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        Misread((images, labels)).count("train")
    assert all(word in str(caught.value) for word in ["Misread.read('train')", *words])
    assert Misread((IMAGES, None)).count("train") == 20
