"""The panel of scores: what it measures, under which protocol, and what it refuses."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensor_data import Tensors, squares
from torch import Tensor
from torchmetrics import Metric

from gansweep.data.batch import Batch
from gansweep.data.conditions import Conditions
from gansweep.data.source import DataSource, Mixture
from gansweep.data.toy import Ring
from gansweep.errors import UserError
from gansweep.metrics.choice import choose_backbone
from gansweep.metrics.measure import Measure, Seen, Setting
from gansweep.metrics.measures import MEASURES
from gansweep.metrics.ordered import OrderedSamples
from gansweep.metrics.panel import Panel, to_uint8
from gansweep.metrics.protocol import comparable, protocol_key

pytestmark = pytest.mark.usefixtures("own_cache")
CPU = torch.device("cpu")


def ring() -> Tensors:
    means = torch.tensor([[1.0, 0], [-1, 0]], dtype=torch.float64)
    mixture = Mixture(means, 0.01, torch.tensor([0.5, 0.5], dtype=torch.float64))
    return Tensors("pair", torch.zeros(100, 2), mixture=mixture)


def resampled(data: Tensors) -> Callable[[int, torch.Generator], Tensor]:
    """A generator that returns training images."""

    def generate(n: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(data.n_train, (n,), generator=generator)
        return data.images["train"][rows].float() / 127.5 - 1

    return generate


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("squares")


@pytest.fixture
def panel(shared_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Panel:
    """A prepared panel over squares; their classifier is trained once for this file."""
    monkeypatch.setenv("GANSWEEP_CACHE", str(shared_cache))
    made = Panel(squares(), n_fake=120)
    made.prepare("cpu")
    return made


def test_one_pass_gives_every_score_with_its_protocol(panel: Panel) -> None:
    scores = panel.score(resampled(squares()))
    assert list(scores) == [
        "fid_squaresnet_120_train",
        "is_squaresnet_120_10splits",
        "kid_squaresnet_120_train",
        "precision_squaresnet_120_train",
        "recall_squaresnet_120_train",
        "density_squaresnet_120_train",
        "coverage_squaresnet_120_train",
        "modes_120",
        "reverse_kl_120",
        "confident_modes_120",
        "confident_reverse_kl_120",
        "in_no_mode_120",
        "mode_counts_120",
    ]
    assert {name: score.protocol for name, score in scores.items()} == panel.names()
    protocol = scores["fid_squaresnet_120_train"].protocol
    assert protocol["n_real"] == 200
    assert protocol["backbone"] == "squaresnet"
    assert protocol["backbone_test_accuracy"] >= 0.9
    assert scores["kid_squaresnet_120_train"].protocol["subset_size"] == 60
    assert panel.objective == "fid_squaresnet_120_train"


def test_good_samples_score_better_than_collapsed_and_noisy_ones(panel: Panel) -> None:
    data = squares()
    one = data.images["train"][:1].float() / 127.5 - 1

    def noise(n: int, generator: torch.Generator) -> Tensor:
        return torch.rand(n, 1, 8, 8, generator=generator) * 2 - 1

    good = panel.score(resampled(data))
    collapsed = panel.score(lambda n, _: one.expand(n, -1, -1, -1))
    noisy = panel.score(noise)
    ranking = ("fid_squaresnet_120_train", "kid_squaresnet_120_train", "confident_reverse_kl_120")
    for name in ranking:
        assert good[name].value < min(collapsed[name].value, noisy[name].value)  # type: ignore[type-var]
    assert good["modes_120"].value == 2
    assert collapsed["modes_120"].value == 1
    assert noisy["confident_modes_120"].value == 0, "noise must not be taken for squares"
    assert noisy["modes_120"].value >= 1, "as published, every sample counts"
    assert noisy["in_no_mode_120"].value == 1
    assert collapsed["mode_counts_120"].value in ([120, 0], [0, 120])
    assert collapsed["mode_counts_120"].protocol["mode_names"] == squares().class_names


def test_the_same_seed_gives_the_same_scores_and_leaves_the_random_state_alone(
    panel: Panel,
) -> None:
    before = torch.get_rng_state()
    first, second = (panel.score(resampled(squares())) for _ in range(2))
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_another_noise_seed_draws_other_samples(panel: Panel) -> None:
    other = Panel(squares(), n_fake=120, noise_seed=1)
    other.prepare("cpu")
    name = "fid_squaresnet_120_train"
    values = [p.score(resampled(squares()))[name].value for p in (panel, other)]
    assert values[0] != values[1]


def test_samples_that_are_not_finite_are_refused(panel: Panel) -> None:
    with pytest.raises(ValueError, match="not finite"):
        panel.score(lambda n, _: torch.full((n, 1, 8, 8), float("nan")))


def test_images_are_clamped_and_rounded() -> None:
    images = torch.tensor([-1.01, -1.0, -0.999, 0.0, 1.0, 3.0])
    assert to_uint8(images).tolist() == [0, 0, 0, 128, 255, 255]


@pytest.mark.usefixtures("short_training")
def test_real_statistics_follow_the_content_and_not_the_name(panel: Panel) -> None:
    changed = squares()
    changed.images["train"] = changed.images["train"].clone()
    changed.images["train"][:50] = 0
    other = Panel(changed, n_fake=120, scores=["fid"], min_test_accuracy=0)
    other.prepare("cpu")
    name = "fid_squaresnet_120_train"
    fingerprints = [p.names()[name]["data_fingerprint"] for p in (panel, other)]
    assert fingerprints[0] != fingerprints[1]
    values = [p.score(resampled(squares()))[name].value for p in (panel, other)]
    assert values[0] < 0.5 * values[1]  # type: ignore[operator]


def test_points_are_measured_without_a_backbone() -> None:
    panel = Panel(ring(), n_fake=50)
    panel.prepare("cpu")
    means = torch.tensor([[1.0, 0.0], [-1.0, 0.0]])
    scores = panel.score(lambda n, _: means.repeat(n // 2, 1))
    assert {name: score.value for name, score in scores.items()} == {
        "modes_50": 2,
        "high_quality_50": 1,
        "reverse_kl_50": 0,
        "mode_counts_50": [25, 25],
    }
    assert panel.objective == "reverse_kl_50"
    assert panel.names()["modes_50"]["sigma"] == 0.01
    assert "mode_names" not in panel.names()["mode_counts_50"]
    assert Panel(ring()).n_fake == 2500


def test_no_scores_cost_no_backbone() -> None:
    panel = Panel(squares(), scores=[])
    panel.prepare("cpu")
    assert panel.backbone is None
    assert panel.objective is None
    assert panel.score(resampled(squares())) == {}


@pytest.mark.parametrize(
    ("name", "shape", "n_classes", "backbone"),
    [
        ("digits", (1, 8, 8), 10, "classifier"),
        ("kmnist", (1, 28, 28), 49, "classifier"),
        ("icons", (3, 32, 32), 20, "classifier"),
        ("icons", (3, 32, 32), 21, "inception"),
        ("icons", (3, 64, 64), 2, "inception"),
        ("icons", (1, 6, 6), 2, "inception"),
        ("cifar10", (3, 32, 32), 10, "inception"),
        ("faces", (1, 32, 32), None, "inception"),
        ("ring", (2,), None, None),
    ],
)
def test_auto_chooses_the_feature_space(
    name: str, shape: tuple[int, ...], n_classes: int | None, backbone: str | None
) -> None:
    n = n_classes or 1
    labels = torch.arange(n).repeat(2) if n_classes else None
    data = Tensors(name, torch.zeros(2 * n, *shape, dtype=torch.uint8), labels, n_test=n)
    assert choose_backbone(data, "auto") == backbone


def test_without_a_test_split_no_classifier_is_chosen_or_taken() -> None:
    data = Tensors("icons", squares().images["train"], squares().labels["train"], n_test=0)  # type: ignore[index]
    assert choose_backbone(data, "auto") == "inception"
    with pytest.raises(UserError, match="has no test split"):  # before any training
        Panel(data, backbone="classifier")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_fake": 19}, "needs at least 20"),
        ({"scores": ["fdi"]}, "Did you mean 'fid'"),
        ({"backbone": "inceptoin"}, "Did you mean 'inception'"),
        ({"backbone": "inception", "scores": ["modes"]}, "cannot be measured"),
        ({"weights_path": "w.pth"}, "metrics=inception"),
        ({"own": {"mine": MEASURES[0]}}, "metrics.own has a score 'fid'"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Panel(squares(), **options)  # type: ignore[arg-type]


@pytest.mark.usefixtures("short_training")
def test_too_few_real_images_are_refused() -> None:
    panel = Panel(squares(), n_fake=100, n_real=3, scores=["fid"])
    with pytest.raises(UserError, match=r"metrics\.n_real: 3 samples cannot give"):
        panel.prepare("cpu")


@pytest.mark.usefixtures("short_training")
def test_all_that_fits_leaves_out_what_the_real_images_are_too_few_for() -> None:
    """Two real images of the last class, one of them to train on."""
    whole = squares(128)
    assert whole.labels is not None
    images = torch.cat([whole.images["test"], whole.images["train"]])
    labels = torch.cat([whole.labels["test"], whole.labels["train"]])
    kept = (labels == 0) | (torch.arange(len(labels)) > 125) | (torch.arange(len(labels)) == 1)
    data = Tensors("rare", images[kept], labels[kept], n_test=20)
    wide = Panel(data, n_fake=250, scores="all", min_test_accuracy=0)
    wide.prepare("cpu")
    scores = wide.score(resampled(data))
    words = {score.protocol["score"] for score in scores.values()}
    assert {"fid", "fid_infinity", "kid", "memorisation"} <= words
    assert not words & {"intra_fid", "ndb"}
    notes = " ".join(wide.notes)
    assert "intra_fid left out: No covariance of 1 sample" in notes and "ndb left out" in notes
    assert "has no more samples" in notes
    named = Panel(data, n_fake=250, scores="intra_fid", min_test_accuracy=0)
    with pytest.raises(UserError, match="intra_fid cannot be measured on data=rare"):
        named.prepare("cpu")


FULL = {
    *("fid_squaresnet_120_train", "fid_error_squaresnet_120_train"),
    *("fid_infinity_squaresnet_120_train", "fid_infinity_residual_squaresnet_120_train"),
    *("intra_fid_squaresnet_120_train", "intra_fid_per_class_squaresnet_120_train"),
    *("is_squaresnet_120_10splits", "mode_score_squaresnet_120_train", "kid_squaresnet_120_train"),
    *("precision_squaresnet_120_train", "recall_squaresnet_120_train"),
    *("density_squaresnet_120_train", "coverage_squaresnet_120_train"),
    *("modes_120", "reverse_kl_120", "confident_modes_120", "confident_reverse_kl_120"),
    *("in_no_mode_120", "mode_counts_120"),
    *("support_squaresnet_120_train", "twins_squaresnet_120_train"),
    *("vendi_squaresnet_120", "memorisation_squaresnet_120_test", "fifty_fifty_120_test"),
}


def full(**options: Any) -> Panel:
    words = [w for w in Panel(squares(), n_fake=500, scores="all").scores if w != "ndb"]
    made = Panel(squares(), n_fake=120, scores=words, **options)
    made.prepare("cpu")
    return made


def test_every_score_that_fits_comes_from_one_call(panel: Panel) -> None:
    data = squares()
    steps: list[tuple[str, int, int]] = []
    wide = full()
    scores = wide.score(resampled(data), lambda *step: steps.append(step))
    assert set(scores) == FULL
    assert wide.notes == []
    assert steps[:2] == [("samples", 100, 120), ("samples", 120, 120)]
    assert steps[-1] == ("scores", len(wide.measures), len(wide.measures))
    fid = scores["fid_squaresnet_120_train"]
    assert fid.interval is not None and fid.interval[0] < fid.value < fid.interval[1]  # type: ignore[operator]
    # the samples are training images: nearer to the training set than held-out images
    memorised = scores["memorisation_squaresnet_120_test"]
    assert memorised.value == 1
    assert memorised.protocol["split"] == "test"
    fresh = scores["fifty_fifty_120_test"]
    assert fresh.protocol["backbone"] is None
    assert fresh.interval is not None
    assert len(scores["intra_fid_per_class_squaresnet_120_train"].value) == 2  # type: ignore[arg-type]
    quick = panel.score(resampled(data))
    assert {name: score.value for name, score in quick.items()} == {
        name: scores[name].value for name in quick
    }


@pytest.mark.usefixtures("panel")
def test_a_score_that_cannot_be_computed_is_noted_and_the_others_are_kept() -> None:
    data = squares()
    one = data.images["train"][:1].float() / 127.5 - 1
    wide = full()
    scores = wide.score(lambda n, _: one.expand(n, -1, -1, -1))
    assert set(scores) == FULL - {name for name in FULL if name.startswith("intra_fid")}
    (note,) = wide.notes
    assert note.startswith("intra_fid, intra_fid_per_class left out: Class ")


@pytest.mark.usefixtures("panel")
def test_a_conditional_generator_is_measured_in_the_classes_it_was_asked_for() -> None:
    data = squares()
    assert data.labels is not None
    labels = data.labels["train"]

    def swapped(n: int, generator: torch.Generator) -> Batch:
        rows = torch.randint(data.n_train, (n,), generator=generator)
        return Batch(data.images["train"][rows].float() / 127.5 - 1, 1 - labels[rows])

    name = "intra_fid_squaresnet_120_train"
    values = []
    for conditional in (False, True):
        made = Panel(data, n_fake=120, scores=["intra_fid"], conditional=conditional)
        made.prepare("cpu")
        values.append(made.score(swapped)[name])
    # each image is of its predicted class, but not of the other class, which was requested
    assert values[0].value < 0.2 * values[1].value  # type: ignore[operator]
    assert [v.protocol["labels"] for v in values] == ["predicted", "requested"]


def test_pixels_of_another_range_or_type_are_refused(panel: Panel) -> None:
    data = squares()
    for images in (data.images["train"].float(), data.images["train"]):
        with pytest.raises(ValueError, match=r"images / 127\.5 - 1"):
            panel.score(lambda n, _, images=images: images[:n])
    with pytest.raises(ValueError, match=r"shape \(99, 1, 8, 8\)"):
        panel.score(lambda n, _: torch.zeros(n - 1, 1, 8, 8))


def test_samples_of_another_shape_are_no_divergence(panel: Panel) -> None:
    with pytest.raises(UserError, match=r"shape \(100, 1, 1, 8, 8\).*`fakes`"):
        panel.score(lambda n, _: torch.zeros(n, 1, 1, 8, 8))


class Computes(Measure):
    """A measure of the user whose metric computes a given value."""

    choices = words = ("own",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return ""

    def build(self, setting: Setting) -> OrderedSamples:
        return OrderedSamples(lambda samples: self.value)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.samples)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"mine": torch.tensor(1.0)}, "computed mine, where its words are needed: own"),
        ({}, "computed nothing"),
        (torch.tensor(1.0), r"computed a tensor of shape \(\).*as_scores\(own="),
        ({"own": 1.0}, r"computed a float for 'own'.*torch\.tensor\(NUMBER\)"),
        (
            {"own": torch.zeros(3)},
            r"computed a tensor of shape \(3,\) for 'own'.*lists = \('own',\) in Computes",
        ),
    ],
)
def test_a_score_of_ones_own_that_computes_something_else_is_explained(
    value: Any, words: str
) -> None:
    panel = Panel(ring(), n_fake=20, scores=[], own={"mine": Computes(value)})
    panel.prepare("cpu")
    with pytest.raises(UserError, match=f"The metric of Computes {words}"):
        panel.score(lambda n, _: torch.zeros(n, 2))


@pytest.mark.usefixtures("panel")
def test_a_batch_size_changes_the_noise_alone() -> None:
    data = squares()
    wide, narrow = (Panel(data, n_fake=120, scores=["fid"], batch_size=b) for b in (None, 7))
    for made in (wide, narrow):
        made.prepare("cpu")
    assert protocol_key(*wide.names().values()) == protocol_key(*narrow.names().values())
    images = data.images["train"][:120].float() / 127.5 - 1
    position = [0]

    def listed(n: int, _: torch.Generator) -> Tensor:
        start, position[0] = position[0], (position[0] + n) % 120
        return images[start : start + n]

    name = "fid_squaresnet_120_train"
    # the last digits of float32 features depend on the batch, and the fourth of a small distance
    assert wide.score(listed)[name].value == pytest.approx(
        narrow.score(listed)[name].value, rel=1e-3
    )


def test_the_protocol_of_reverse_kl_states_its_floor(panel: Panel) -> None:
    for word in ("reverse_kl", "confident_reverse_kl"):
        floor = panel.names()[f"{word}_120"]["floor"]
        assert floor == pytest.approx(1 / 240, rel=0.05)


def test_modes_say_which_samples_they_count(panel: Panel) -> None:
    protocols = panel.names()
    for word in ("modes", "reverse_kl"):
        assert protocols[f"{word}_120"]["counted"] == "every sample"
        assert "min_confidence" not in protocols[f"{word}_120"]
    for word in ("confident_modes", "confident_reverse_kl", "in_no_mode", "mode_counts"):
        assert protocols[f"{word}_120"]["min_confidence"] == 0.75
        assert "counted" not in protocols[f"{word}_120"]


@pytest.mark.usefixtures("panel")
def test_neighbourhoods_are_named_by_the_count_of_either_side() -> None:
    """With 60 test images, only 60 of 120 samples are compared."""
    data = squares()
    made = Panel(data, n_fake=120, split="test", scores=["recall", "coverage"])
    made.prepare("cpu")
    scores = made.score(resampled(data))
    assert list(scores) == ["recall_squaresnet_60_test", "coverage_squaresnet_60_test"]
    for score in scores.values():
        assert (score.protocol["n_fake"], score.protocol["n_real"]) == (60, 60)


def unequal() -> Tensors:
    """Squares: a third of the training images and half of the other images are of class 1."""
    whole = squares(400)
    assert whole.labels is not None
    images = torch.cat([whole.images["test"], whole.images["train"]])
    labels = torch.cat([whole.labels["test"], whole.labels["train"]])
    number = torch.arange(len(labels))
    kept = (labels == 0) | (number % 4 == 1) | (number < len(whole.labels["test"]))
    return Tensors("squares", images[kept], labels[kept])


@pytest.mark.usefixtures("short_training")
def test_balanced_asking_is_compared_with_equal_classes() -> None:
    data = unequal()
    assert data.labels is not None
    labels = data.labels["train"]
    common = {"n_fake": 400, "scores": ["modes"], "conditional": True, "min_test_accuracy": 0}
    found = {}
    for balanced in (False, True):
        made = Panel(data, balanced=balanced, **common)  # type: ignore[arg-type]
        made.prepare("cpu")

        def asked(n: int, rng: torch.Generator, balanced: bool = balanced) -> Batch:
            wanted = Conditions(data).draw(n, rng, balanced).labels
            assert wanted is not None
            firsts = torch.stack([(labels == k).nonzero()[0, 0] for k in range(2)])
            return Batch(data.images["train"][firsts[wanted]].float() / 127.5 - 1, wanted)

        found[balanced] = made.score(asked)["reverse_kl_400"]
        assert found[balanced].value < 0.02  # type: ignore[operator]
    assert found[False].protocol["asked"] is None
    assert found[True].protocol["asked"] == "every class alike"
    assert not comparable(found[False].protocol, found[True].protocol)


@pytest.mark.usefixtures("short_training")
def test_the_floor_is_that_of_the_labels_that_are_asked_for() -> None:
    """Labels as in training, two to one, compared with test images of equally many per class."""
    data = unequal()
    common = {"n_fake": 400, "split": "test", "scores": ["modes"], "min_test_accuracy": 0}
    floors = {}
    for conditional in (False, True):
        made = Panel(data, conditional=conditional, **common)  # type: ignore[arg-type]
        made.prepare("cpu")
        floors[conditional] = made.names()["reverse_kl_400"]["floor"]
    assert data.labels is not None
    share = (data.labels["train"] == 1).double().mean().item()
    apart = share * math.log(2 * share) + (1 - share) * math.log(2 * (1 - share))
    assert apart > 0.05
    assert floors[True] - floors[False] == pytest.approx(apart, abs=1e-4)


def test_balanced_asking_needs_a_generator_that_follows_labels() -> None:
    with pytest.raises(UserError, match=r"metrics\.balanced=true .* takes no class"):
        Panel(squares(), balanced=True)


@pytest.mark.usefixtures("short_training")
def test_copies_in_the_data_are_reported_with_the_birthday_test(
    capsys: pytest.CaptureFixture[str],
) -> None:
    data = squares()
    data.images["train"][190:200] = data.images["train"][10]
    made = Panel(data, n_fake=120, scores=["support"], min_test_accuracy=0)
    made.prepare("cpu")
    for word in ("support", "twins"):
        assert made.names()[f"{word}_squaresnet_120_train"]["real_copies"] == 10
    assert "10 of the 200 train images of data=squares are exact copies" in capsys.readouterr().err


def test_one_mode_is_counted_in_a_list_too() -> None:
    mixture = Mixture(torch.zeros(1, 2, dtype=torch.float64), 0.01, torch.ones(1).double())
    panel = Panel(Tensors("point", torch.zeros(100, 2), mixture=mixture), n_fake=50)
    panel.prepare("cpu")
    scores = panel.score(lambda n, _: torch.zeros(n, 2))
    assert scores["mode_counts_50"].value == [50]
    assert scores["modes_50"].value == 1


def test_weights_of_a_mixture_are_what_its_modes_are_compared_with() -> None:
    """Modes of 9/16 and seven of 1/16: true samples have a reverse KL of about (K - 1) / 2n. Asked
    for every mode alike, they are compared with equal modes."""
    data = Ring(weights=[9, *[1] * 7])
    points = torch.cat([part for part, _ in data.arrays("train")])
    labels = torch.cat([part for _, part in data.arrays("train")])
    for balanced in (False, True):
        panel = Panel(data, n_fake=2400, scores=["modes"], conditional=True, balanced=balanced)
        panel.prepare("cpu")

        def true(n: int, rng: torch.Generator, balanced: bool = balanced) -> Batch:
            wanted = Conditions(data).draw(n, rng, balanced).labels
            assert wanted is not None
            firsts = torch.stack([(labels == k).nonzero()[0, 0] for k in range(8)])
            return Batch(points[firsts[wanted]], wanted)

        found = panel.score(true)
        kl, counts = found["reverse_kl_2400"], found["mode_counts_2400"]
        assert isinstance(kl.value, float) and kl.value < 4 * 7 / 4800
        shares = counts.protocol.get("mode_shares")
        assert shares == (None if balanced else [0.5625, *[0.0625] * 7])
