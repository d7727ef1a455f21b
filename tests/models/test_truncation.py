"""Truncation of samples: psi in w against a slow reference, and who refuses it."""

import pytest
import torch
from torch import Tensor, nn

from gansweep.config import compose as config
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.models.stylegan2 import MEAN_OF, StyleGAN2

SHAPE, N_CLASSES = (1, 8, 8), 3


def game_of(variant: str) -> Adversarial:
    cfg = config.compose([f"model={variant}"])
    cfg.model.merge_with(cfg.model.tiny)
    torch.manual_seed(0)
    game: Adversarial = config.instantiate(
        config.model_node(cfg, is_points=False), sample_shape=SHAPE, n_classes=N_CLASSES
    )
    return game


def styled(variant: str) -> StyleGAN2:
    """With noise that shows, so that a test sees whether it is kept."""
    game = game_of(variant)
    assert isinstance(game, StyleGAN2)
    for layer in game.generator.synthesis.layers:
        nn.init.constant_(layer.noise_strength, 0.1)
    return game


def batch() -> Batch:
    return Batch(torch.zeros(4, *SHAPE), torch.tensor([0, 2, 0, 1]))


def samples(game: Adversarial, psi: float | None = None) -> Tensor:
    if psi is not None:
        game.truncate(psi)
    return game.fakes(batch(), torch.Generator().manual_seed(0))


VARIANTS = ["stylegan2", "stylegan2_conditional"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_psi_of_one_changes_nothing(variant: str) -> None:
    game = styled(variant)
    assert torch.equal(samples(game), samples(game, 1.0))


@pytest.mark.parametrize("psi", [0.0, 0.3])
@pytest.mark.parametrize("variant", VARIANTS)
@torch.no_grad()
def test_psi_moves_w_towards_the_mean_of_many_and_keeps_the_noise(variant: str, psi: float) -> None:
    """The mean of a class where there are classes."""
    game = styled(variant)
    generator = game.generator
    made = samples(game, psi)
    many = torch.randn(MEAN_OF, generator.latent_dim, generator=torch.Generator().manual_seed(7))
    seen: list[tuple[Tensor, Tensor]] = []
    hook = generator.synthesis.register_forward_pre_hook(lambda m, given: seen.append(given))
    truncated = samples(game, psi)
    plain = samples(game, 1.0)
    hook.remove()
    assert torch.equal(made, truncated) and not torch.equal(plain, truncated)
    (w, noise), (plain_w, plain_noise) = seen
    assert torch.equal(noise, plain_noise)
    for sample, label in enumerate(batch().labels.tolist()):  # type: ignore[union-attr]
        given = torch.full((MEAN_OF,), label) if game.conditional else None
        mean = generator.mapping(many, given).mean(0)
        expected = mean + psi * (plain_w[sample] - mean)
        spread = generator.mapping(many, given).std(0) / MEAN_OF**0.5
        assert ((w[sample] - expected).abs() < 10 * spread).all()


def test_psi_of_zero_makes_one_image_of_a_class() -> None:
    for variant, alike in (("stylegan2", [0, 1, 2, 3]), ("stylegan2_conditional", [0, 2])):
        game = styled(variant)
        for layer in game.generator.synthesis.layers:
            nn.init.zeros_(layer.noise_strength)
        made = samples(game, 0.0)
        for sample in alike:
            torch.testing.assert_close(made[sample], made[alike[0]])
        others = set(range(4)) - set(alike)
        assert not any(torch.allclose(made[k], made[0]) for k in others)


def test_truncation_leaves_the_weights_and_training_alone() -> None:
    game = styled("stylegan2")
    before = {name: value.clone() for name, value in game.state_dict().items()}
    samples(game, 0.5)
    after = game.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert game.truncated == "psi=0.5 in w"


@pytest.mark.parametrize("psi", [-0.1, 1.5])
def test_psi_beyond_its_range_is_refused(psi: float) -> None:
    with pytest.raises(UserError, match=r"psi, the share.*Use truncation=0.7"):
        game_of("stylegan2").truncate(psi)


def test_biggan_is_truncated_in_z() -> None:
    game = game_of("biggan")
    game.truncate(0.1)
    assert game.truncated == "|z| <= 0.1"
    with pytest.raises(UserError, match="largest entry of z"):
        game.truncate(0)


@pytest.mark.parametrize("variant", ["dcgan", "r3gan", "vae"])
def test_a_model_without_truncation_names_those_that_have_it(variant: str) -> None:
    with pytest.raises(UserError, match=r"model=stylegan2 .*model=biggan"):
        game_of(variant).truncate(0.7)
