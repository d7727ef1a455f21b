"""Hydra composes the package's own files once for the same choices of files, 0.1 s each time.

What else a command says, each option's value, is laid over a copy, by Hydra itself. With folders of
a test's own it composes anew, as their files change. A text is parsed once.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import pickle
from dataclasses import replace
from typing import Any

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides
from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

create_defaults_list = config_loader_impl.create_defaults_list
compose_from = ConfigLoaderImpl._compose_config_from_defaults_list

load_from = OmegaConf.load


def compose_once() -> None:
    """From now on, in this process."""
    lists: dict[object, DefaultsList] = {}
    composed: dict[int, bytes] = {}

    def defaults(
        repo: Any, config_name: str, overrides_list: list[Any], **how: bool
    ) -> DefaultsList:
        given = Overrides(repo, overrides_list).config_overrides
        files = [one for one in overrides_list if one not in given]
        places = tuple((source.provider, source.path) for source in repo.get_sources())
        if any("searchpath" in provider for provider, _ in places):
            return create_defaults_list(repo, config_name, overrides_list, **how)
        key = (config_name, places, *how.items(), *(one.input_line for one in files))
        if key not in lists:
            lists[key] = create_defaults_list(repo, config_name, files, **how)
        return replace(lists[key], config_overrides=given)

    def compose(self: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> DictConfig:
        if not any(one.defaults is defaults for one in lists.values()):
            return compose_from(self, defaults, repo)
        if id(defaults) not in composed:
            composed[id(defaults)] = pickle.dumps(compose_from(self, defaults, repo))
        made: DictConfig = pickle.loads(composed[id(defaults)])  # a seventh of a deep copy's time
        return made

    @functools.cache
    def parsed(text: str) -> bytes:
        return pickle.dumps(load_from(io.StringIO(text)))

    def load(file: Any) -> Any:
        if isinstance(file, io.TextIOBase):  # as Hydra opens it
            with contextlib.suppress(YAMLError):
                return pickle.loads(parsed(file.read()))
            file.seek(0)  # the error shall name the file
        return load_from(file)

    def own(self: CachingConfigRepository, delegate: Any) -> None:
        # shallow: what is changed in it, the list of its sources, is replaced
        self.delegate, self.cache = copy.copy(delegate), {}

    CachingConfigRepository.__init__ = own  # type: ignore[method-assign]
    config_loader_impl.create_defaults_list = defaults
    ConfigLoaderImpl._compose_config_from_defaults_list = compose
    OmegaConf.load = load
