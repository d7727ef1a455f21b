"""Terms that join any two-player game, against hand-worked values and slow references."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gansweep.callbacks.checkpoint import read_checkpoint
from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.layers.minibatch_discrimination import MinibatchDiscrimination
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN
from gansweep.run.build import build_data, build_model, refuse_wider_move
from gansweep.run.train import train
from gansweep.terms.augment import ADA, Augmentation
from gansweep.terms.feature_matching import FeatureMatching
from gansweep.terms.joined import Joined
from gansweep.terms.losses import Hinge, LeastSquares, Loss, NonSaturating
from gansweep.terms.penalties import Consistency, LeCam
from gansweep.terms.schedules import geometric
from gansweep.terms.term import Judged, Step, Term

IMAGE = (1, 8, 8)
DIFF = (
    "model.augment={_target_: gansweep.terms.augment.DiffAugment, "
    "policy: [color, translation, cutout]}"
)
ADAPTIVE = "model.augment={_target_: gansweep.terms.augment.ADA, kimg: 0.1, every_batches: 2}"
LECAM = "+model.penalties.lecam={_target_: gansweep.terms.penalties.LeCam, weight: 0.3}"
CONSISTENT = "+model.penalties.cr={_target_: gansweep.terms.penalties.Consistency, weight: 10}"
TOP_K = (
    "model.top_k={_target_: gansweep.terms.schedules.geometric, _partial_: true, factor: 0.5, "
    "every_kimg: 1, floor: 0.25}"
)
HEAD = (
    "+model.discriminator.head={_target_: gansweep.layers.minibatch_discrimination."
    "MinibatchDiscrimination, _partial_: true, n_kernels: 3, kernel_dim: 2}"
)
TERMS = {
    "diffaugment": [DIFF],
    "ada": [ADAPTIVE],
    "lecam": [LECAM],
    "consistency": [CONSISTENT],
    "top_k": [TOP_K],
    "feature_matching": ["model.feature_matching=1"],
    "minibatch_discrimination": [HEAD],
    "packing": ["model.packing=2"],
    "all": [ADAPTIVE, LECAM, TOP_K, HEAD, "model.feature_matching=1", "model.packing=2"],
}


def build(*overrides: str, shape: tuple[int, ...] = IMAGE, seed: int = 0) -> GAN:
    torch.manual_seed(seed)
    small = ["model.generator.width=4", "model.discriminator.width=4"]
    apart = [] if "model=r3gan" in overrides else ["model.discriminator.norm=none"]
    cfg = config.compose(["model=dcgan", *small, *apart, *overrides])
    node = config.model_node(cfg, len(shape) == 1)
    model: GAN = config.instantiate(node, extra_packages=["test_joined"], sample_shape=shape)
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def batch(seed: int = 0, n: int = 8, shape: tuple[int, ...] = IMAGE) -> Batch:
    rng = torch.Generator().manual_seed(seed)
    return Batch(torch.rand(n, *shape, generator=rng) * 2 - 1)


# All of them


@pytest.mark.parametrize("term", TERMS)
def test_a_term_trains_and_its_run_continues_exactly(term: str) -> None:
    model = build(*TERMS[term])
    for k in range(3):
        model.training_step(batch(k), k)
    stored = io.BytesIO()
    torch.save(model.game_state(), stored)
    stored.seek(0)
    state = torch.load(stored, weights_only=True)
    other = build(*TERMS[term], seed=9)
    other.load_networks(state)
    other.load_optimizers(state)
    for k in range(3, 6):
        for twin in (model, other):
            twin.training_step(batch(k), k)
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(torch.tensor(list(model.recent_means().values())).isfinite())


@pytest.mark.parametrize("term", ["diffaugment", "lecam", "consistency", "packing"])
def test_a_mean_over_samples_may_be_made_in_slices(term: str) -> None:
    whole, sliced = (build(*TERMS[term], f"model.accumulate={k}").double() for k in (1, 2))
    for model in (whole, sliced):
        model.generator.eval()
        for k in range(2):
            model.training_step(batch(k).each(Tensor.double), k)
    for a, b in zip(
        whole.discriminator.parameters(), sliced.discriminator.parameters(), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)
    for name, module in whole.memory.items():
        for a, b in zip(module.buffers(), sliced.memory[name].buffers(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("term", ["top_k", "feature_matching", "minibatch_discrimination"])
def test_what_compares_the_samples_of_a_batch_takes_no_slices(term: str) -> None:
    cfg = config.compose(["model=dcgan", "data=digits", *TERMS[term], "model.accumulate=2"])
    with pytest.raises(UserError, match="accumulate=2.*accumulate=1"):
        build_model(cfg, build_data(cfg))


def test_what_sums_over_a_batch_takes_no_wider_one_in_the_generators_move(tmp_path: Path) -> None:
    """Closeness grows with the batch: D would meet fakes unlike those that it learns from."""
    words = ["model=dcgan", "data=digits", "model.shared_noise=false", "model.generator_batch=2"]
    plain = build_model(cfg := config.compose(words), build_data(cfg))
    assert "head" not in plain.takes
    cfg = config.compose([*words, *TERMS["minibatch_discrimination"]])
    begun = build_model(cfg, build_data(cfg))  # what an earlier version has trained still opens
    with pytest.raises(UserError, match=r"generator_batch=2.*generator_batch=1"):
        refuse_wider_move(begun)
    with pytest.raises(UserError, match=r"generator_batch=2.*generator_batch=1"):
        train(cfg, run_dir=tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "history.jsonl").exists()


@pytest.mark.slow
def test_two_processes_learn_from_the_scores_of_both(tmp_path: Path) -> None:
    words = ["model=dcgan", "model.generator.norm=none", "model.discriminator.norm=none"]
    words += ["model.generator.width=4", "model.discriminator.width=4", "batch_size=16"]
    words += [ADAPTIVE, LECAM, "model.feature_matching=1", "budget_kimg=0.16", "metrics=none"]
    words += ["tracker=none", "trainer=cpu", "trainer.precision=64-true"]
    words += ["~callbacks.quality", "~callbacks.samples"]
    ends = []
    for devices in (1, 2):
        cfg = config.compose([*words, f"trainer.devices={devices}"])
        train(cfg, run_dir=tmp_path / str(devices), progress=False)
        ends.append(read_checkpoint(tmp_path / str(devices) / "checkpoints" / "last.pt")["game"])
    assert ends[0]["memory"]["lecam"]["steps"] == 10
    for kind in ("players", "memory"):
        for name, state in ends[0][kind].items():
            for key, value in state.items():
                torch.testing.assert_close(value, ends[1][kind][name][key], rtol=1e-9, atol=1e-12)


# Augmentation in the game


def test_both_players_see_changed_samples_each_by_its_own_draw() -> None:
    model = build(DIFF)
    augment = model.terms["augment"]
    assert model.draws is not None and isinstance(augment, Augmentation)
    given = batch()
    drawn = model.draw(model.draws, given, model.clock)
    fakes = model.make(given, drawn, model.clock)

    def own(kind: str) -> dict[str, Tensor]:
        return {k: drawn[f"augment.{kind}.{k}"] for k in ("color", "translation", "cutout")}

    real, fake = (
        model.discriminator(augment(x, own(kind)))
        for x, kind in ((given.images, "real"), (fakes, "fake"))
    )
    found = model.player_loss("discriminator", given, drawn, fakes, model.clock)
    torch.testing.assert_close(found.loss, model.loss.discriminator(real, fake))
    seen = model.discriminator(augment(fakes, own("generator")))
    found = model.player_loss("generator", given, drawn, fakes, model.clock)
    torch.testing.assert_close(found.loss, model.loss.generator(None, seen))
    assert not torch.equal(drawn["augment.fake.cutout"], drawn["augment.generator.cutout"])


def test_samples_and_scores_to_look_at_are_not_changed() -> None:
    plain, augmented = build(), build(DIFF)
    given = batch()
    for a, b in (
        [m.fakes(given, torch.Generator().manual_seed(0)) for m in (plain, augmented)],
        [m.scores(given, torch.Generator().manual_seed(0)).real for m in (plain, augmented)],
    ):
        assert torch.equal(a, b)


def test_ada_follows_the_signs_of_the_real_scores_on_the_image_clock() -> None:
    """Steps of 8 images, p moved after every second one by 16 / 100."""
    model = build(ADAPTIVE)
    ada = model.terms["augment"]
    assert isinstance(ada, ADA)
    p, signs = 0.0, []
    for k in range(12):
        model.training_step(batch(k), k)
        assert model.last_scores is not None
        signs.append(model.last_scores.real.sign().mean().item())
        if k % 2:
            direction = 1 if sum(signs) / 2 > 0.6 else -1
            p, signs = max(0.0, p + direction * 0.16), []
        assert ada.p.item() == pytest.approx(p, abs=1e-6)
    with torch.no_grad():
        model.discriminator.output.bias += 100  # every real sample is taken for real
    for k in range(4):
        model.training_step(batch(k), k)
    assert ada.p.item() == pytest.approx(p + 0.32, abs=1e-6)
    assert "augment/p" in model.recent_means()


# Penalties


@pytest.mark.parametrize("loss", [NonSaturating(), Hinge(), LeastSquares(fake_target=-1)])
def test_scores_between_the_targets_speak_for_neither(loss: Loss) -> None:
    """D's loss pushes a real and a fake sample of one score apart alike where the score is that."""
    assert loss.boundary is not None
    score = torch.full((1,), loss.boundary, requires_grad=True)
    (real,) = torch.autograd.grad(loss.discriminator(score, score.detach()), score)
    (fake,) = torch.autograd.grad(loss.discriminator(score.detach(), score), score)
    assert float(real) == pytest.approx(-float(fake)) and float(fake) > 0


