"""Who takes over from whom in a population, and with which settings: worked out by hand."""

from __future__ import annotations

import random
from typing import Any

import pytest
from omegaconf import OmegaConf

from gansweep.config import compose as config
from gansweep.search.check_search import may_change
from gansweep.search.domains import Choice, Domain, Interval, Steps
from gansweep.search.population import drawn, exploited, explored, perturbed
from gansweep.search.space import Space


def sign(value: float) -> float:
    return value


class First(random.Random):
    """Draws the first of everything, and never afresh."""

    def choice(self, seq: Any) -> Any:
        return seq[0]

    def random(self) -> float:
        return 1.0


class Last(First):
    def choice(self, seq: Any) -> Any:
        return seq[-1]


EIGHT = dict(zip("abcdefgh", (5.0, 2.0, 8.0, 1.0, 7.0, 3.0, 6.0, 4.0), strict=True))


def test_worst_quarter_takes_over_from_the_best_quarter() -> None:
    """By worth: d b f h a g e c; a quarter of eight are two."""
    assert [exploited(m, EIGHT, 0.25, sign, First()) for m in "abcdefgh"] == [
        *(None, None, "d", None),
        *("d", None, None, None),
    ]
    assert exploited("c", EIGHT, 0.25, sign, Last()) == "b"


def test_worst_are_the_smallest_where_the_score_is_maximised() -> None:
    taken = [exploited(m, EIGHT, 0.25, lambda v: -v, First()) for m in "abcdefgh"]
    assert taken == [None, "c", None, "c", None, None, None, None]


def test_failed_member_takes_over_and_counts_among_the_worst() -> None:
    scores = {**EIGHT, "a": None}  # d b f h g e c, and a; of the two worst one has failed
    assert [exploited(m, scores, 0.25, sign, Last()) for m in "abcdefgh"] == [
        *("b", None, "b", None),
        *(None, None, None, None),
    ]


def test_few_are_not_compared_but_a_failed_one_takes_over_from_the_best() -> None:
    few: dict[str, float | None] = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert [exploited(m, few, 0.25, sign, First()) for m in "abc"] == [None, None, None]
    assert exploited("a", {**few, "a": None}, 0.25, sign, Last()) == "c"


def test_nobody_takes_over_from_one_that_is_no_better() -> None:
    same: dict[str, float | None] = dict.fromkeys("abcd", 1.0)
    assert [exploited(m, same, 0.25, sign, First()) for m in "abcd"] == [None] * 4


RATES = Interval(1e-4, 1e-2, log=True, integer=False)


COUNTS = Interval(1, 8, log=False, integer=True)


@pytest.mark.parametrize(
    ("domain", "stored", "factor", "expected"),
    [
        (RATES, 1e-3, 1.25, 1.25e-3),
        (RATES, 9e-3, 1.25, 1e-2),
        (RATES, 1.1e-4, 0.8, 1e-4),
        (COUNTS, 5, 1.25, 6),  # 6.25
        (COUNTS, 1, 1.25, 2),  # 1.25 would stay
        (COUNTS, 2, 0.8, 1),
        (COUNTS, 8, 1.25, 8),
        (Choice((10, 1, 3)), 3, 1.25, 10),
        (Choice((10, 1, 3)), 1, 0.8, 1),
        (Choice(("a", "b")), "a", 1.25, "a"),
        (Choice((None, 1)), None, 1.25, None),
        (Steps((0.3, 0.2, 0.1)), 1, 1.25, 0),  # stored by position: from 0.2 to 0.3
    ],
)
def test_numbers_are_multiplied_within_their_domain(
    domain: Domain, stored: Any, factor: float, expected: Any
) -> None:
    moved = perturbed(domain, stored, factor)
    assert moved == pytest.approx(expected) if isinstance(expected, float) else moved == expected
    assert type(moved) is type(expected)


def test_settings_are_drawn_afresh_from_their_domain() -> None:
    rng = random.Random(0)
    rates = [drawn(RATES, rng) for _ in range(400)]
    assert all(isinstance(r, float) and 1e-4 <= r <= 1e-2 for r in rates)
    assert 140 < sum(r < 1e-3 for r in rates if isinstance(r, float)) < 260, "on the log scale"
    assert {drawn(COUNTS, rng) for _ in range(200)} == set(range(1, 9))
    assert {drawn(Choice(("a", None)), rng) for _ in range(50)} == {"a", None}


def test_same_draw_explores_the_same() -> None:
    space = Space.parse({"x": "interval(0.0, 1.0)", "y": "choice(1, 2, 3)", "z": 4})
    params = {"x": 0.5, "y": 2}

    def look() -> Any:
        return explored(space, params, [0.8, 1.25], 0.25, random.Random("0 t0003 2"))

    assert look() == look() and look().keys() == {"x", "y"}
    assert explored(space, params, [0.8, 1.25], 0.25, First()) == {"x": 0.4, "y": 1}


@pytest.mark.parametrize(
    ("key", "changeable"),
    [
        ("model.optimizer.generator.lr", True),
        ("model.optimizer.discriminator.betas", True),
        ("model.optimizer.generator.momentum", False),
        ("model.optimizer.generator._target_", False),
        ("model.penalties.gradient.weight", True),
        ("model.path_weight", True),
        ("model.ema_kimg", True),
        ("model.augment.target", True),
        ("model.augment.start", False),
        ("model.augment", False),
        ("model.loss._target_", False),
        ("model.cycle_weight", False),  # of another model
        ("model.generator.width", False),
        ("model.latent_dim", False),
        ("model.batch_size", False),
        ("model", False),
        ("data.flip", False),
        ("seed", False),
    ],
)
def test_what_may_change_in_mid_training(key: str, changeable: bool) -> None:
    block = OmegaConf.to_container(config.compose(["model=stylegan2"]).model.changeable)
    assert may_change(key, block) is changeable
    assert not may_change(key, None), "a model that declares nothing allows nothing"
