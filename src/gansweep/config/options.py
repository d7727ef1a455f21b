"""Check the options of a configuration against their declarations, before heavy imports.

An option is declared where it is used: as a parameter of the constructor that a `_target_` names,
with its type and range as an annotation (config/ranges.py), or as a key of a TypedDict if no
constructor takes it (`trainer`, `sweep`, `launcher`, the root). Both are read from the source code
without importing it. The user's own classes are not checked, gansweep's and PyTorch's in them are.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict, TypeVar

from omegaconf import DictConfig, OmegaConf

from gansweep.config import trainer_options
from gansweep.config.kinds import (
    Either,
    Flag,
    Inherited,
    Kind,
    ListOf,
    MappingOf,
    Nothing,
    Object,
    Record,
    Schedule,
    shown,
)
from gansweep.config.ranges import (
    Decay,
    DecayInTime,
    Finite,
    Name,
    Range,
    Rate,
    Seed,
    Share,
    ShareInTime,
    Weight,
)
from gansweep.config.signatures import Parameter, fields, names_in, signature
from gansweep.errors import UserError, nearest

CONTINUED = ("budget_kimg", "trainer", "callbacks", "tracker")  # what a continued run may change


class RunOptions(TypedDict):
    """The root of conf/train.yaml."""

    seed: Seed
    budget_kimg: Annotated[float, Range(0, 1e9, above=True, such_as=100)]
    batch_size: Annotated[int, Range(1, 10_000_000, such_as=64)]
    one_batch: bool
    runs_dir: Name
    group: Name | None
    name: Name | None
    resume: Name | None
    init: Name | None
    extra_packages: list[str]


class OptimizerOptions(TypedDict):
    """Options of PyTorch's optimizers."""

    lr: Rate
    betas: tuple[DecayInTime, DecayInTime]
    eps: Weight
    weight_decay: Weight
    momentum: ShareInTime
    dampening: Share
    alpha: Decay
    amsgrad: bool
    centered: bool
    nesterov: bool
    maximize: bool
    fused: bool | None
    foreach: bool | None
    capturable: bool
    differentiable: bool


class InitializerOptions(TypedDict):
    """Options of the functions in torch.nn.init."""

    mean: Finite
    std: Weight
    gain: Finite
    val: Finite
    a: Finite
    b: Finite


PYTORCH = {
    "torch.optim": "gansweep.config.options.OptimizerOptions",
    "torch.nn.init": "gansweep.config.options.InitializerOptions",
}
ROOT = "gansweep.config.options.RunOptions"
TRAINER = "gansweep.run.devices.TrainerOptions"
HYDRAS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")
# Parameters that gansweep's code sets. They are not options of a configuration.
GIVEN = {
    "model": ("sample_shape", "n_classes", "source_shape"),
    "metrics": ("data", "conditional"),
    "tracker": ("directory", "group", "name"),
}
# Keys in conf/model/ that are not options of the model's class.
BESIDE_A_MODEL = ("points", "tiny", "search", "batch_size", "changeable")
# The mappings at the root: the groups of options, and the names of their chosen files.
GROUPS = ("data", "model", "trainer", "callbacks", "metrics", "tracker", "choices")
K = TypeVar("K", bound=Kind)


@dataclass(frozen=True)
class Option:
    """kind: None if it is not declared.   mistake: why there is no such option, or ""."""

    name: str
    value: Any
    kind: Kind | None
    mistake: str = ""

    @property
    def refusal(self) -> str:
        """The error message for this option; "" if its value is allowed."""
        if self.mistake or self.kind is None or self.kind.takes(self.value):
            return self.mistake
        return refusal(self.name, self.value, self.kind)


def check_options(cfg: DictConfig, groups: Collection[str] | None = None) -> None:
    """Raises: UserError for the first option that is unknown or has a value that is not allowed.

    cfg: a configuration of `gansweep train`.   groups: check only these; None: all.
    """
    refused = [
        option
        for option in options_of(_resolved(cfg))
        if option.refusal and (groups is None or option.name.split(".")[0] in groups)
    ]
    if refused:  # first an option with its own value, then one that copies another option
        raise UserError(min(refused, key=lambda one: _follows(cfg, one.name)).refusal)