def after(real: float, fake: float) -> Judged:
    return Judged(torch.tensor(real), torch.tensor(fake), torch.tensor(0.0), 8)


def test_lecam_by_hand() -> None:
    lecam = LeCam(weight=1.0, decay=0.75)
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.0, -2.0])
    assert lecam.of_scores(real, fake).item() == 0  # before any average
    lecam.load_state_dict(lecam.learned(after(2.0, -1.0)))
    # (1 + 1)^2, (3 + 1)^2 and (0 - 2)^2, (-2 - 2)^2
    assert lecam.of_scores(real, fake).item() == pytest.approx((4 + 16) / 2 + (4 + 16) / 2)
    lecam.load_state_dict(lecam.learned(after(4.0, 3.0)))
    assert lecam.anchors.tolist() == pytest.approx([2.5, 0.0])
    assert lecam.of_scores(real, fake).item() == pytest.approx((1 + 9) / 2 + (6.25 + 20.25) / 2)


def test_lecam_counts_scores_on_the_wrong_side_only_where_it_is_not_one_sided() -> None:
    real, fake = torch.tensor([2.0, -3.0]), torch.tensor([0.0, 5.0])
    for one_sided, expected in ((True, 9 / 2 + 4 / 2), (False, (9 + 4) / 2 + (4 + 9) / 2)):
        lecam = LeCam(weight=1.0, one_sided=one_sided)
        lecam.load_state_dict(lecam.learned(after(2.0, -1.0)))
        # 2 + 1, -3 + 1 of the real scores; 2 - 0, 2 - 5 of the others
        assert lecam.of_scores(real, fake).item() == pytest.approx(expected)


