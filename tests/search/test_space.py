"""The grammar of a search space, its conditional blocks, its errors."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import FixedTrial

from gansweep.errors import UserError
from gansweep.search.domains import override_text
from gansweep.search.entries import narrowed, with_command_line
from gansweep.search.space import Space, difference

FAMILY = {
    "model": "choice(gan, wgan, wgan_gp)",
    "lr": "tag(log, interval(1e-5, 1e-3))",
    "model=wgan,wgan_gp": {
        "n_critic": "choice(1, 5)",
        "model=wgan_gp": {"weight": "choice(1.0, 10.0)"},
    },
}


def suggested(entries: dict[str, object], values: dict[str, object]) -> dict[str, object]:
    return Space.parse(entries).suggest(FixedTrial(values))


def distribution(text: str) -> optuna.distributions.BaseDistribution:
    study = optuna.create_study()
    trial = study.ask()
    Space.parse({"x": text}).suggest(trial)
    return trial.distributions["x"]


def test_interval_is_a_float_interval_with_both_ends() -> None:
    assert distribution("interval(1, 8)") == optuna.distributions.FloatDistribution(1.0, 8.0)


def test_int_of_an_interval_is_an_integer_interval() -> None:
    assert distribution("int(interval(1, 8))") == optuna.distributions.IntDistribution(1, 8)


@pytest.mark.parametrize("text", ["tag(log, int(interval(1, 8)))", "int(tag(log, interval(1, 8)))"])
def test_log_tag_reaches_integers(text: str) -> None:
    assert distribution(text) == optuna.distributions.IntDistribution(1, 8, log=True)


def test_log_interval() -> None:
    expected = optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True)
    assert distribution("tag(log, interval(1e-5, 1e-2))") == expected


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("range(1, 5)", [1, 2, 3, 4]),
        ("range(0.1, 0.4, step=0.1)", [0.1, 0.2, 0.3]),
        ("range(4, 0, -2)", [4, 2]),
        ("choice(1, 2.5, 'a b', false)", [1, 2.5, "a b", False]),
        ("a,b", ["a", "b"]),
        ("choice(null, 1)", [None, 1]),
        ("choice('null', 1)", ["null", 1]),
        ("choice([0, 0.9], [0.5, 0.999])", [[0, 0.9], [0.5, 0.999]]),
    ],
)
def test_grid_of_one_entry_is_its_values(text: str, values: list[object]) -> None:
    space = Space.parse({"x": text})
    assert [space.suggest(FixedTrial(point))["x"] for point in space.grid()] == values


@pytest.mark.parametrize("value", [3, 0.5, True, None, [0, 0.9], "adam"])
def test_plain_value_is_fixed_and_not_suggested(value: object) -> None:
    assert suggested({"x": value, "y": "choice(1, 2)"}, {"y": 1}) == {"x": value, "y": 1}


def test_conditional_parameters_exist_only_where_their_choice_was_made() -> None:
    common = {"lr": 1e-4}
    assert suggested(FAMILY, {"model": "gan", **common}) == {"model": "gan", **common}
    wgan = {"model": "wgan", "n_critic": 5, **common}
    assert suggested(FAMILY, wgan) == wgan
    wgan_gp = {"model": "wgan_gp", "n_critic": 1, "weight": 10.0, **common}
    assert suggested(FAMILY, wgan_gp) == wgan_gp


def test_innermost_block_that_holds_decides_a_key() -> None:
    entries = {"model": "choice(a, b)", "x": "choice(1, 2)", "model=b": {"x": 7}}
    assert suggested(entries, {"model": "b"}) == {"model": "b", "x": 7}
    assert suggested(entries, {"model": "a", "x": 2}) == {"model": "a", "x": 2}


def test_one_key_may_have_other_choices_in_other_blocks() -> None:
    entries = {
        "model": "choice(a, b)",
        "model=a": {"x": "choice(1, 2)"},
        "model=b": {"x": "choice(3, 4)"},
    }
    space = Space.parse(entries)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):  # Optuna refuses one name with two sets of choices
        params = space.suggest(study.ask())
        assert params["x"] in ((1, 2) if params["model"] == "a" else (3, 4))


def test_grid_counts_each_branch_by_its_own_parameters() -> None:
    entries = {
        "model": "choice(gan, wgan_gp)",
        "lr": "choice(1, 2)",
        "model=wgan_gp": {"weight": "range(0, 3)", "width": 8},
    }
    space = Space.parse(entries)
    points = [space.suggest(FixedTrial(point)) for point in space.grid()]
    gan = [{"model": "gan", "lr": lr} for lr in (1, 2)]
    wgan_gp = [
        {"model": "wgan_gp", "lr": lr, "weight": weight, "width": 8}
        for lr in (1, 2)
        for weight in (0, 1, 2)
    ]
    assert sorted(map(str, points)) == sorted(map(str, gan + wgan_gp))


def test_grid_of_an_interval_is_refused_with_the_entry() -> None:
    with pytest.raises(UserError, match=r"'lr: interval\(0.0,1.0\)'.*infinitely many"):
        Space.parse({"lr": "interval(0, 1)"}).grid()


def test_overrides_put_groups_first_and_quote_what_needs_it() -> None:
    space = Space.parse({"a.b": "choice([0, 0.9], null)", "+c.d": "choice('1', 'x y')", "m": "n,o"})
    params = {"a.b": [0, 0.9], "c.d": "1", "m": "n"}
    assert space.overrides(params) == ["m=n", "a.b=[0,0.9]", "+c.d='1'"]
    assert space.overrides({"a.b": None}) == ["a.b=null"]


@pytest.mark.parametrize(
    "value", ["it's", "1", "true", "a b", "", "-x", 1e-05, False, None, [1, "b"]]
)
def test_override_text_is_read_back_as_the_same_value(value: object) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(f"x={override_text(value)}")
    assert parsed.value() == value
    assert type(parsed.value()) is type(value)


@pytest.mark.parametrize(
    "entries",
    [
        {"data": "choice(digits, mnist)"},
        {"data.image_size": "choice(8, 16)"},
        {"metrics": "classifier,inception"},
        {"++metrics.n_fake": "choice(200, 1000)"},
        {"model": "gan,wgan", "model=wgan": {"metrics.n_fake": 200}},
    ],
)
def test_scores_of_two_protocols_are_never_ranked_together(entries: dict[str, object]) -> None:
    key = "metrics.n_fake" if "model" in entries else next(iter(entries)).lstrip("+")
    with pytest.raises(UserError, match=f"entry '{key}: .*protocols.*, with {key}=VALUE on the"):
        Space.parse(entries)


def test_one_protocol_for_all_trials_may_stand_in_the_space() -> None:
    entries = {"data": "digits", "lr": "choice(1, 2)", "metrics.noise_seed": "choice(1, 2)"}
    assert Space.parse(entries).keys() == list(entries)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({}, "empty"),
        ({"x": "choice(1, 2"}, r"'x: choice\(1, 2' cannot be read"),
        ({"x": "interval(2, 1)"}, "not below"),
        ({"x": "tag(log, interval(0, 1))"}, "Start above 0"),
        ({"x": "tag(log, range(1, 5))"}, "evenly spaced"),
        ({"x": "tag(log, choice(1, 5))"}, r"no scale.*tag\(log, interval\(a, b\)\)"),
        ({"x": "tag(lg, interval(1, 2))"}, r"unknown tag 'lg'.*tag\(log, interval\(a, b\)\)"),
        ({"x": "tag(log, LOG, interval(1, 2))"}, "unknown tag 'LOG'"),
        ({"x": "int(tag(lg, interval(1, 8)))"}, "unknown tag 'lg'"),
        ({"x": "tag(lg, range(1, 5))"}, "unknown tag 'lg'"),
        ({"x": "tag(lg, choice(1, 5))"}, "unknown tag 'lg'"),
        ({"x": "range(5, 1)"}, "leaves its stop out"),
        ({"x": "choice(1, 1)"}, "twice"),
        ({"x": "glob(*)"}, "Name the values"),
        ({"~x": 1}, "deletes a key"),
        ({"model": {"lr": 1}}, "with dots"),
        ({"model": "choice(gan, wgan)", "modle=gan": {"x": 1}}, "Did you mean 'model'"),
        ({"model": "choice(gan, wgan)", "model=wgna": {"x": 1}}, "Did you mean 'wgan'"),
        ({"model": "a,b", "model=a": {"model": "c"}}, "inside a block that depends on it"),
        ({"m": "a,b", "m=range(1,2)": {"x": 1}}, "one or more values"),
    ],
)
def test_mistake_is_named_with_its_fix(entries: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Space.parse(entries)


def test_unknown_key_is_found_in_whatever_branch_it_hides() -> None:
    def check(overrides: list[str]) -> None:
        for word in overrides:
            if word.startswith("wieght="):
                raise UserError("There is no option 'wieght'. Did you mean 'weight'?")

    Space.parse(FAMILY).check(check)
    broken = {**FAMILY, "model=wgan": {"wieght": "choice(1, 2)"}}
    with pytest.raises(UserError, match="'wieght: .*block 'model=wgan'.*Did you mean 'weight'"):
        Space.parse(broken).check(check)


@pytest.mark.parametrize("typed", [{"a.lrr": "choice(1, 2)"}, {"a.l": "choice(1, 2)"}])
def test_error_is_about_the_unknown_key_and_not_the_key_it_resembles(typed: dict[str, str]) -> None:
    (typo,) = typed

    def check(overrides: list[str]) -> None:
        raise UserError(f"There is no option '{typo}'. Did you mean 'a.lr'?")

    with pytest.raises(UserError, match=f"entry '{typo}: choice"):
        Space.parse({"a.lr": "choice(1, 2)", **typed}).check(check)


def test_of_two_keys_that_do_not_fit_the_one_of_the_command_line_is_named() -> None:
    def check(overrides: list[str]) -> None:
        raise UserError("batch_size=32 is not divisible by group_size=3: use 33.")

    entries = {"batch_size": "choice(32, 64)", "group_size": "choice(3, 5)", "x": "choice(1, 2)"}
    with pytest.raises(UserError, match="entry 'group_size: choice"):
        Space.parse(entries).check(check)


def test_error_of_one_value_is_about_the_entry_that_was_varied() -> None:
    def check(overrides: list[str]) -> None:
        if "norm=group" in overrides:
            raise UserError("norm=group does not go with width=3: use 4.")

    with pytest.raises(UserError, match="entry 'norm: choice"):
        Space.parse({"norm": "choice(batch, group)", "width": 3}).check(check)


def test_check_tries_every_name_of_a_choice() -> None:
    tried = set()
    Space.parse(FAMILY).check(lambda overrides: tried.update(overrides))
    assert {"model=gan", "model=wgan", "model=wgan_gp", "n_critic=1", "weight=1.0"} <= tried


def test_canonical_form_ignores_spelling_and_shows_what_differs() -> None:
    spelled = Space.parse({"x": "choice(1,2)", "y": "interval(0, 1)"}).canonical()
    again = Space.parse({"x": "choice( 1, 2 )", "y": "interval(0.0,1.0)"}).canonical()
    other = Space.parse({"x": "choice(1,3)", "z": 4}).canonical()
    assert spelled == again
    assert difference(spelled, other) == (
        "x: choice(1,2) there, choice(1,3) here; y: interval(0.0,1.0) there, absent here; "
        "z: absent there, 4 here"
    )


def test_command_line_fixes_what_the_space_searches_or_hangs_on() -> None:
    merged = with_command_line(FAMILY, {"model": "wgan_gp", "seed": "3"})
    assert "seed" not in merged
    params = Space.parse(merged).suggest(FixedTrial({"lr": 1e-4, "n_critic": 5, "weight": 1.0}))
    assert params["model"] == "wgan_gp"
    assert params["weight"] == 1.0


def test_fewer_choices_on_the_command_line_leave_out_the_blocks_of_the_others() -> None:
    two = narrowed(FAMILY, {"model": "choice(gan, wgan)"})
    assert two["model=wgan"] == {"n_critic": "choice(1, 5)"} and two["lr"] == FAMILY["lr"]
    keys = Space.parse(two).keys()
    assert "n_critic" in keys and "weight" not in keys
    assert set(narrowed(FAMILY, {"model": "choice(gan, other)"})) == {"model", "lr"}
    mistaken = {**FAMILY, "model=wgann": {"n_critic": "choice(1, 5)"}}
    with pytest.raises(UserError, match="'model=wgann' can never hold"):
        Space.parse(narrowed(mistaken, {"model": "choice(gan, wgan)"}))