def check_values(cfg: DictConfig, name: str, values: Sequence[Any]) -> None:
    """Raises: UserError for the first of `values` that the option `name` of `cfg` cannot have."""
    for option in options_of(_resolved(cfg)):
        for value in values if option.name == name else ():
            if option.kind is not None and not option.kind.takes(value):
                raise UserError(refusal(name, value, option.kind))


def check_record(prefix: str, content: Mapping[str, Any], declared: str) -> None:
    """Raises: UserError for a key that is not in the TypedDict, or a value that is not allowed.

    prefix: of the option's name, such as "launcher.".   declared: dotted path of the TypedDict.
    """
    for option in _record(prefix, content, fields(declared)):
        if option.refusal:
            raise UserError(option.refusal)


def options_of(plain: Mapping[str, Any]) -> Iterator[Option]:
    """Every option of a configuration of `gansweep train`.   plain: interpolations resolved."""
    root = fields(ROOT)
    for key, value in plain.items():
        if key in root:
            yield Option(key, value, root[key])
        elif key == "trainer":
            yield from _trainer(value)
        elif key == "callbacks":
            yield from _values("callbacks", value, MappingOf(Either((Object(), Nothing()))))
        elif key == "model":
            yield from _model(value, root["batch_size"])
        elif isinstance(value, Mapping) and "_target_" in value:
            yield from _node(key, value, GIVEN.get(key, ()))
        elif key != "choices":
            yield from _values(key, value, None)  # a variable of the user


def refusal(name: str, value: Any, kind: Kind) -> str:
    """The error message for a value that is not allowed: one or two sentences with the fix."""
    problem = f"{name}={shown(value)} is not {kind}."
    if hint := kind.hint(value):
        return problem + hint
    instead = kind.instead(value)
    if instead is None or not kind.takes(instead):
        fix = f"Use {name}=null." if kind.takes(None) else "Leave it out to use the default."
        return f"{problem} {fix}"
    word = f"{name}={shown(instead)}"
    return f"{problem} Use {word!r}." if set(word) & set("[]{}, '") else f"{problem} Use {word}."


