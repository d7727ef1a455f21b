"""A share of a set's images is tinted, the same ones wherever they are."""

import pytest
import torch

from gansweep.config.compose import compose
from gansweep.data.images import Digits
from gansweep.data.resident import whole
from gansweep.data.source import Split
from gansweep.data.tasks import tinted
from gansweep.data.tinted import Tinted
from gansweep.data.toy import Ring
from gansweep.errors import UserError
from gansweep.run.build import build_data


@pytest.fixture(scope="module")
def data() -> Tinted:
    return Tinted(Digits(n_validation=200))


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_image_is_tinted_or_as_it_was(data: Tinted, split: Split) -> None:
    (made, labels), (images, known) = whole(data, split), whole(data.base, split)
    assert labels is not None and known is not None and torch.equal(labels, known)
    chosen = data.chosen(images)
    assert 0.4 < chosen.float().mean() < 0.6
    assert torch.equal(made[chosen], tinted(images[chosen]))
    assert torch.equal(made[~chosen], images[~chosen].expand(-1, 3, -1, -1))


def test_an_image_looks_the_same_in_another_split(data: Tinted) -> None:
    aside = whole(data, "validation")[0]
    together = {image.numpy().tobytes() for image in whole(data.undivided, "train")[0]}
    assert data.undivided.count("train") == 1437
    assert all(image.numpy().tobytes() in together for image in aside)


@pytest.mark.parametrize("share", [0, 1])
def test_none_or_all_are_tinted(share: float) -> None:
    assert Tinted(Digits(), share).chosen(whole(Digits(), "train")[0]).unique().tolist() == [share]


def test_the_set_can_be_coloured_back() -> None:
    words = ["data=paired", "data.task=colourise", "data@data.base=tinted"]
    pairs = build_data(compose([*words, "data.base.base.n_validation=0"]))
    pairs.prepare()
    assert (pairs.source_shape, pairs.shape) == ((1, 8, 8), (3, 8, 8))


def test_points_and_options_without_effect_are_refused() -> None:
    with pytest.raises(UserError, match="data=tinted needs images"):
        Tinted(Ring())
    with pytest.raises(UserError, match=r"data\.base\.n_labels has no effect"):
        Tinted(Digits(n_labels=50))
