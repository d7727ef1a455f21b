"""The measures that a panel knows."""

from __future__ import annotations

import math

from torch import Tensor
from torchmetrics import Metric

from gansweep.data.source import DataSource
from gansweep.metrics.cache import Content, say
from gansweep.metrics.features.backbones import WITH_CLASSES
from gansweep.metrics.measure import WITHOUT_BACKBONE, Measure, Seen, Setting
from gansweep.metrics.protocol import CONFIDENT_WORDS, MODE_WORDS, Protocol
from gansweep.metrics.reference import RealSide
from gansweep.metrics.scores.agreement import Agreement
from gansweep.metrics.scores.bins import N_BINS, BinCounts, real_bins
from gansweep.metrics.scores.birthday import LEAST_REAL, Birthday, copy_count, real_twins
from gansweep.metrics.scores.fifty_fifty import Fresh
from gansweep.metrics.scores.frechet import (
    GROUPS,
    INFINITY_SIZES,
    FrechetInfinity,
    FrechetScore,
    FrechetSpread,
    IntraFrechet,
    gaussian_of,
)
from gansweep.metrics.scores.inception_score import InceptionScore, ModeScore
from gansweep.metrics.scores.kernel import KernelDistance, KernelScore
from gansweep.metrics.scores.memorisation import Copying
from gansweep.metrics.scores.mode_counts import ModeCounts
from gansweep.metrics.scores.modes import (
    class_modes,
    class_shares,
    confident_modes,
    divergence,
    min_confidence,
    mixture_modes,
    reverse_kl_floor,
)
from gansweep.metrics.scores.prdc import KS, Neighbours, radii

IS_SPLITS = 10
KID_SUBSETS = 100


class Fid(Measure):
    choices = ("fid",)
    words = ("fid",)

    def build(self, setting: Setting) -> Metric:
        return FrechetScore(_real(setting).gaussian)


class FidError(Measure):
    """The standard error of the FID at its number of samples, which states it as its interval.

    The interval holds the mean FID of so many samples, not that of endless ones.
    """

    choices = ("fid_error",)
    words = ("fid_error",)

    def least(self, data: DataSource) -> tuple[int, int]:
        return GROUPS, 2

    def build(self, setting: Setting) -> Metric:
        return FrechetSpread(_real(setting).gaussian)


class FidInfinity(Measure):
    """The FID extrapolated to infinitely many samples, and how far the fit is off.

    With its interval where there are ten samples for each dimension.
    """

    choices = ("fid_infinity",)
    words = ("fid_infinity", "fid_infinity_residual")

    def least(self, data: DataSource) -> tuple[int, int]:
        return INFINITY_SIZES, 2

    def build(self, setting: Setting) -> Metric:
        return FrechetInfinity(_real(setting).gaussian)


class IntraFid(Measure):
    """The mean over classes of the FID within each, and its value for each class."""

    choices = ("intra_fid",)
    words = ("intra_fid", "intra_fid_per_class")
    lists = ("intra_fid_per_class",)
    needs_features = True

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        if not data.n_classes or data.n_classes < 2 or data.is_points:
            return "it compares images class by class"
        if backbone != "classifier" and not conditional:
            return "the generator is asked for no class, and only metrics=classifier tells one"
        return ""

    def least(self, data: DataSource) -> tuple[int, int]:
        n_classes = data.n_classes or 1
        return 2 * n_classes, 2 * n_classes

    def build(self, setting: Setting) -> Metric:
        real = _real(setting)
        assert real.features is not None and real.labels is not None
        parts = [real.features[real.labels == k] for k in range(setting.data.n_classes or 0)]
        return IntraFrechet([gaussian_of(part) for part in parts])

    def update(self, metric: Metric, seen: Seen) -> None:
        labels = seen.labels
        if labels is None:
            assert seen.logits is not None
            labels = seen.logits.argmax(1)
        metric.update(seen.numbers, seen.features, labels)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"labels": "requested" if setting.conditional else "predicted"}


