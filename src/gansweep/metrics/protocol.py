"""What a score's number was measured with, the name that says so, and which numbers compare.

Needs no torch, so that reports and sweeps read it at no cost.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gansweep.errors import UserError, nearest

Direction = Literal["minimize", "maximize"]
Protocol = dict[str, Any]

# the better end of each score that has one
DIRECTIONS: dict[str, Direction] = {
    **dict.fromkeys(("fid", "fid_infinity", "intra_fid", "kid", "reverse_kl"), "minimize"),
    **dict.fromkeys(("confident_reverse_kl", "in_no_mode"), "minimize"),
    **dict.fromkeys(("ndb", "ndb_js", "fifty_fifty"), "minimize"),
    **dict.fromkeys(("is", "mode_score", "modes", "high_quality", "support"), "maximize"),
    **dict.fromkeys(("confident_modes",), "maximize"),
    **dict.fromkeys(("precision", "recall", "density", "coverage"), "maximize"),
    **dict.fromkeys(("class_error", "l1", "cycle_l1"), "minimize"),
    **dict.fromkeys(("class_agreement", "label_agreement", "psnr", "psnr_gain"), "maximize"),
    **dict.fromkeys(("iou", "retrieval", "auroc_reconstruction", "auroc_latent"), "maximize"),
}
# what a run is judged by, where it measures several: the first of these
DEFAULT_OBJECTIVES = ("fid", "kid", "is", "reverse_kl")
# the words of metrics.scores: what costs little enough to be measured again and again in training,
# where it is null, and what must be asked for
QUICK = (
    *("fid", "is", "kid", "precision", "recall", "density", "coverage", "modes"),
    "class_agreement",
)
ON_REQUEST = (
    *("fid_error", "fid_infinity", "intra_fid", "mode_score", "ndb", "support"),
    *("memorisation", "fifty_fifty"),
)
# of classes: what counts the samples alone that the classifier is sure of
CONFIDENT_WORDS = ("confident_modes", "confident_reverse_kl")
MODE_WORDS = (
    *("modes", "high_quality", "reverse_kl"),
    *(*CONFIDENT_WORDS, "in_no_mode", "mode_counts"),
)
# the word that chooses a score of another name
CHOSEN_BY = {
    **{word: "modes" for word in MODE_WORDS if word != "modes"},
    "ndb_js": "ndb",
}
# what a model says of held-out samples, which says nothing of the samples that it makes
HELD_OUT = (
    *("class_error", "l1", "cycle_l1", "psnr", "psnr_gain", "label_agreement", "iou", "retrieval"),
    *("auroc_reconstruction", "auroc_latent"),
)
PLAIN_BACKBONE = "inception"  # torch-fidelity's Inception-v3 with its published weights
# what may differ between two numbers that are compared, or only comments on one
REPEATABLE = ("noise_seed", "floor", "feature_width")


@dataclass(frozen=True, slots=True)
class Score:
    """One measured number, or one list of numbers, never without its protocol.

    std: spread of the value over its splits or subsets (divided by n, not n - 1) or its draws,
        where it has any.   interval: bounds at 95 % confidence of what `interval_holds` says.
    """

    value: float | list[float]
    protocol: Protocol
    std: float | None = None
    interval: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        return score_name(self.protocol)

    def numbers(self) -> dict[str, Any]:
        """The value with its spread, as a record keeps them beside the protocol."""
        spread = {"std": self.std, "interval": self.interval and list(self.interval)}
        return {"value": self.value, **{k: v for k, v in spread.items() if v is not None}}


def interval_holds(protocol: Mapping[str, Any]) -> str:
    """What the 95 % interval of a score holds, in words; "" for the score's true value."""
    if protocol.get("score") == "fid":
        return f"the mean FID of {protocol['n_fake']:,} samples"
    return "the FID of endless samples" if protocol.get("score") == "fid_infinity" else ""


def count_word(n: int) -> str:
    """500 -> "500", 2000 -> "2k", 2500 -> "2500", 50000 -> "50k"."""
    return f"{n // 1000}k" if n and n % 1000 == 0 else str(n)


def score_name(protocol: Mapping[str, Any]) -> str:
    """The name of a protocol's column: fid_10k_train, fid_digitsnet_2k_train, modes_2500.

    Scores in feature space name their backbone, but for the plain Inception one.
    """
    score, n = protocol["score"], count_word(protocol["n_fake"])
    if score in MODE_WORDS:
        return f"{score}_{n}"
    backbone = protocol["backbone"]
    space = [] if backbone in (None, PLAIN_BACKBONE) else [backbone]
    reference = f"{protocol['splits']}splits" if score == "is" else protocol["split"]
    return "_".join([score, *space, n, *filter(None, [reference])])


def protocol_key(protocol: Mapping[str, Any]) -> str:
    """Equal for two protocols exactly when their numbers compare; serves to group them."""
    kept = {key: value for key, value in protocol.items() if key not in REPEATABLE}
    # a missing key and a null one mean the same: not part of the measurement
    return json.dumps({k: v for k, v in kept.items() if v is not None}, sort_keys=True)


def comparable(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two numbers were measured alike in everything but the noise."""
    return protocol_key(a) == protocol_key(b)


def scores_called(scores: Mapping[str, Mapping[str, Any]], word: str) -> list[str]:
    """The full names that a word such as "fid" stands for.   scores: name -> protocol."""
    return [name for name, protocol in scores.items() if protocol.get("score") == word]


def find_score(scores: Mapping[str, Mapping[str, Any]], wanted: str) -> str:
    """The full name of the score a person asks for as "fid" or as "fid_digitsnet_1k_train".

    scores: name -> protocol.
    Raises: UserError where none matches, or where a short word means more than one.
    """
    if wanted in scores:
        return wanted
    named = scores_called(scores, wanted)
    if len(named) == 1:
        return named[0]
    if named:
        raise UserError(
            f"'{wanted}' stands for {len(named)} scores of different protocols: "
            f"{', '.join(named)}. Give the full name of one."
        )
    words = list(dict.fromkeys([p["score"] for p in scores.values()] + list(scores)))
    known = f"Measured are: {', '.join(words)}." if words else "This run measures no score."
    raise UserError(
        f"There is no score '{wanted}'.{nearest(wanted, words)} {known} "
        "Choose one of them, or measure more with metrics= (metrics.scores=)."
    )
