"""Compose and check a configuration, and explain every configuration error."""

import contextlib
import errno
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import MISSING, DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from gansweep.config.choices import SWEEPS, TABLES
from gansweep.config.choices import conf_dir as conf_dir
from gansweep.config.directory_names import checked_name
from gansweep.config.old_names import with_new_targets
from gansweep.config.options import BESIDE_A_MODEL, CONTINUED, GROUPS, ROOT, check_options
from gansweep.config.signatures import fields
from gansweep.config.targets import instantiate as instantiate
from gansweep.errors import UserError, nearest

BESIDE = tuple(f"model.{name}." for name in BESIDE_A_MODEL)
LISTED = 40  # choices that are named beside the one that was meant
LAUNCHERS = ("joblib", "submitit_local", "submitit_slurm")  # need the extra `multirun`
RECORDED_CHOICES = (
    *("data", "model", "trainer", "callbacks", "metrics", "tracker", "experiment", "debug"),
)

_words: dict[bytes, tuple[list[str], str | Path | None]] = {}  # digest of a configuration -> source


def compose(
    overrides: Sequence[str] = (),
    config_name: str = "train",
    config_dir: str | Path | None = None,
) -> DictConfig:
    """The configuration that `gansweep train OVERRIDES...` would use.

    overrides: in Hydra's grammar, such as ["model=wgan_gp", "model.n_critic=1"].
    config_dir: a folder with the user's own groups, searched in addition to the package's.
    Raises: UserError that names the wrong key or choice and the most similar one that exists.
    """
    words = list(overrides)
    if config_dir is not None:
        place = QuotedString(f"file://{Path(config_dir).resolve()}", quote=Quote.single)
        words.append(f"hydra.searchpath=[{place.with_quotes()}]")
    with _hydra(), explained(words, config_name):
        raw = hydra_compose(config_name, overrides=words, return_hydra_config=True)
        choices = dict(raw.hydra.runtime.choices)
        with open_dict(raw):
            del raw["hydra"]
        if config_name != "train":
            return raw
        cfg = checked(raw, choices)
    _words[_content(cfg)] = [*overrides], config_dir
    return cfg


def words_of(cfg: DictConfig) -> tuple[list[str], str | Path | None] | None:
    """The overrides and the config_dir from which `compose` made a configuration with exactly these
    settings in this process; None if it was changed since, or made in another way."""
    return _words.get(_content(cfg))


def _content(cfg: DictConfig) -> bytes:
    text = json.dumps(OmegaConf.to_container(cfg, resolve=False), default=str)
    return hashlib.sha256(text.encode()).digest()


@contextlib.contextmanager
def _hydra() -> Iterator[None]:
    """Set Hydra's global state for one composition, then restore it."""
    holder = GlobalHydra.instance()
    outer = holder.hydra
    holder.clear()
    try:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            yield
    finally:
        holder.clear()
        if outer is not None:
            holder.initialize(outer)


def checked(cfg: DictConfig, choices: dict[str, Any]) -> DictConfig:
    """Add the names of the chosen groups to `cfg`, and check every option.

    choices: group -> option, as in hydra.runtime.choices.
    Raises: UserError for an option without a value or with a value that is not allowed.
    """
    content = OmegaConf.to_container(cfg, resolve=False)
    if (renamed := with_new_targets(content)) != content:
        cfg = OmegaConf.create(renamed, flags={"struct": True})
    for key in sorted(_without_value(renamed)):
        raise UserError(f"{key} has no value, but this choice needs one: add {key}=VALUE.")
    with open_dict(cfg):
        cfg.choices = {group: choices.get(group) for group in RECORDED_CHOICES}
        for key in ("runs_dir", "group", "name", "resume", "init"):
            if type(cfg.get(key)) is int:
                cfg[key] = str(cfg[key])
    _check_callbacks(renamed, choices)
    check_options(cfg)
    for key in ("group", "name"):
        if cfg[key] is not None:
            checked_name(key, cfg[key])
    for key in ("resume", "init"):
        if cfg.get(key) == "":
            raise UserError(
                f"{key}= is empty. Name the directory of a run, as {key}=runs/digits/dcgan-001, or "
                "leave it out."
            )
    return cfg