def test_lecam_averages_the_scores_of_the_discriminators_steps() -> None:
    model = build(LECAM)
    lecam = model.terms["lecam"]
    assert isinstance(lecam, LeCam)
    slow: Tensor | None = None
    for k in range(3):
        model.training_step(batch(k), k)
        assert model.last_scores is not None
        means = torch.stack([model.last_scores.real.mean(), model.last_scores.fake.mean()])
        slow = means if slow is None else 0.99 * slow + 0.01 * means
        torch.testing.assert_close(lecam.anchors, slow)


@pytest.mark.parametrize("of", ["real", "fake"])
def test_consistency_by_hand(of: str) -> None:
    """A critic that reads one pixel: its square differs as the pixel does."""
    penalty = Consistency(weight=1.0, of=of)  # type: ignore[arg-type]
    real, fake = batch(1).images, batch(2).images
    draw = {"shift": torch.rand(8, 2), "flip": torch.rand(8)}
    found = penalty(lambda x: x[:, 0, 3, 2], real, fake, draw)
    samples = real if of == "real" else fake
    slow = 0.0
    for k in range(8):
        down, right = (int(u * 3) - 1 for u in draw["shift"][k].tolist())  # an eighth: 1 pixel
        column = 5 if draw["flip"][k] < 0.5 else 2
        image = samples[k, 0]
        slow += (image[3, 2] - image[3 - down, column - right]).item() ** 2 / 8
    assert found.item() == pytest.approx(slow, rel=1e-5)


