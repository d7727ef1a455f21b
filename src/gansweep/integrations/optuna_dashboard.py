"""The study of a sweep in optuna-dashboard, each trial with its newest sheet of samples."""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import socket
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any, BinaryIO
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import optuna
from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.study import Study
from optuna.trial import FrozenTrial, create_trial

from gansweep.engine.study import SweepStudy
from gansweep.errors import UserError
from gansweep.records.record import RunRecord, content_of
from gansweep.records.sheets import media_type
from gansweep.search.trials import trials_of

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
ARTIFACT = "artifacts:"  # how the attribute begins by which optuna-dashboard finds a file


class Sheets:
    """The store of artifacts that optuna-dashboard reads: the newest sheet of each trial."""

    def __init__(self) -> None:
        self._paths: dict[str, Path] = {}

    def add(self, path: Path) -> dict[str, str]:
        """The attributes of a trial that has this sheet."""
        key = hashlib.sha256(str(path).encode(errors="replace")).hexdigest()[:32]
        self._paths[key] = path
        kind = f"image/{path.suffix.removeprefix('.')}"
        known = {"artifact_id": key, "filename": path.name, "mimetype": kind, "encoding": None}
        return {f"{ARTIFACT}{key}": json.dumps(known)}

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """Raises: ArtifactNotFound for anything but a whole picture."""
        try:
            content = content_of(self._paths[artifact_id])
        except (KeyError, OSError) as error:
            raise ArtifactNotFound(artifact_id) from error
        if media_type(content) is None:
            raise ArtifactNotFound(artifact_id)
        return io.BytesIO(content)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        raise NotImplementedError("the dashboard only reads")

    def remove(self, artifact_id: str) -> None:
        raise NotImplementedError("the dashboard only reads")


def copy_of(sweep: SweepStudy, sheets: Sheets) -> Study:
    """The sweep's trials in memory, each once, with what the storage cannot take any more: files of
    trials that have ended."""
    made = optuna.create_study(
        study_name=sweep.settings.name,
        directions=[objective.direction for objective in sweep.settings.objectives],
    )
    for trial in trials_of(sweep.trials):
        made.add_trial(_with_sheet(trial, sweep, sheets))
    return made


def _with_sheet(trial: FrozenTrial, sweep: SweepStudy, sheets: Sheets) -> FrozenTrial:
    grids: list[tuple[float, Path]] = []
    for name in sweep.run_names(str(trial.user_attrs.get("key"))):
        grids = grids or RunRecord(sweep.run_dir(name)).sample_grids()
    return create_trial(
        state=trial.state,
        values=trial.values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=trial.user_attrs,
        system_attrs={**trial.system_attrs, **(sheets.add(grids[-1][1]) if grids else {})},
        intermediate_values=trial.intermediate_values,
    )


def dashboard(directory: Path, token: str, port: int) -> Application:
    """optuna-dashboard on the study of a sweep, as it is now, behind a token.

    Raises: UserError if the package optuna-dashboard is missing, or the directory has no study.
    """
    try:
        from optuna_dashboard import wsgi
    except ModuleNotFoundError as error:
        raise UserError(
            "'gansweep ui --optuna' needs another package: pip install 'gansweep[dashboard]'."
        ) from error
    sheets = Sheets()
    study = copy_of(SweepStudy(directory), sheets)
    return guarded(wsgi(study._storage, artifact_store=sheets), token, port)


def guarded(inner: Application, token: str, port: int) -> Application:
    """Refuses requests without the token, for another host, or that would change something.

    The dashboard's addresses are fixed, so the token is asked once, then a cookie stands for it.
    """
    name = f"gansweep-{port}"

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        host, method = environ.get("HTTP_HOST"), environ.get("REQUEST_METHOD")
        fitting = host in (f"127.0.0.1:{port}", f"localhost:{port}") and method in ("GET", "HEAD")
        if fitting and _alike(environ.get("PATH_INFO", "").strip("/"), token):
            cookie = f"{name}={token}; HttpOnly; SameSite=Strict; Path=/"
            start("303 See Other", [("Location", "/dashboard/"), ("Set-Cookie", cookie)])
            return [b""]
        if fitting and _alike(_cookie(environ.get("HTTP_COOKIE", ""), name), token):
            return inner(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"Refused. Open the whole address that `gansweep ui` has printed.\n"]

    return answer


def _alike(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(errors="replace"), token.encode())


def _cookie(text: str, name: str) -> str:
    try:
        found = SimpleCookie(text).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """The terminal shows the address alone."""


def serve_study(listening: socket.socket, directory: Path, token: str) -> None:
    """Serve the dashboard until KeyboardInterrupt.   listening: a bound socket."""
    host, port = listening.getsockname()
    server = _Server((host, port), _Quiet, bind_and_activate=False)
    server.socket.close()
    server.socket = listening
    server.server_name, server.server_port = host, port
    server.setup_environ()
    server.set_app(dashboard(directory, token, port))
    server.serve_forever(poll_interval=0.1)