class Inception(Measure):
    """The Inception score over ten splits; it looks at no real image."""

    choices = ("is",)
    words = ("is",)

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        if backbone is not None and backbone not in WITH_CLASSES:
            return f"it needs predicted classes, and {backbone} predicts none"
        return super().misfit(data, backbone, conditional)

    def least(self, data: DataSource) -> tuple[int, int]:
        return IS_SPLITS, 0

    def build(self, setting: Setting) -> Metric:
        return InceptionScore(IS_SPLITS)

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.logits)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"splits": IS_SPLITS, **dict.fromkeys(("n_real", "split", "data_fingerprint"))}


class ModeScores(Measure):
    """The mode score, against how often the data hold each class."""

    choices = ("mode_score",)
    words = ("mode_score",)

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return _needs_classifier(backbone)

    def build(self, setting: Setting) -> Metric:
        return ModeScore(_class_shares(setting))

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.logits)


class Kid(Measure):
    """The kernel distance over a hundred subsets, with the standard deviation over them."""

    choices = ("kid",)
    words = ("kid",)
    needs_features = True

    def build(self, setting: Setting) -> Metric:
        size = self._size(setting)
        distance = KernelDistance(_features(setting), setting.n_fake, KID_SUBSETS, size)
        return KernelScore(distance)

    def _size(self, setting: Setting) -> int:
        """As published, 1,000, but at most half of either side: whole sets would all be alike."""
        return min(1000, setting.n_fake // 2, _real(setting).count // 2)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"kernel": "cubic", "subsets": KID_SUBSETS, "subset_size": self._size(setting)}


class Fidelity(Measure):
    """Precision, recall, density and coverage, from one look at the distances."""

    choices = ("precision", "recall", "density", "coverage")
    words = choices
    needs_features = True

    def least(self, data: DataSource) -> tuple[int, int]:
        return max(KS) + 1, max(KS) + 1

    def build(self, setting: Setting) -> Metric:
        """The radii of the real samples are worked out once and kept with the real side."""
        real, n = _real(setting), _pair_count(setting)
        chosen = real.subset(n)

        def measure() -> Content:
            return {"radii": radii(chosen).cpu()}

        kept = real.kept(f"radii-{'-'.join(map(str, KS))}-{n}", measure)
        return Neighbours(chosen, kept["radii"].to(setting.device))

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return dict.fromkeys(("n_fake", "n_real"), _pair_count(setting))


class Modes(Measure):
    """Which modes the samples fill: those of an exact mixture, or the data's classes.

    Of classes it counts twice: every sample, as papers do, and those alone that the classifier is
    sure of.
    """

    choices = ("modes",)
    words = MODE_WORDS
    lists = ("mode_counts",)

    def misfit(self, data: DataSource, backbone: str | None, conditional: bool) -> str:
        return "" if data.mixture is not None else _needs_classifier(backbone)

    def gives(self, data: DataSource) -> tuple[str, ...]:
        # a classifier's doubt tells what is no digit, its confidence not how good a digit is
        others = ("high_quality",) if data.mixture is None else ("in_no_mode", *CONFIDENT_WORDS)
        return tuple(word for word in self.words if word not in others)

    def least(self, data: DataSource) -> tuple[int, int]:
        n = len(data.mixture.means) if data.mixture is not None else (data.n_classes or 1)
        return n, n

    def build(self, setting: Setting) -> Metric:
        mixture = setting.data.mixture
        if mixture is not None:
            return ModeCounts(lambda points: mixture_modes(points, mixture), mixture.weights)
        shares = _class_shares(setting)
        return ModeCounts(
            lambda logits: class_modes(logits, shares),
            shares,
            confident=lambda logits: confident_modes(logits, shares),
        )

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.samples if seen.logits is None else seen.logits)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        """What makes a sample count, and of a reverse KL the floor that a perfect generator has."""
        mixture = setting.data.mixture
        own: Protocol = {}
        if word in ("reverse_kl", "confident_reverse_kl"):
            own["floor"] = self._floor(setting)
        if mixture is not None:  # the components of a mixture have no names
            facts = {"max_sigmas": mixture.max_sigmas, "sigma": mixture.sigma, "split": None}
            return own | facts
        if word == "mode_counts":
            own["mode_names"] = setting.data.class_names
        if word in ("modes", "reverse_kl"):
            return own | {"counted": "every sample"}
        return own | {"min_confidence": min_confidence(setting.data.n_classes or 1)}

    def _floor(self, setting: Setting) -> float | None:
        """The mean reverse KL of samples that are what they were asked to be.

        Those that were asked for nothing follow the true shares. None where it is infinite.
        """
        mixture = setting.data.mixture
        shares = mixture.weights if mixture is not None else _class_shares(setting)
        asked = _asked_shares(setting)
        asked = shares if asked is None else asked
        floor = reverse_kl_floor(asked, setting.n_fake) + divergence(asked, shares)
        return round(floor, 6) if math.isfinite(floor) else None