def _without_value(content: Any, key: str = "") -> Iterator[str]:
    """The keys of a plain configuration whose value is ???, as in model.generator or betas[0]."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield from _without_value(value, f"{key}.{name}" if key else str(name))
    elif isinstance(content, list):
        for place, value in enumerate(content):
            yield from _without_value(value, f"{key}[{place}]")
    elif content == MISSING:
        yield key


def _check_callbacks(content: Any, choices: dict[str, Any]) -> None:
    """Raises: UserError for options of a callback that the chosen file of callbacks lacks."""
    callbacks = content.get("callbacks")
    for name, node in callbacks.items() if isinstance(callbacks, dict) else ():
        if isinstance(node, dict) and node and "_target_" not in node:
            debug = choices.get("debug")
            source = f"debug={debug}" if debug else "the configuration"
            raise UserError(
                f"{source} sets {' and '.join(f'callbacks.{name}.{key}' for key in node)}, but "
                f"callbacks={choices.get('callbacks')} has no callback '{name}'. Leave one of the "
                "two out, or name the callback's class with "
                f"'+callbacks.{name}._target_=PACKAGE.CLASS'."
            )


@contextlib.contextmanager
def explained(overrides: Sequence[str], config_name: str = "train") -> Iterator[None]:
    """Turn errors of Hydra and OmegaConf into a UserError: one paragraph with the fix."""
    try:
        yield
    except MissingConfigException as error:
        raise UserError(_missing_choice(error)) from error
    except YAMLError as error:
        raise UserError(
            f"A file of the configuration cannot be read: {_flat(error)}. Correct that line."
        ) from error
    except OverrideParseException as error:
        fix = (
            "Write an option as key=value without spaces around '='. Put values with brackets or "
            "commas in quotes for the shell, as in 'model.optimizer.generator.betas=[0,0.9]'."
        )
        if not error.override.isascii():
            fix = "Text that is not ASCII needs its own quotes inside the shell's: \"name='été'\"."
        raise UserError(f"'{error.override}' cannot be read. {fix}") from error
    except ConfigCompositionException as error:
        raise UserError(_unknown_key(error, overrides, config_name)) from error
    except (HydraException, OmegaConfBaseException) as error:
        removed = " ".join(word for word in overrides if word.startswith("~"))
        fix = f" Other options need what {removed} removes: leave it out." if removed else ""
        why = str(error).splitlines()[0].strip()
        raise UserError(f"The configuration does not fit together: {why}.{fix}") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise UserError(
            "A choice on the command line is longer than a file name can be. 'gansweep train "
            "--help' lists the choices of each group."
        ) from error
    except ValueError as error:
        if "Config group override" not in str(error):
            raise
        raise UserError(
            f"A group of the configuration has a value that is not one of its files "
            f"({_flat(error)}). Name one of its files, as in model=dcgan."
        ) from error


def _flat(error: BaseException) -> str:
    return " ".join(str(error).split())


def _missing_choice(error: MissingConfigException) -> str:
    group, _, wanted = (error.missing_cfg_file or "").rpartition("/")
    files = (path.stem for path in (conf_dir() / group).glob("*.yaml"))
    known = [o for o in error.options or sorted(files) if not o.startswith("base")]
    if group == "hydra/launcher" and wanted in LAUNCHERS:
        return f"hydra/launcher={wanted} needs another package: pip install 'gansweep[multirun]'."
    if not known:
        return _flat(error)
    hint = nearest(wanted, known)
    listed = f" It has: {', '.join(known)}." if len(known) <= LISTED or not hint else ""
    return f"There is no '{wanted[:80]}' in the group '{group}'.{hint}{listed}"


def _unknown_key(
    error: ConfigCompositionException, overrides: Sequence[str], config_name: str
) -> str:
    found = re.search(r"Could not (?:override|append to|delete from)[^']*'([^']*)'", str(error))
    if several := re.search(r"Ambiguous value for argument '(.+?)=(.*?)'", str(error)):
        key, values = several.groups()
        several_values = f"{key}={values} names several values."
        if key == "term" or OmegaConf.is_list(_value(key, overrides, config_name)):
            return (
                f"{several_values} For all of them together write '{key}=[{values}]', for a run of "
                "each add --multirun."
            )
        return f"{several_values} For a run of each add --multirun."
    if not found:
        cause = f" {_flat(error.__cause__)}" if error.__cause__ else ""
        return f"The configuration does not fit together: {_flat(error)}{cause}"
    key = re.split(r"[@=]", found.group(1).lstrip("+~"))[0]
    if isinstance(error.__cause__, OmegaConfBaseException) and "struct" not in str(error.__cause__):
        return f"{key} cannot have this value: {str(error.__cause__).splitlines()[0]}."
    if not key:
        return "An option has no name before its '='. Write it as key=value, as in model=dcgan."
    known = _known_keys(overrides, key, config_name)
    group, runs = key.split(".")[0], [w for w in overrides if w.startswith("resume=")]
    continued = runs and runs[-1] not in ("resume=", "resume=null")
    if continued and group in ("data", "model", "metrics"):
        return (
            f"A continued run keeps its {group}, so '{key}' cannot change: with resume= only "
            f"{', '.join(CONTINUED)} can. Start a new run for other settings."
        )
    if continued and group in ("callbacks", "tracker"):
        return (
            f"There is no '{key}' in the {group} of this command line, and those of the run are "
            f"read later. If the run has it, name its file too, {group}=NAME, or give the "
            "experiment= that it began with."
        )
    if key in known:
        within = re.search(rf"full_key: {re.escape(key)}\.(\S+)", str(error.__cause__))
        if within and not (conf_dir() / key).is_dir():
            return f"{key} has no '{within[1]}' here. To add it, write '+{key}.{within[1]}=...'."
        given = next(word for word in overrides if word.lstrip("+~").startswith(key))
        if key == TABLES or (config_name == "train" and key in SWEEPS):
            verb = "gansweep reproduce TABLE" if key == TABLES else "gansweep sweep"
            return f"'{given}' is no option of 'gansweep {config_name}': use '{verb}'."
        return f"'{given}' is no choice: {key}= takes the name of a file in conf/{key}/."
    of_sweep = f"sweep.{key}" in known
    hint = f" Did you mean 'sweep.{key}'?" if of_sweep else _similar(key, known)
    add = f" To add a new option, write a plus sign before it: '+{key}=...'." if "." in key else ""
    return (
        f"There is no option '{key}'.{hint} 'gansweep {config_name} --cfg job' prints every "
        f"option.{add}"
    )


def refuse_unread(cfg: DictConfig, words: Sequence[str], hydra: Any) -> None:
    """Raises: UserError for a variable that a command of one run or a file adds at the top level,
    and that nothing takes. A group of the user's own is none.

    words: of the command line.   hydra: its own configuration, which may take one, too.
    """
    every = [OmegaConf.to_container(node, resolve=False) for node in (cfg, hydra)]
    text = re.sub(r"\$\{\.+", "${", json.dumps([*every, *words], default=str))
    taken = " ".join(re.findall(r"\$\{[^\"]*", text))
    known = {*fields(ROOT), *GROUPS, "hydra"}
    for key in [*_added(words), *map(str, cfg)]:
        root = re.split(r"[./@]", key)[0]
        is_group = "/" in key or "@" in key or ("." not in key and OmegaConf.is_dict(cfg.get(root)))
        is_taken = re.search(rf"(?<![\w.-]){re.escape(root)}(?![\w-])", taken)
        if root in known or is_group or is_taken:
            continue
        others = [one for one in dotted_keys(cfg) if one.split(".")[0] != root]
        raise UserError(
            f"Nothing reads '{key}': what is added at the top level is a variable, which options "
            f"take as '${{{key}}}'.{_similar(key, others)} Else remove it."
        )


def _added(words: Iterable[str]) -> Iterator[str]:
    """The keys that overrides add with a plus sign."""
    for word in words:
        key, equals, _ = word.partition("=")
        if word.startswith("+") and equals:
            yield key.lstrip("+")


def _similar(key: str, known: Iterable[str]) -> str:
    """ " Did you mean 'model.optimizer.generator.lr'?" for 'lr', or the most similar key."""
    known = [one for one in known if not one.startswith(BESIDE)]
    group, _, last = key.rpartition(".")
    ends = [one for one in known if one.startswith(group) and one.endswith(f".{last}")]
    return f" Did you mean '{ends[0]}'?" if ends else nearest(key, known)


def _known_keys(overrides: Sequence[str], unknown: str, config_name: str) -> list[str]:
    """Every group, and every dotted key of the configuration with the given choices."""
    chosen = _with_choices(overrides, unknown, config_name)
    return _groups() + ([] if chosen is None else list(dotted_keys(chosen)))


def _value(key: str, overrides: Sequence[str], config_name: str) -> Any:
    """What an option is with the given choices of the other groups; None if there is none."""
    chosen = _with_choices(overrides, key, config_name)
    return None if chosen is None else OmegaConf.select(chosen, key, default=None)


def _groups() -> list[str]:
    return [path.name for path in conf_dir().iterdir() if path.is_dir()]


def _with_choices(overrides: Sequence[str], unknown: str, config_name: str) -> DictConfig | None:
    choices = [o for o in overrides if o.split("=")[0] in {*_groups()} - {unknown}]
    try:
        with _hydra():
            return hydra_compose(config_name, overrides=choices)
    except HydraException:
        return None


def dotted_keys(cfg: DictConfig, prefix: str = "") -> Iterator[str]:
    for key in cfg:
        name = f"{prefix}{key!s}"
        yield name
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_interpolation():
            yield from dotted_keys(node, f"{name}.")


def model_node(cfg: DictConfig, is_points: bool) -> DictConfig:
    """The node to instantiate the model from: cfg.model with the networks for this kind of data.

    Data sets of points use the networks under `points:`. Left out are `tiny:` (for tests),
    `search:` and `changeable:` (for sweeps) and the batch size (an option of the data).
    """
    node = OmegaConf.to_container(cfg.model, resolve=True)
    assert isinstance(node, dict)
    points = node.get("points", {}) if is_points else {}
    beside = ("points", "tiny", "search", "changeable", "batch_size")
    return OmegaConf.create({k: v for k, v in node.items() if k not in beside} | points)