def _resolved(cfg: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _follows(cfg: DictConfig, name: str) -> bool:
    """Whether the option, or a mapping that contains it, is an interpolation of another option."""
    node: Any = cfg
    for part in name.split("."):
        if not isinstance(node, DictConfig) or part not in node:
            return False
        if OmegaConf.is_interpolation(node, part):
            return True
        node = node._get_node(part)
    return False


def _trainer(content: Any) -> Iterator[Option]:
    """gansweep's own options, and those that it passes to Lightning's Trainer."""
    own = fields(TRAINER)
    if not isinstance(content, Mapping) or content.keys() <= own.keys():
        yield from _record("trainer.", content, own)
        return
    passed = trainer_options.passed_on()
    for key, value in content.items():
        if mistake := trainer_options.refusal_of(str(key)):
            yield Option(f"trainer.{key}", value, None, mistake)
        else:
            yield from _record("trainer.", {key: value}, {**own, **passed, **own})


def _model(node: Any, batch_size: Kind) -> Iterator[Option]:
    if not (isinstance(node, Mapping) and isinstance(node.get("_target_"), str)):
        yield Option("model", node, Object())
        return
    own = {key: value for key, value in node.items() if key not in BESIDE_A_MODEL}
    yield from _node("model", own, GIVEN["model"])
    if "batch_size" in node:
        yield Option("model.batch_size", node["batch_size"], batch_size)
    yield from _flags("model.changeable", node.get("changeable", {}))
    points = node.get("points", {})
    if isinstance(points, Mapping):
        yield from _node("model.points", {"_target_": node["_target_"], **points}, GIVEN["model"])
    else:
        yield Option("model.points", points, MappingOf(Object()))


def _flags(name: str, value: Any) -> Iterator[Option]:
    """The options of nested mappings whose values are true or false."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flags(f"{name}.{key}", inner)
    else:
        yield Option(name, value, Flag())


def _node(
    name: str, node: Mapping[str, Any], given: Collection[str] = (), of: Kind | None = None
) -> Iterator[Option]:
    """The options of a mapping with a `_target_`, including those of the mappings in it.

    of: the kind of the numbers that it makes, if it is a schedule.
    """
    target = node["_target_"]
    if target is None:
        return
    takes = signature(str(target), node)
    if takes is None and str(target).startswith("gansweep."):
        home, _, wanted = str(target).rpartition(".")
        known = names_in(home)
        where = f"{home} has no {wanted}" if known else f"there is no module {home}"
        mistake = f"{name}._target_={target} does not exist: {where}.{nearest(wanted, known)}"
        yield Option(f"{name}._target_", target, None, mistake)
        return
    for key, value in node.items():
        inner = f"{name}.{key}"
        if key == "_partial_":
            yield Option(inner, value, Flag())
        elif key in HYDRAS:
            continue
        elif takes is None:
            declared = PYTORCH.get(str(target).rpartition(".")[0])
            yield from _values(inner, value, fields(declared).get(key) if declared else None)
        elif key in takes.parameters and _settable(takes.parameters[key], node, given):
            kind = takes.parameters[key].kind
            yield from _values(inner, value, of if of and isinstance(kind, Inherited) else kind)
        elif takes.is_open:
            yield from _values(inner, value, None)
        else:
            known = [k for k, p in takes.parameters.items() if _settable(p, node, given)]
            has = f"It has: {', '.join(known)}." if known else "It has none."
            mistake = f"{takes.name} has no option '{key}', but {inner} sets it."
            yield Option(inner, value, None, f"{mistake}{nearest(key, known)} {has}")


def _settable(parameter: Parameter, node: Mapping[str, Any], given: Collection[str]) -> bool:
    """Whether a configuration may set the parameter. Code that calls a partial sets the others."""
    called_later = parameter.by_position or parameter.name == "n_classes"
    return parameter.name not in given and not (node.get("_partial_") and called_later)


def _values(name: str, value: Any, kind: Kind | None) -> Iterator[Option]:
    """The option itself, or the options in it if it is a mapping."""
    if isinstance(value, Mapping) and isinstance(value.get("_target_"), str):
        if kind is not None and not kind.takes(value):
            yield Option(name, value, kind)
        schedule = _among(kind, Schedule)
        yield from _node(name, value, of=schedule.of if schedule else None)
    elif isinstance(value, Mapping) and value and (kind is None or _inner(kind) is not None):
        for key, inner in value.items():
            yield from _values(f"{name}.{key}", inner, None if kind is None else _inner(kind))
    else:
        yield Option(name, value, kind)
        items = _among(kind, ListOf)
        if items and _among(items.item, Schedule) and isinstance(value, (list, tuple)):
            for k, inner in enumerate(value):
                if isinstance(inner, Mapping):
                    yield from _values(f"{name}[{k}]", inner, items.item)


def _inner(kind: Kind) -> Kind | None:
    """The kind of a mapping's values; None if the option does not take a mapping."""
    mapping = _among(kind, MappingOf)
    return None if mapping is None else mapping.value


def _among(kind: Kind | None, wanted: type[K]) -> K | None:
    """The first kind of that class that an option takes; None if there is none."""
    kinds = kind.kinds if isinstance(kind, Either) else (kind,)
    return next((one for one in kinds if isinstance(one, wanted)), None)


def _record(prefix: str, content: Any, declared: Mapping[str, Kind]) -> Iterator[Option]:
    if not isinstance(content, Mapping):
        yield Option(prefix.rstrip("."), content, Record(declared))
        return
    for key, value in content.items():
        name = f"{prefix}{key}"
        if key not in declared:
            problem = f"There is no option '{name}'.{nearest(str(key), declared)}"
            yield Option(name, value, None, f"{problem} There are: {', '.join(declared)}.")
            continue
        kind = declared[key]
        if isinstance(kind, Record) and isinstance(value, Mapping):
            yield from _record(f"{name}.", value, kind.keys)
        else:
            yield Option(name, value, kind)