class Bins(Measure):
    """In how many bins of real images the share of samples differs, and the distance over all."""

    choices = ("ndb",)
    words = ("ndb", "ndb_js")

    def least(self, data: DataSource) -> tuple[int, int]:
        return N_BINS, N_BINS

    def build(self, setting: Setting) -> Metric:
        bins = real_bins(setting.data, setting.split, _real(setting).count)
        return BinCounts(bins["centres"], bins["counts"])

    def update(self, metric: Metric, seen: Seen) -> None:
        metric.update(seen.numbers, seen.samples.flatten(1))

    def protocol(self, setting: Setting, word: str) -> Protocol:
        return {"bins": N_BINS} | WITHOUT_BACKBONE


class Support(Measure):
    """How many different samples there are, by the twins among them."""

    choices = ("support",)
    words = ("support", "twins")
    needs_features = True

    def least(self, data: DataSource) -> tuple[int, int]:
        return 2, LEAST_REAL

    def build(self, setting: Setting) -> Metric:
        return Birthday(self._rule(setting)["distance"])

    def _rule(self, setting: Setting) -> Content:
        data, count = setting.data, _real(setting).count

        def measure() -> Content:
            rule = real_twins(_features(setting))
            copies = copy_count(images for images, _ in data.arrays(setting.split, count))
            if copies:
                say(
                    f"{copies:,} of the {count:,} {setting.split} images of data={data.name} are "
                    "exact copies of others. The birthday test leaves them out."
                )
            known = {"distance": rule.distance, "real_support": rule.real_support}
            return known | {"real_copies": copies}

        return _real(setting).kept("twins-of-different", measure)

    def protocol(self, setting: Setting, word: str) -> Protocol:
        """real_copies: how many of the real images equal another, to the last pixel."""
        rule = self._rule(setting)
        return {word: rule[word] for word in ("real_support", "real_copies")}


MEASURES: tuple[Measure, ...] = (
    Fid(),
    FidError(),
    FidInfinity(),
    IntraFid(),
    Inception(),
    ModeScores(),
    Kid(),
    Fidelity(),
    Modes(),
    Agreement(),
    Bins(),
    Support(),
    Copying(),
    Fresh(),
)


def _real(setting: Setting) -> RealSide:
    assert setting.real is not None
    return setting.real


def _features(setting: Setting) -> Tensor:
    features = _real(setting).features
    assert features is not None
    return features


def _pair_count(setting: Setting) -> int:
    """Of either side: neighbourhoods compare only among equally many samples."""
    return min(setting.n_fake, _real(setting).count)


def _class_shares(setting: Setting) -> Tensor:
    """(K,) that the classes of the samples should have: equal ones where they are asked so."""
    counts = _real(setting).class_counts
    assert counts is not None
    return class_shares(setting.data, (counts > 0) if setting.balanced else counts)


def _asked_shares(setting: Setting) -> Tensor | None:
    """(K,) float64, sum 1, of the classes that samples are asked to be; None where of none."""
    labels = setting.data.labels_of("train") if setting.conditional else None
    if labels is None:
        return None
    counts = labels.bincount(minlength=setting.data.n_classes or 0)
    shares = (counts > 0).double() if setting.balanced else counts.double()
    return shares / shares.sum()


def _needs_classifier(backbone: str | None) -> str:
    return "" if backbone == "classifier" else "only metrics=classifier tells the data's classes"
