"""What a model refuses by its options and declarations alone, in words that need no PyTorch."""

import inspect
from collections.abc import Callable

from gansweep.errors import UserError

NO_SOURCES = (
    "This model makes an image from another one, and the data have no source images. Use "
    "data=paired or data=unpaired, which make them by data.task=, or two folders."
)
NOTHING_TO_LEARN = (
    "model.adversarial=0 leaves the generator nothing to learn from: add a term to its loss, as "
    "model.feature_matching=1, or use model.adversarial=1."
)


def refuse_turns(
    *,
    n_players: int,
    n_generator: int,
    shared_noise: bool,
    simultaneous: bool,
    generator_batch: int,
    from_noise: bool | None,
    makes_without_noise: bool | None,
) -> None:
    """Raises: UserError for moves that this game cannot have.

    from_noise, makes_without_noise: as a model declares them; None: unknown, which refuses nothing.
    """
    moves = f"model.n_generator={n_generator}"
    noise = f"model.shared_noise={str(shared_noise).lower()}"
    width = f"model.generator_batch={generator_batch}"
    at_once = f"model.simultaneous={str(simultaneous).lower()}"
    is_set = {
        moves: n_generator > 1,
        noise: not shared_noise,
        width: generator_batch > 1,
        at_once: simultaneous,
    }
    given = " ".join(word for word, is_one in is_set.items() if is_one)
    if given and n_players == 1:
        raise UserError(
            f"{given}: this model has one player, which moves once on every batch. Leave "
            "n_generator=1, shared_noise=true, generator_batch=1 and simultaneous=false."
        )
    if simultaneous and n_generator > 1:
        raise UserError(
            f"{at_once} {moves}: players that move at once move once in a turn. Use one of them."
        )
    if not shared_noise and makes_without_noise:
        raise UserError(
            f"{noise}: nothing random goes into the images of this model, so there is nothing "
            "to draw anew. Use model.shared_noise=true."
        )
    if generator_batch > 1 and from_noise is False:
        raise UserError(
            f"{width}: this model makes each sample of one of the batch, so it cannot make "
            "more of them. Use model.generator_batch=1 and a larger batch_size."
        )
    if generator_batch > 1 and shared_noise:
        raise UserError(
            f"{width}: the generator's move has more fakes than the discriminator saw, so they "
            "must be made of noise of its own. Add model.shared_noise=false."
        )


def refuse_classes(conditional: bool, classes: str | None, model: str) -> None:
    """Raises: UserError where model.conditional= is not what the networks of a class need.

    classes: "always", "never" or "optional", as the class `model` declares; None: unknown.
    """
    if classes == ("never" if conditional else "always"):
        without = "its networks take no class" if conditional else "its networks take the class"
        raise UserError(
            f"model.conditional={str(conditional).lower()} does not fit {model}: {without}. Use "
            f"model.conditional={str(not conditional).lower()}, or another model, as "
            f"model={'cgan' if conditional else 'dcgan'}."
        )


def refuse_misfit(network: Callable[..., object], conditional: bool) -> None:
    """Raises: UserError for a network that takes no class and is to, or needs one and gets none."""
    known = inspect.signature(network).parameters.values()
    named = [p for p in known if p.name == "n_classes"]
    if conditional and not named and not any(p.kind is p.VAR_KEYWORD for p in known):
        raise UserError(
            "model.conditional=true gives both networks the class, and one here takes none. "
            "Use model=cgan, model=acgan or model=cgan_projection; gansweep.layers.conditional "
            "gives the class to networks of your own, as conf/model/cgan.yaml shows."
        )
    if not conditional and any(p.default is p.empty for p in named):
        raise UserError(
            "model.conditional=false gives no network the class, and one here needs it. Use "
            "model.conditional=true, or a model without classes, as model=dcgan."
        )
