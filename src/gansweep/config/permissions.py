"""What the user allows a configuration: packages to call and environment variables to read.

A directory of a run or a sweep may come from somebody else, so only the command line can allow
anything. Its permissions are stored in environment variables, which child processes inherit.
"""

import os
import re
from collections.abc import Iterable

from gansweep.errors import UserError

PACKAGES = "GANSWEEP_EXTRA_PACKAGES"  # names with commas between; extra_packages= adds to them
VARIABLES = "GANSWEEP_EXTRA_VARIABLES"  # names with commas between
OWN_VARIABLES = ("GANSWEEP_DATA",)
OPTION = "extra_packages"


def allowed_packages() -> list[str]:
    """The packages, other than gansweep and torch, that a `_target_` may name."""
    return _names(PACKAGES)


def allow_packages(names: Iterable[str]) -> None:
    """Allow packages in this process and in its future child processes."""
    _add(PACKAGES, map(_checked, names))


def allowed_variables() -> list[str]:
    """The environment variables that a file of a run or a sweep may refer to."""
    return [*OWN_VARIABLES, *_names(VARIABLES)]


def allow_variables(names: Iterable[str]) -> None:
    """Allow variables in this process and in its future child processes."""
    _add(VARIABLES, names)


def packages_in(value: str) -> list[str]:
    """The names in the value of `extra_packages=`, such as "[my_nets, more]" or "my_nets,more".

    Raises: UserError for a name that cannot be a package.
    """
    listed = value.strip().removeprefix("[").removesuffix("]")
    return [_checked(name.strip(" '\"")) for name in listed.split(",") if name.strip()]


def is_package_option(word: str) -> bool:
    """Whether a word of a command line sets `extra_packages`, in any form that Hydra reads."""
    return re.split(r"[=.@\[]", word.lstrip("+~"), maxsplit=1)[0].strip() == OPTION


def _checked(name: str) -> str:
    if not re.fullmatch(r"[^\W\d]\w*", name):
        raise UserError(
            f"extra_packages={name} is not the name of a package. Name only top-level packages, as "
            "in 'extra_packages=[my_nets]'."
        )
    return name


def _names(variable: str) -> list[str]:
    listed = os.environ.get(variable, "").split(",")
    return list(dict.fromkeys(name.strip() for name in listed if name.strip()))


def _add(variable: str, names: Iterable[str]) -> None:
    wanted = list(dict.fromkeys([*_names(variable), *names]))
    if wanted != _names(variable):
        os.environ[variable] = ",".join(wanted)
