"""Class agreement: does the data's classifier see the requested class?"""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tensor_data import Tensors, squares

from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.metrics.panel import Panel
from gansweep.metrics.scores.agreement import ClassAgreement

Generate = Callable[[int, torch.Generator], Batch]


def logits_of(seen: list[int], n_classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(seen), n_classes).float()


def test_shares_and_confusions_are_those_counted_by_hand() -> None:
    metric = ClassAgreement(3)
    metric.update(torch.tensor([0, 0, 0, 1]), logits_of([0, 0, 2, 1], 3))
    metric.update(torch.tensor([1]), logits_of([0], 3))
    found = metric.compute()
    assert found["class_agreement"].item() == pytest.approx(3 / 5)
    per_class = found["class_agreement_per_class"].tolist()
    assert per_class[:2] == pytest.approx([2 / 3, 1 / 2]) and math.isnan(per_class[2])
    # a row for each requested class, a column for each predicted class
    assert found["confusion"].view(3, 3).tolist() == [[2, 0, 1], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("asked", "logits", "words"),
    [
        ([0, 3], torch.zeros(2, 3), "requested classes go from 0 to 3, but the 3 classes"),
        ([0, -1], torch.zeros(2, 3), "from -1 to 0"),
        ([0], torch.zeros(2, 3), "one class for each row"),
        ([0, 1], torch.zeros(2, 4), "over 3 classes"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    asked: list[int], logits: torch.Tensor, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ClassAgreement(3).update(torch.tensor(asked), logits)


def test_without_requested_classes_there_is_no_agreement() -> None:
    with pytest.raises(ValueError, match="No samples"):
        ClassAgreement(3).compute()


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("squares")


@pytest.fixture(autouse=True)
def one_classifier(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is trained once for this file."""
    monkeypatch.setenv("GANSWEEP_CACHE", str(cache))


def asked_for(data: Tensors, change: Callable[[torch.Tensor], torch.Tensor]) -> Generate:
    """A generator whose requested class is `change` of the class that it makes."""

    def generate(n: int, rng: torch.Generator) -> Batch:
        rows = torch.randint(data.n_train, (n,), generator=rng)
        assert data.labels is not None
        images = data.images["train"][rows].float() / 127.5 - 1
        return Batch(images, change(data.labels["train"][rows]))

    return generate


def test_a_panel_distinguishes_an_obedient_generator_from_one_that_swaps_classes() -> None:
    data = squares(400, n_classes=4)
    panel = Panel(data, n_fake=120, conditional=True)
    panel.prepare("cpu")
    share, per_class, confusion = (
        f"{word}_squaresnet_120"
        for word in ("class_agreement", "class_agreement_per_class", "confusion")
    )
    obedient = panel.score(asked_for(data, lambda labels: labels))
    assert obedient[share].value == 1.0
    assert obedient[per_class].value == [1.0] * 4

    swapped = panel.score(asked_for(data, lambda y: torch.tensor([1, 0, 2, 3])[y]))
    assert swapped[per_class].value == [0.0, 0.0, 1.0, 1.0]
    counts = torch.tensor(swapped[confusion].value).view(4, 4)
    assert counts.sum() == 120 and (counts > 0).nonzero().tolist() == [
        [0, 1],
        [1, 0],
        [2, 2],
        [3, 3],
    ]
    assert swapped[share].value == pytest.approx(float(counts.diagonal().sum()) / 120)
    assert swapped[share].protocol["direction"] == "maximize"
    assert swapped[confusion].protocol["layout"] == "asked x seen"
    assert swapped[confusion].protocol["class_names"] == ["0", "1", "2", "3"]


def test_a_generator_that_is_asked_for_no_class_has_no_agreement() -> None:
    data = squares()
    assert "class_agreement" not in Panel(data, n_fake=120).scores
    with pytest.raises(UserError, match="takes no class"):
        Panel(data, n_fake=120, scores=["class_agreement"])
    with pytest.raises(UserError, match="only metrics=classifier"):
        Panel(data, n_fake=120, scores=["class_agreement"], backbone="inception", conditional=True)