def test_consistency_without_flip_never_mirrors() -> None:
    penalty = Consistency(weight=1.0, flip=False)
    given = batch().images
    draw = {"shift": torch.full((8, 2), 0.5), "flip": torch.zeros(8)}
    assert penalty(lambda x: x[:, 0, 0, 0], given, given, draw).item() == 0


# The generator's terms


@pytest.mark.parametrize(
    ("kimg", "share"), [(0, 1.0), (9.9, 1.0), (10, 0.9), (25, 0.81), (60, 0.531441), (70, 0.5)]
)
def test_share_of_the_fakes_falls_on_the_image_clock(kimg: float, share: float) -> None:
    found = geometric(kimg, 100, factor=0.9, every_kimg=10, floor=0.5)
    assert found == pytest.approx(share)


def test_generator_learns_from_its_best_fakes_alone() -> None:
    model = build(TOP_K)
    assert model.draws is not None
    given = batch()
    drawn = model.draw(model.draws, given, model.clock)
    for seen, kept in ((0, 8), (1000, 4), (2000, 2), (9000, 2)):
        model.images_seen = seen
        fakes = model.make(given, drawn, model.clock)
        fakes.retain_grad()
        found = model.player_loss("generator", given, drawn, fakes, model.clock).loss
        scores = sorted(model.discriminator(fakes).tolist(), reverse=True)[:kept]
        slow = sum(nn.functional.softplus(torch.tensor(-s)).item() for s in scores) / kept
        assert found.item() == pytest.approx(slow, rel=1e-5)
        found.backward()
        assert fakes.grad is not None
        assert int((fakes.grad.flatten(1).abs().sum(1) > 0).sum()) == kept


def test_feature_matching_is_the_squared_distance_of_the_mean_features() -> None:
    model = build("model.feature_matching=3", "model.adversarial=0.5")
    plain = build()
    assert model.draws is not None
    given = batch()
    drawn = model.draw(model.draws, given, model.clock)
    fakes = model.make(given, drawn, model.clock)
    means = [model.discriminator.features(x).mean(0) for x in (given.images, fakes)]  # type: ignore[operator]
    distance = sum(((a - b) ** 2).item() for a, b in zip(*means, strict=True))
    terms = model.player_loss("generator", given, drawn, fakes, model.clock)
    game = plain.player_loss("generator", given, drawn, fakes, plain.clock).loss.item()
    assert terms.parts["feature_matching"].item() == pytest.approx(distance, rel=1e-4)
    assert terms.loss.item() == pytest.approx(0.5 * game + 3 * distance, rel=1e-4)


# Minibatch discrimination


