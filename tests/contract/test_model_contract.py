"""The contract of models/adversarial.py, held by every variant in conf/model/."""

import functools
import io
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from variants import VARIANTS, class_of

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.search.check_search import may_change

IMAGE, POINTS = (1, 8, 8), (2,)
N_CLASSES = 10
KINDS = {"logit", "critic", "energy", "paired_logit"}


@functools.cache
def composed(variant: str, is_points: bool, overrides: tuple[str, ...]) -> DictConfig:
    cfg = config.compose([f"model={variant}", *overrides])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    return config.model_node(cfg, is_points)


def build(
    variant: str,
    shape: tuple[int, ...],
    *overrides: str,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Adversarial:
    torch.manual_seed(seed)
    node = composed(variant, len(shape) == 1, overrides)
    source_shape = shape if class_of(variant).needs_source else None
    model: Adversarial = config.instantiate(
        node, sample_shape=shape, n_classes=N_CLASSES, source_shape=source_shape
    ).to(dtype)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch_of(shape: tuple[int, ...], n: int = 8, seed: int = 2) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    images, source = (torch.rand(n, *shape, generator=rng) * 2 - 1 for _ in "is")
    return Batch(images, torch.arange(n) % N_CLASSES, source)


def smallest(variant: str) -> tuple[int, ...]:
    return POINTS if class_of(variant).takes_points else IMAGE


def weights(network: torch.nn.Module) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each variant alone, or with each kind of data that it takes."""
    if "shape" in metafunc.fixturenames:
        pairs = [(v, IMAGE) for v in VARIANTS]
        pairs += [(v, POINTS) for v in VARIANTS if class_of(v).takes_points]
        names = [f"{v}-{'image' if len(shape) == 3 else 'points'}" for v, shape in pairs]
        metafunc.parametrize(("variant", "shape"), pairs, ids=names)
    elif "variant" in metafunc.fixturenames:
        metafunc.parametrize("variant", VARIANTS)


def test_first_line_cites_the_paper(variant: str) -> None:
    first = Path(config.conf_dir() / "model" / f"{variant}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ") and "arXiv:" in first


def test_steps_move_every_player_and_keep_losses_finite(
    variant: str, shape: tuple[int, ...]
) -> None:
    model = build(variant, shape)
    before = {name: weights(net) for name, net in model.players.items()}
    for k in range(2 * model.n_critic):
        model.training_step(batch_of(shape, seed=k), k)
    means = model.recent_means()
    assert {f"loss/{name}" for name in model.players} <= set(means)
    assert all(torch.tensor(list(means.values())).isfinite())
    assert model.images_seen == 2 * model.n_critic * 8
    for name, net in model.players.items():
        moved = [not torch.equal(a, b) for a, b in zip(before[name], net.parameters(), strict=True)]
        assert any(moved), name


def test_only_the_moving_player_changes(variant: str, shape: tuple[int, ...]) -> None:
    model = build(variant, shape)
    assert model.draws is not None
    batch = batch_of(shape)
    drawn = model.draw(model.draws, batch, model.clock)
    for player in model.players:
        before = {name: weights(net) for name, net in model.players.items()}
        terms = model.player_loss(
            player, batch, drawn, model.make(batch, drawn, model.clock), model.clock
        )
        model._optimizers[player].zero_grad()
        terms.loss.backward(inputs=model._parameters_of[player])
        model._move(player, [terms])
        for name, net in model.players.items():
            same = all(
                torch.equal(a, b) for a, b in zip(before[name], net.parameters(), strict=True)
            )
            assert same == (name != player), (player, name)


def test_first_player_moves_alone_between_the_turns_of_the_others(variant: str) -> None:
    model = build(variant, smallest(variant), "model.n_critic=3")
    turns = []
    for model.steps in range(6):
        turns.append(model.turn())
    alone, everyone = tuple(model.players)[:1], tuple(model.players)
    assert turns == [alone, alone, everyone, alone, alone, everyone]


def with_all_its_terms() -> list[tuple[str, tuple[int, ...], str]]:
    cases = [(v, IMAGE, "") for v in VARIANTS]
    cases += [(v, POINTS, "") for v in VARIANTS if class_of(v).takes_points]
    terms = sorted(path.stem for path in (config.conf_dir() / "term").glob("*.yaml"))
    return cases + [("dcgan", IMAGE, f"term=[{term}]") for term in terms]


@pytest.mark.parametrize(
    ("game", "data", "term"),
    with_all_its_terms(),
    ids=lambda x: x if isinstance(x, str) else str(len(x)),
)
def test_loss_in_training_gives_the_same_twice_and_changes_nothing(
    game: str, data: tuple[int, ...], term: str
) -> None:
    """But the buffers of the networks themselves: batch statistics, power iteration."""
    model = build(game, data, *filter(None, [term]))
    for k in range(3):
        model.training_step(batch_of(data, seed=k), k)
    assert model.draws is not None
    batch = batch_of(data)
    own = [buffer for net in model.players.values() for buffer in net.buffers()]
    for clock in (replace(model.clock, step=0), replace(model.clock, lazy=False)):
        drawn = model.draw(model.draws, batch, clock)
        fakes = model.make(batch, drawn, clock)
        for player in model.players:
            before, buffers = described(model, ignored=own), [buffer.clone() for buffer in own]
            losses, everyones = [], torch.get_rng_state()
            for _ in range(2):
                losses.append(model.player_loss(player, batch, drawn, fakes, clock).loss)
                with torch.no_grad():
                    for buffer, kept in zip(own, buffers, strict=True):
                        buffer.copy_(kept)
            assert torch.equal(losses[0], losses[1]), player
            assert described(model, ignored=own) == before, player
            assert torch.equal(torch.get_rng_state(), everyones), "it drew from all's generator"


def described(
    thing: Any, ignored: Sequence[torch.Tensor] = (), seen: dict[int, str] | None = None
) -> Any:
    """All that an object holds, as plain values; tensors and generators by their content.

    ignored: tensors that may change.   seen: objects met on the way here, by their identity.
    """
    seen = {id(tensor): "ignored" for tensor in ignored} if seen is None else seen
    if id(thing) in seen:
        return seen[id(thing)]
    if isinstance(thing, torch.Tensor):
        content = thing.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return content, thing.shape, thing.requires_grad, described(thing.grad, (), seen)
    if isinstance(thing, torch.Generator):
        return thing.get_state().tolist()
    if thing is None or isinstance(thing, (bool, int, float, str, bytes, type)):
        return thing
    seen[id(thing)] = f"met before: {type(thing).__name__} {len(seen)}"
    if isinstance(thing, Mapping):
        named = (k if isinstance(k, str) else type(k).__name__ for k in thing)
        return list(zip(named, (described(v, (), seen) for v in thing.values()), strict=True))
    if isinstance(thing, (list, tuple, set, deque)):
        return [described(value, (), seen) for value in thing]
    if hasattr(thing, "__dict__"):
        return type(thing).__name__, described(vars(thing), (), seen)
    return type(thing).__name__


def test_description_of_a_model_shows_what_a_loss_might_write() -> None:
    """Else the test above could not fail."""
    model = build("cyclegan", IMAGE)
    kept = described(model)
    changes: list[Callable[[], object]] = [
        lambda: model.memory["pool_a"].images.add_(1),
        lambda: setattr(model, "anything", torch.zeros(1)),
        lambda: model._recent["loss"].append(torch.zeros(())),
        lambda: model.draws is not None and model.draws.uniform(1),
    ]
    for change in changes:
        change()
        assert (now := described(model)) != kept
        kept = now


def test_what_may_change_while_it_trains_takes_other_values_from_a_checkpoint(variant: str) -> None:
    """Every number of the variant's own file that its `changeable:` block allows, at once."""
    shape = smallest(variant)
    cfg = config.compose([f"model={variant}"]).model
    declared = OmegaConf.to_container(cfg.changeable)
    assert isinstance(declared, dict)
    named = {key for key, allowed in declared.items() if allowed}
    assert named <= cfg.keys(), "it names options that the model does not have"
    changed = []
    for key, value in numbers(OmegaConf.to_container(cfg, resolve=True), "model"):
        if may_change(key, declared) and not in_a_reference(key, cfg):
            changed.append(f"{key}={value + 1 if isinstance(value, int) else 0.9 * value}")
    assert len(changed) >= 3
    model, other = build(variant, shape), build(variant, shape, *changed, seed=9)
    for k in range(2):
        model.training_step(batch_of(shape, seed=k), k)
    other.load_networks(model.game_state())
    other.load_optimizers(model.game_state())
    other.training_step(batch_of(shape), 2)
    assert all(torch.tensor(list(other.recent_means().values())).isfinite())


def in_a_reference(key: str, cfg: DictConfig) -> bool:
    """Whether a whole part that holds the option stands for another one, as "${..r1.weight}"."""
    node = cfg
    for name in key.split(".")[1:-1]:
        if OmegaConf.is_dict(node) and OmegaConf.is_interpolation(node, name):
            return True
        node = node[name]
    return False


def numbers(node: Any, key: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, dict):
        for name, child in node.items():
            if name not in ("tiny", "search", "changeable", "points"):
                yield from numbers(child, f"{key}.{name}")
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        yield key, node


def test_what_a_game_declares_is_plain_values(variant: str) -> None:
    declared = build(variant, smallest(variant)).declared()
    assert json.loads(json.dumps(declared)) == declared


def test_fakes_and_scores_keep_their_shapes(variant: str, shape: tuple[int, ...]) -> None:
    model = build(variant, shape)
    batch = batch_of(shape, n=5)
    fakes = model.fakes(batch, torch.Generator().manual_seed(0))
    assert fakes.shape == batch.images.shape and not fakes.requires_grad
    if len(shape) == 3:
        assert fakes.abs().max() <= 1
    scores = model.scores(batch, torch.Generator().manual_seed(0))
    if scores is not None:
        assert scores.real.shape == scores.fake.shape == (5,)
        assert scores.kind in KINDS


def test_samples_as_they_are_stored_suit_weights_of_64_bits(
    variant: str, shape: tuple[int, ...]
) -> None:
    model, single = (build(variant, shape, dtype=dtype) for dtype in (torch.float64, torch.float32))
    given = batch_of(shape)  # in float32, as a data set gives them
    assert model.fakes(given, torch.Generator().manual_seed(0)).dtype == torch.float64
    answers, near = model.answers(given), single.answers(given)
    assert answers.keys() == near.keys()
    for name, answer in answers.items():
        torch.testing.assert_close(answer.float(), near[name], rtol=1e-3, atol=1e-4)


def test_fakes_depend_on_the_given_generator_alone(variant: str) -> None:
    model = build(variant, (1, 8, 8))
    batch = batch_of((1, 8, 8))
    a, b, c = (model.fakes(batch, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(a, b)
    # a translator may make one image of one source
    assert class_of(variant).needs_source or not torch.equal(a, c)


def test_checkpoint_round_trip_continues_identically(variant: str, shape: tuple[int, ...]) -> None:
    model = build(variant, shape, "model.ema_kimg=1")
    for k in range(3):
        model.training_step(batch_of(shape, seed=k), k)
    buffer = io.BytesIO()
    torch.save(model.game_state(), buffer)
    buffer.seek(0)
    state = torch.load(buffer, weights_only=True)
    other = build(variant, shape, "model.ema_kimg=1", seed=99)
    other.load_networks(state)
    other.configure_optimizers()
    other.load_optimizers(state)
    for k in range(3, 6):
        for twin in (model, other):
            twin.training_step(batch_of(shape, seed=k), k)
    rng = torch.Generator
    assert torch.equal(
        model.fakes(batch_of(shape), rng().manual_seed(0)),
        other.fakes(batch_of(shape), rng().manual_seed(0)),
    )
    for name, net in model.players.items():
        for a, b in zip(net.parameters(), other.players[name].parameters(), strict=True):
            assert torch.equal(a, b), name


def test_accumulated_slices_give_the_whole_batchs_step(variant: str) -> None:
    shape = smallest(variant)
    whole, sliced = (
        build(variant, shape, f"model.accumulate={k}", dtype=torch.float64) for k in (1, 2)
    )
    if "dragan" in getattr(whole, "terms", {}):
        pytest.skip("DRAGAN's noise is scaled by the spread of its own slice")
    if any(hasattr(m, "parametrizations") for m in whole.modules()):
        pytest.skip("spectral normalisation iterates once for each slice")
    if any(isinstance(m, torch.nn.modules.batchnorm._BatchNorm) for m in whole.modules()):
        pytest.skip("batch normalisation takes the statistics of its own slice")
    if not whole.sliceable:
        pytest.skip("its loss is no mean over samples: training refuses accumulate > 1")
    batch = batch_of(shape).each(lambda t: t.double() if t.is_floating_point() else t)
    for model in (whole, sliced):
        for k in range(model.n_critic):
            model.training_step(batch, k)
    for a, b in zip(whole.parameters(), sliced.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_a_player_meets_the_moved_weights_under_autocast(variant: str) -> None:
    """The copies of weights that autocast keeps must not outlive the step that moved them."""
    first = next(iter(build(variant, smallest(variant)).players))
    model = build(variant, smallest(variant), f"model.optimizer.{first}.lr=0.1")
    batch = batch_of(smallest(variant))
    assert model.draws is not None
    drawn = model.draw(model.draws, batch, model.clock)

    def loss() -> torch.Tensor:
        return model.player_loss(
            first, batch, drawn, model.make(batch, drawn, model.clock), model.clock
        ).loss

    with torch.autocast("cpu", torch.bfloat16):
        for k in range(model.n_critic):
            model.training_step(batch, k)
        model.eval()  # spectral normalisation iterates while training
        now = loss()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        fresh = loss()
    assert torch.equal(now, fresh)


def test_losses_and_scores_leave_the_16_bits_of_autocast(variant: str) -> None:
    """Means and differences of scores would be rounded to 8 bits: a critic's loss to nothing."""
    model = build(variant, smallest(variant))
    batch = batch_of(smallest(variant))
    assert model.draws is not None
    drawn = model.draw(model.draws, batch, model.clock)
    for player in model.players:
        with torch.autocast("cpu", torch.bfloat16):
            fakes = model.make(batch, drawn, model.clock)
            terms = model.player_loss(player, batch, drawn, fakes, model.clock)
        parts = {name: part.dtype for name, part in terms.parts.items()}
        assert {terms.loss.dtype, *parts.values()} == {torch.float32}, (player, parts)
        if terms.scores is not None:
            assert terms.scores.real.dtype == terms.scores.fake.dtype == torch.float32
