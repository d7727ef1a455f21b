"""The terms of conf/term/ join the image GANs by configuration alone."""

import functools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import yaml
from omegaconf import OmegaConf
from variants import VARIANTS

from gansweep.config import compose as config
from gansweep.config.choices import options
from gansweep.data.batch import Batch
from gansweep.errors import UserError
from gansweep.models.adversarial import Adversarial
from gansweep.models.draws import Draws
from gansweep.models.gan import GAN

TERMS = sorted(path.stem for path in (config.conf_dir() / "term").glob("*.yaml"))
IMAGE = (1, 8, 8)


def built(variant: str, terms: list[str]) -> Adversarial:
    cfg = config.compose([f"model={variant}", f"term=[{','.join(terms)}]"])
    cfg.model = OmegaConf.merge(cfg.model, cfg.model.tiny)
    torch.manual_seed(0)
    model: Adversarial = config.instantiate(
        config.model_node(cfg, is_points=False), sample_shape=IMAGE, n_classes=10
    )
    model.configure_optimizers()
    model.draws = Draws(1, torch.device("cpu"))
    return model


def losses(model: Adversarial) -> dict[str, float]:
    rng = torch.Generator().manual_seed(2)
    model.images_seen = 60_000  # where what waits for the image clock has begun: top-k at 50
    for step in range(2 * model.n_critic):
        images = torch.rand(8, *IMAGE, generator=rng) * 2 - 1
        model.training_step(Batch(images, torch.arange(8)), step)
    return model.recent_means()


@functools.cache
def plain(variant: str) -> dict[str, float]:
    return losses(built(variant, []))


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("variant", ["dcgan", "lsgan", "wgan_gp", "sngan"])
def test_each_term_changes_the_training_of_each_gan(variant: str, term: str) -> None:
    if (variant, term) == ("wgan_gp", "ada"):  # whose scores have no boundary to be beyond
        with pytest.raises(UserError, match="term=diffaugment"):
            built(variant, [term])
        return
    model = built(variant, [term])
    assert isinstance(model, GAN)
    found = losses(model)
    assert all(torch.tensor(list(found.values())).isfinite())
    assert found != plain(variant)


def test_terms_add_up() -> None:
    means = losses(built("dcgan", ["ada", "lecam", "consistency", "feature_matching", "r1"]))
    expected = {"augment/p", "penalty/lecam", "penalty/consistency_real", "feature_matching"}
    assert expected | {"penalty/consistency_fake", "penalty/r1"} <= means.keys()


def mappings(node: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """The place and content of every outermost mapping with a `_target_`."""
    for key, value in node.items() if isinstance(node, dict) else ():
        if isinstance(value, dict) and "_target_" in value:
            yield f"{place}{key}", value
        else:
            yield from mappings(value, f"{place}{key}.")


STATED = {
    term: dict(mappings(yaml.safe_load((config.conf_dir() / f"term/{term}.yaml").read_text())))
    for term in TERMS
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_term_takes_the_place_of_what_a_model_has_of_its_own(variant: str) -> None:
    own = OmegaConf.create(options("train", {"model": variant}))
    for term, stated in STATED.items():
        if any(OmegaConf.select(own, place) is not None for place in stated):
            cfg = config.compose([f"model={variant}", f"term={term}"])
            found = {place: OmegaConf.select(cfg, place) for place in stated}
            assert found == stated, term


@pytest.mark.parametrize("terms", ["[ada,diffaugment]", "[diffaugment,ada]"])
def test_of_two_terms_for_one_place_the_last_holds(terms: str) -> None:
    cfg = config.compose(["model=r3gan", f"term={terms}"])
    (expected,) = STATED[terms.strip("[]").split(",")[-1]].values()
    assert cfg.model.augment == expected


@pytest.mark.parametrize("variant", ["cgan_projection", "r3gan_conditional"])
def test_minibatch_discrimination_is_refused_where_the_head_judges_labels(variant: str) -> None:
    with pytest.raises(UserError, match="with their labels.*model=cgan"):
        built(variant, ["minibatch_discrimination"])
    assert built("cgan", ["minibatch_discrimination"])


def test_file_cites_its_paper() -> None:
    for term in TERMS:
        second = (config.conf_dir() / "term" / f"{term}.yaml").read_text().splitlines()[1]
        assert "arXiv:" in second, term