def test_closeness_is_the_sum_over_the_batch() -> None:
    torch.manual_seed(0)
    head = MinibatchDiscrimination(5, n_kernels=3, kernel_dim=2).double()
    features = torch.randn(4, 5, dtype=torch.float64)
    found = head.closeness(features)
    for i in range(4):
        for b in range(3):
            slow = 0.0
            for j in range(4):
                rows = [features[k] @ head.kernels[:, b] for k in (i, j)]
                slow += torch.exp(-(rows[0] - rows[1]).abs().sum()).item()
            assert found[i, b].item() == pytest.approx(slow)
    assert head(features).shape == (4,)


def test_like_samples_are_closest_and_a_lone_one_is_close_to_itself() -> None:
    head = MinibatchDiscrimination(5, n_kernels=3, kernel_dim=2)
    alike = torch.randn(1, 5).expand(6, 5)
    torch.testing.assert_close(head.closeness(alike), torch.full((6, 3), 6.0))
    torch.testing.assert_close(head.closeness(alike[:1]), torch.ones(1, 3))


def test_real_and_generated_samples_are_compared_among_themselves() -> None:
    model = build(HEAD)
    real, fake = batch(1).images, batch(2).images
    scores = model._score_both(real, fake, None, model.clock)
    for found, samples in zip(scores, (real, fake), strict=True):
        assert torch.equal(found, model.discriminator(samples))


# A term of the user's own


class OfBoth(Term):
    """Adds the mean score of the fakes to either loss."""

    weight = 3.0

    def discriminator(self, step: Step) -> Tensor:
        return step.fake_scores.mean()

    def generator(self, step: Step) -> Tensor:
        return step.fake_scores.mean()


def test_a_term_joins_both_losses_with_its_weight_and_has_a_curve() -> None:
    plain, model = build(), build("+model.terms.mine._target_=test_joined.OfBoth")
    given = batch()
    assert model.draws is not None
    drawn = model.draw(model.draws, given, model.clock)
    fakes = model.make(given, drawn, model.clock)
    mean = model.discriminator(fakes).mean()
    for player in model.players:
        found = model.player_loss(player, given, drawn, fakes, model.clock)
        alone = plain.player_loss(player, given, drawn, fakes, plain.clock).loss
        torch.testing.assert_close(found.loss, alone + 3 * mean)
        torch.testing.assert_close(found.parts["term/mine"], mean.detach())


# What does not fit


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["model=r3gan", TOP_K], "compares each with real samples.*top_k=null"),
        (["model=ragan", ADAPTIVE], "no boundary.*term=diffaugment"),
        (["model.feature_matching=-1"], "not a number from 0"),
        (["model.adversarial=0"], "nothing to learn from.*feature_matching=1"),
        (["model.penalty_interval=0"], "penalty_interval=0"),
        (
            ["model.augment={_target_: gansweep.terms.augment.DiffAugment, policy: [cutot]}"],
            "cutout",
        ),
        ([LECAM.replace("weight", "decay: 1, weight")], "decay=1"),
        ([CONSISTENT.replace("weight", "of: all, weight")], "one of real, fake"),
        ([HEAD.replace("n_kernels: 3", "n_kernels: 0")], "n_kernels=0"),
        ([LECAM, LECAM.replace("model.penalties", "model.terms")], "share a name: lecam, lecam"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_fix(words: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(*words)


def test_a_term_of_features_refuses_a_discriminator_that_has_none() -> None:
    terms = Joined({}, {}, {"feature_matching": FeatureMatching(1.0)}, penalty_interval=1)
    with pytest.raises(UserError, match="feature_matching needs .* `features`: Linear has none"):
        terms.refuse_without_features(nn.Linear(1, 1))


@pytest.mark.parametrize("words", [[DIFF], [ADAPTIVE], [CONSISTENT]])
def test_points_are_not_augmented(words: list[str]) -> None:
    with pytest.raises(UserError, match="the data are points.*data=digits"):
        build(*words, shape=(2,))
