"""Files of published network weights: find, download and read them without running their code."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gansweep.data.download import locked
from gansweep.errors import UserError
from gansweep.metrics.cache import say

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)
ALTERNATIVE = (
    "Without a download, small labelled images can be scored with metrics=classifier; "
    "metrics=none trains without scores."
)


@dataclass(frozen=True, slots=True)
class Published:
    """One published file of weights.

    network: its name in messages.   file_name: in torch.hub's folder.   url: of the download.
    sha256: of the file, or as many of its first digits as are published.
    size_mb: of the file.
    """

    network: str
    file_name: str
    url: str
    sha256: str
    size_mb: int

    def is_published(self, weights_hash: str) -> bool:
        """Whether a file with this hash (16 digits) is the published one."""
        return weights_hash.startswith(self.sha256[:16])

    def named(self, name: str, weights_hash: str) -> str:
        """`name`; with 8 digits of the hash added if the weights are not the published ones."""
        return name if self.is_published(weights_hash) else f"{name}{weights_hash[:8]}"

    def load(
        self,
        weights_path: str | Path | None,
        make: Callable[[State], Network],
        read: Callable[[Path, str], Any] | None = None,
    ) -> tuple[Network, str]:
        """The network that `make` builds from the tensors of a file, and the file's 16-digit hash.

        weights_path: of `found`.
        read: called with the file and its hash, for files that torch.load cannot read.
        Raises: UserError for a file that cannot be downloaded or read, or of another network.
        """
        file = self.found(weights_path)
        state, weights_hash = self._read(file, read)
        return self._build(make, state, file), weights_hash

    def found(self, weights_path: str | Path | None) -> Path:
        """The file `weights_path`, or the published one, which is downloaded if it is missing.

        Raises: UserError if the download fails; it says where to get the file and where to put it.
        """
        if weights_path:
            return Path(weights_path).expanduser()
        file = Path(torch.hub.get_dir(), "checkpoints", self.file_name)
        if file.exists():
            return file
        with locked(file.with_name(f".{self.file_name}.lock")):
            if not file.exists():
                self._download(file)
        return file

    def _download(self, file: Path) -> None:
        say(f"downloading the {self.network} weights ({self.size_mb} MB) to {file}.")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(self.url, str(file), hash_prefix=self.sha256)
        # no network, a refused connection, a wrong hash, a full disk
        except (OSError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(
                f"Scores under {self.network} need its weights {self.file_name}, which could not "
                f"be downloaded: {reason}. Download {self.url} on a machine with a network and put "
                f"it at {file} ($TORCH_HOME moves this folder), or give its path as "
                f"metrics.weights_path=. {ALTERNATIVE}"
            ) from error

    def _read(self, file: Path, read: Callable[[Path, str], Any] | None) -> tuple[State, str]:
        """The tensors of a file by name, on the CPU, and 16 hex digits of its SHA-256.

        Raises: UserError for a file that is missing, damaged or contains code.
        """
        try:
            weights_hash = _sha256(file)[:16]
            state = (read or _tensors)(file, weights_hash)
        except FileNotFoundError:
            problem = "does not exist"
        except Exception as error:  # a truncated or foreign file raises many kinds of errors
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            problem = f"cannot be read as a file of weights ({reason})"
        else:
            if isinstance(state, dict) and all(isinstance(v, Tensor) for v in state.values()):
                return state, weights_hash
            problem = "cannot be read as a file of weights (no mapping of names to tensors)"
        raise UserError(f"The {self.network} weights {file}: the file {problem}. Give the path of "
                        f"{self.file_name} as metrics.weights_path=. {ALTERNATIVE}")  # fmt: skip

    def _build(self, make: Callable[[State], Network], state: State, file: Path) -> Network:
        """The network from its tensors.   Raises: UserError for tensors of another network."""
        try:
            return make(state)
        except Exception as error:  # a wrong name or shape raises many kinds of errors
            what = "no " if isinstance(error, KeyError) else ""
            reason = what + " ".join(str(error).split())[:160]
            raise UserError(
                f"{file} does not contain the weights of {self.network} ({reason}). Give the path "
                f"of {self.file_name} as metrics.weights_path=, or leave the option out to "
                "download the file."
            ) from error


def _tensors(file: Path, _: str) -> Any:
    return torch.load(file, map_location="cpu", weights_only=True)


def _sha256(file: Path) -> str:
    digest = hashlib.sha256()
    with open(file, "rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
