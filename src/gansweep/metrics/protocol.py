"""A score's protocol: what it was measured with, the name that states it, what can be compared.

Imports no torch, so that reports and sweeps start fast.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Direction = Literal["minimize", "maximize"]
Protocol = dict[str, Any]

# whether a lower or a higher value is better
DIRECTIONS: dict[str, Direction] = {
    **dict.fromkeys(("fid", "fid_infinity", "intra_fid", "kid", "reverse_kl"), "minimize"),
    **dict.fromkeys(("confident_reverse_kl", "in_no_mode"), "minimize"),
    **dict.fromkeys(("ndb", "ndb_js", "fifty_fifty"), "minimize"),
    **dict.fromkeys(("is", "mode_score", "modes", "high_quality", "support"), "maximize"),
    **dict.fromkeys(("confident_modes", "vendi", "parzen"), "maximize"),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), "maximize"),
    **dict.fromkeys(("class_error", "l1", "cycle_l1"), "minimize"),
    **dict.fromkeys(("class_agreement", "label_agreement", "psnr", "psnr_gain"), "maximize"),
    **dict.fromkeys(("iou", "retrieval", "auroc_reconstruction", "auroc_latent"), "maximize"),
    **dict.fromkeys(("eigenvalue_real", "contraction", "distance_to_rest"), "minimize"),
}
# the least and the most that a score can be, where these do not depend on the data
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("fid", "intra_fid", "reverse_kl", "confident_reverse_kl"), (0, math.inf)),
    **dict.fromkeys(("modes", "confident_modes", "density"), (0, math.inf)),
    **dict.fromkeys(("contraction", "distance_to_rest"), (0, math.inf)),
    "is": (1, math.inf),
    **dict.fromkeys(("high_quality", "in_no_mode", "precision", "recall", "coverage"), (0, 1)),
    **dict.fromkeys(("class_error", "class_agreement", "label_agreement", "iou"), (0, 1)),
    **dict.fromkeys(("retrieval", "auroc_reconstruction", "auroc_latent"), (0, 1)),
}
# of the game itself, by the callback game_at_rest: they measure no samples
GAME = ("eigenvalue_real", "eigenvalue_imaginary", "contraction", "distance_to_rest")
# the objective of a run that measures several scores is the first of these
DEFAULT_OBJECTIVES = ("fid", "kid", "is", "reverse_kl")
# the words of metrics.scores: QUICK ones are cheap enough to be measured often in training and are
# the default; the others must be requested
QUICK = (
    *("fid", "is", "kid", "precision", "recall", "density", "coverage", "modes"),
    "class_agreement",
)
ON_REQUEST = (
    *("fid_error", "fid_infinity", "intra_fid", "mode_score", "ndb", "support"),
    *("vendi", "memorisation", "fifty_fifty", "parzen"),
)
OF_POINTS = ("modes", "fifty_fifty")  # words that can be measured on points, which have no features
# count only the samples whose class the classifier predicts with confidence
CONFIDENT_WORDS = ("confident_modes", "confident_reverse_kl")
MODE_WORDS = (
    *("modes", "high_quality", "reverse_kl"),
    *(*CONFIDENT_WORDS, "in_no_mode", "mode_counts"),
)
# score -> the word of metrics.scores that chooses it, if that is another word
CHOSEN_BY = {
    **{word: "modes" for word in MODE_WORDS if word != "modes"},
    "ndb_js": "ndb",
    "parzen_bandwidth": "parzen",
}
# scores of a model's answers for held-out samples; they do not measure generated samples
HELD_OUT = (
    *("class_error", "l1", "cycle_l1", "psnr", "psnr_gain", "label_agreement", "iou", "retrieval"),
    *("auroc_reconstruction", "auroc_latent"),
)
PLAIN_BACKBONE = "inception"  # torch-fidelity's Inception-v3 with its published weights
# keys that may differ between two numbers that are compared
REPEATABLE = ("noise_seed", "floor", "feature_width")


@dataclass(frozen=True, slots=True)
class Score:
    """One measured number, or one list of numbers, with its protocol.

    std: spread of the value over its splits or subsets (divided by n, not n - 1) or its draws, if
        there are any.   interval: 95 % confidence bounds of the quantity `interval_holds` names.
    """

    value: float | list[float]
    protocol: Protocol
    std: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return score_name(self.protocol)

    def numbers(self) -> dict[str, Any]:
        """The value with its spread, as a record stores them beside the protocol."""
        spread = {"std": self.std, "interval": self.interval and list(self.interval)}
        return {"value": self.value, **{k: v for k, v in spread.items() if v is not None}}


def interval_holds(protocol: Mapping[str, Any]) -> str:
    """What the 95 % interval of a score covers, in words; "" for the score's true value."""
    if protocol.get("score") == "fid":
        return f"the mean FID of {protocol['n_fake']:,} samples"
    return "the FID of infinitely many samples" if protocol.get("score") == "fid_infinity" else ""


def count_word(n: int) -> str:
    """500 -> "500", 2000 -> "2k", 2500 -> "2500", 50000 -> "50k"."""
    return f"{n // 1000}k" if n and n % 1000 == 0 else str(n)


def score_name(protocol: Mapping[str, Any]) -> str:
    """The name of a protocol's column: fid_10k_train, fid_digitsnet1_2k_train, modes_2500.

    A score in a feature space names its backbone, except for the published Inception.
    """
    score, n = protocol["score"], count_word(protocol["n_fake"])
    if score in MODE_WORDS:
        return f"{score}_{n}"
    backbone = protocol["backbone"]
    space = [] if backbone in (None, PLAIN_BACKBONE) else [backbone]
    reference = f"{protocol['splits']}splits" if score == "is" else protocol["split"]
    return "_".join([score, *space, n, *filter(None, [reference])])


def protocol_key(protocol: Mapping[str, Any]) -> str:
    """A key that is equal for two protocols exactly if their numbers can be compared."""
    kept = {key: value for key, value in protocol.items() if key not in REPEATABLE}
    # a missing key and a null value mean the same: not part of the measurement
    return json.dumps({k: v for k, v in kept.items() if v is not None}, sort_keys=True)


def comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two numbers were measured in the same way, except for the noise."""
    return protocol_key(a) == protocol_key(b)


def scores_called(scores: Mapping[str, Mapping[str, Any]], word: str) -> list[str]:
    """The full names of the scores of a word such as "fid".   scores: name -> protocol."""
    return [name for name, protocol in scores.items() if protocol.get("score") == word]
