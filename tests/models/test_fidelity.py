"""Every file of conf/model/, and every published run, against numbers of its paper or its code.

tests/models/fidelity/NAME.yaml has the numbers and says where they are from: the layers of each
player, whose parameters are counted by hand (scripts/guide/parameters.py), the settings of the
optimizers, the schedule of the rates, the batch of each move, the spread of the first weights, the
losses of fixed scores, the weights of their terms. Nothing is trained: full-size networks are built
without memory, first weights are drawn for narrow ones. test_fidelity_of_moves.py has the losses as
a whole, the other schedules, first biases and gains.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from published import GUIDE, NUMBERS, built, composed, full_size, narrow
from torch import nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.models import cyclegan
from gansweep.models.cyclegan import CycleGAN
from gansweep.models.draws import Draws
from gansweep.models.pix2pix import Pix2Pix

TERMS = {  # of conf/term/: what the paper or its code has for each option under model.
    "ada": {"augment.target": 0.6, "augment.kimg": 500},  # Karras et al. 2020, Section 3
    "consistency": {  # Zhao et al. 2021, Section 3: both lambdas are 10
        "penalties.consistency_real.weight": 10,
        "penalties.consistency_fake.weight": 10,
    },
    "diffaugment": {"augment.policy": ["color", "translation", "cutout"]},
    "feature_matching": {"feature_matching": 1},
    "lecam": {"penalties.lecam.weight": 0.3},  # google/lecam-gan, lc-biggan-cifar10.sh
    "minibatch_discrimination": {  # openai/improved-gan, train_cifar_minibatch_discrimination.py
        "discriminator.head.n_kernels": 100,
        "discriminator.head.kernel_dim": 5,
    },
    "packing": {"packing": 2},
    "pulling_away": {"terms.pulling_away.weight": 0.1},  # Zhao et al. 2016, Section 4
    "r1": {"penalties.r1.weight": 10},  # Mescheder et al. 2018, Section 6
    "top_k": {"top_k.factor": 0.99, "top_k.floor": 0.5, "top_k.every_kimg": 50},
}
REAL, FAKE = [2.0, -1.0], [0.5, -3.0]  # the scores of `loss`
MADE, WANTED = [0.5, -1.0], [1.0, -0.75]  # the pixels of `error`


def test_every_model_and_every_published_run_has_numbers() -> None:
    models = {path.stem for path in (config.conf_dir() / "model").glob("*.yaml")}
    runs = {path.stem for path in (config.conf_dir() / "experiment").glob("paper_*.yaml")}
    assert models | runs == NUMBERS.keys()


@pytest.mark.parametrize("name", NUMBERS)
def test_parameters_are_those_of_the_listed_layers(name: str) -> None:
    model, players = full_size(name), NUMBERS[name]["players"]
    assert model.players.keys() == players.keys()
    for player, layers in players.items():
        learnt = (p for p in model.players[player].parameters() if p.requires_grad)
        assert sum(p.numel() for p in learnt) == GUIDE.expected(layers)[1], player


@pytest.mark.parametrize("name", [n for n, stated in NUMBERS.items() if "published" in stated])
def test_the_listed_layers_have_as_many_parameters_as_the_paper_says(name: str) -> None:
    """To the digits that it gives; `held: false` where it counts otherwise, as the file says."""
    published = NUMBERS[name]["published"]
    if not published.get("held", True):
        return
    digits, _, unit = str(published["parameters"]).partition(" ")
    players = NUMBERS[name]["players"]
    found = sum(GUIDE.count(players[p]["layers"]) for p in published["of"])
    found /= published.get("times", 1) * (1e6 if unit == "million" else 1)
    within = published.get("within", 0.5 * 10.0 ** -len(digits.partition(".")[2]))
    assert abs(found - float(digits.replace(",", ""))) <= within


@pytest.mark.parametrize("name", NUMBERS)
def test_optimizers_have_the_published_settings(name: str) -> None:
    model = full_size(name)
    for player, wanted in NUMBERS[name]["optimizer"].items():
        made = model.optimizer_makers[player]([nn.Parameter(torch.zeros(1))])
        found = {"class": type(made).__name__, **made.defaults}
        given = {key: list(v) if isinstance(v, tuple) else v for key, v in found.items()}
        assert {key: given[key] for key in wanted} == wanted, player
        unstated = {"weight_decay", "momentum"} - wanted.keys()
        assert not any(found.get(key) for key in unstated), player


@pytest.mark.parametrize("name", NUMBERS)
def test_rates_follow_the_published_schedule(name: str) -> None:
    """At shares of the budget, or after thousands of images; constant where nothing is stated."""
    stated, schedule = NUMBERS[name], full_size(name).lr_schedule
    budget = stated.get("budget_kimg", 100)
    if "schedule" not in stated and "kimg" not in stated:
        assert schedule is None
        return
    assert schedule is not None
    for share, factor in stated.get("schedule", {}).items():
        assert schedule(share * budget, budget) == pytest.approx(factor, abs=1e-9), share
    for kimg, factor in stated.get("kimg", {}).items():
        assert schedule(kimg, budget) == pytest.approx(factor, rel=1e-5), kimg


@pytest.mark.parametrize("name", NUMBERS)
def test_every_move_has_the_published_batch(name: str) -> None:
    model, cfg = full_size(name), composed(*NUMBERS[name]["words"])
    moves = dict(NUMBERS[name]["moves"])
    assert model.n_critic == moves.pop("n_critic")
    assert getattr(model, "n_generator", 1) == moves.pop("n_generator", 1)
    first = next(iter(model.players))
    for player, size in moves.items():
        times = 1 if player == first else getattr(model, "generator_batch", 1)
        assert cfg.batch_size * times == size, player
    if "budget_kimg" in NUMBERS[name]:
        assert cfg.budget_kimg == NUMBERS[name]["budget_kimg"]


@pytest.mark.parametrize("name", NUMBERS)
def test_options_have_the_published_values(name: str) -> None:
    cfg = composed(*NUMBERS[name]["words"])
    node = config.model_node(cfg, is_points=len(NUMBERS[name]["shape"]) == 1)
    for key, value in NUMBERS[name]["options"].items():
        assert OmegaConf.select(node, key) == value, key


@pytest.mark.parametrize("name", [n for n, stated in NUMBERS.items() if "data" in stated])
def test_data_are_prepared_as_published(name: str) -> None:
    cfg = composed(*NUMBERS[name]["words"])
    for key, value in NUMBERS[name]["data"].items():
        assert OmegaConf.select(cfg.data, key) == value, key


@pytest.mark.parametrize("name", [n for n, stated in NUMBERS.items() if "loss" in stated])
def test_losses_of_fixed_scores_are_the_hand_worked_ones(name: str) -> None:
    stated, model = NUMBERS[name]["loss"], full_size(name)
    loss: Any = model.loss
    if hasattr(loss, "control"):  # k is a tensor of the model's, which has no memory here
        loss.control.k = torch.zeros(())
    real, fake = torch.tensor(REAL), torch.tensor(FAKE)
    for player, value in stated.items():
        assert getattr(loss, player)(real, fake).item() == pytest.approx(value, abs=1e-6), player


class Stub(nn.Module):
    """A network that is one function of its input, of which dropout drops nothing."""

    n_dropped = 1

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        return self.function(images)


def losses_of_images(model: Any) -> dict[str, float]:
    """The losses of networks that are known functions, on images of one grey each."""
    side = model.sample_shape[1]
    source, target = (torch.full((2, 1, side, side), grey) for grey in (0.4, -0.8))
    batch = Batch(target, source=source)
    if isinstance(model, CycleGAN):
        model.generator = cyclegan.BothWays(Stub(lambda x: x / 2), Stub(lambda x: -x))
        model.discriminator = cyclegan.BothJudges(Stub(lambda x: x), Stub(lambda x: x))
    elif isinstance(model, Pix2Pix):
        model.generator = Stub(lambda x: x / 2)
        model.discriminator = Stub(lambda x: x.mean(1, keepdim=True))
    else:
        model.discriminator = Stub(lambda x: x.flatten(1).mean(1))
        middle = torch.full((2, 1, side // 2, side // 2), 0.4)
        return {"generator": model.generator_loss(middle, middle / 2).loss.item()}
    drawn = model.draw(Draws(0, torch.device("cpu")), batch, model.clock)
    fakes = model.make(batch, drawn, model.clock)
    return {
        player: model.player_loss(player, batch, drawn, fakes, model.clock).loss.item()
        for player in model.players
    }


@pytest.mark.parametrize("name", [n for n, stated in NUMBERS.items() if "images" in stated])
def test_losses_of_fixed_images_are_the_hand_worked_ones(name: str) -> None:
    stated = NUMBERS[name]
    words = [*stated["words"], *stated["init"]["words"]]
    model = built(stated, words, [1, *stated["shape"][1:]], "cpu")
    assert losses_of_images(model) == pytest.approx(stated["images"], abs=1e-5)


@pytest.mark.parametrize("name", [n for n, stated in NUMBERS.items() if "error" in stated])
def test_errors_of_fixed_pixels_are_the_hand_worked_ones(name: str) -> None:
    model: Any = full_size(name)
    error = model.error(torch.tensor([MADE]), torch.tensor([WANTED])).item()
    assert error == pytest.approx(NUMBERS[name]["error"], abs=1e-5)


def spread(rule: str, weight: torch.Tensor) -> float:
    """The standard deviation that a rule gives to a weight."""
    kind, _, number = rule.partition(" ")
    rows, columns = len(weight), weight[0].numel()
    fan_in, fan_out = columns, rows * math.prod(weight.shape[2:])
    match kind:
        case "normal":
            return float(number)
        case "uniform":
            return float(number) / math.sqrt(3)
        case "glorot":
            return float(number) * math.sqrt(2 / (fan_in + fan_out))
        case "orthogonal":
            return float(number) / math.sqrt(max(rows, columns))
        case "pytorch":
            return 1 / math.sqrt(3 * fan_in)
    raise ValueError(rule)


# the two parameters of the Dirac-GAN start at numbers that its experiment names
@pytest.mark.parametrize("name", sorted(NUMBERS.keys() - {"paper_dirac_gan"}))
def test_first_weights_have_the_published_spread(name: str) -> None:
    """Within five standard errors of a sample of that size."""
    init, model = NUMBERS[name]["init"], narrow(name)
    seen = 0
    for player, network in model.players.items():
        for key, weight in network.named_parameters():
            if weight.ndim < 2 or weight.numel() < 64 or key.endswith("scale"):
                continue
            rule = next(r for pattern, r in init[player].items() if re.search(pattern, key))
            seen += 1
            if rule.startswith("constant"):
                assert (weight == float(rule.split()[1])).all(), (player, key, rule)
                continue
            wanted = spread(rule, weight)
            off = weight.detach().double().std(correction=0).item() / wanted - 1
            assert abs(off) < 5 / math.sqrt(2 * weight.numel()) + 0.02, (player, key, rule, off)
    assert seen


def test_every_term_has_numbers() -> None:
    assert {path.stem for path in (config.conf_dir() / "term").glob("*.yaml")} == TERMS.keys()


@pytest.mark.parametrize("name", TERMS)
def test_a_term_has_the_published_values(name: str) -> None:
    cfg = composed("model=dcgan", "data=cifar10", f"term=[{name}]")
    found = {key: OmegaConf.select(cfg.model, key) for key in TERMS[name]}
    assert found == TERMS[name]


def test_top_k_reaches_its_floor_after_69_epochs_of_cifar10() -> None:
    cfg = composed("model=dcgan", "data=cifar10", "term=[top_k]")
    share = config.instantiate(cfg.model.top_k)
    assert share(68 * 50, 10_000) > 0.5 == share(69 * 50, 10_000)


def test_the_guides_table_is_the_one_of_these_numbers() -> None:
    page = GUIDE.PAGE.read_text(encoding="utf-8")
    assert GUIDE.with_table(page) == page, "run python scripts/guide/parameters.py"


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        ("", 0),
        ("linear 3 4, linear- 3 4", 16 + 12),
        ("2 x conv 3 64 7, conv- 1 2 3", 2 * (3 * 64 * 49 + 64) + 18),
        ("norm 8, norms 10 8, codes 5 8", 16 + 160 + 80),
        ("embedding 10 4, gain 3, bias 2", 45),
    ],
)
def test_parameters_of_layers_by_hand(layers: str, expected: int) -> None:
    assert GUIDE.count(layers) == expected


def test_a_layer_that_is_not_known_is_refused() -> None:
    for wrong in ("conv 3 64", "attention 8", "linear three 4"):
        with pytest.raises(ValueError, match="not a layer"):
            GUIDE.count(wrong)
