"""A storage whose calls are repeated in an outage; training continues meanwhile."""

from __future__ import annotations

import copy
import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from typing import Any

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from gansweep.errors import UserError, tell

PAUSES = (0.1, 30.0)  # seconds: the first pause between two tries, doubled up to the second
REPORT_AFTER_SECONDS = 1.0  # shorter outages are not reported
LEAST_TRIES = 5  # within 1.5 s, even if no caller waits
LOOK_SECONDS = 0.1  # between looks whether the caller still waits
OF_THE_DISK = {"disk is full": errno.ENOSPC, "readonly database": errno.EACCES}  # SQLite's words
OUT_OF_REACH = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.ENOTCONN)


class StorageOutageError(UserError):
    """The storage cannot be reached, and the caller does not want to wait until it can."""


class Retries:
    """Waits for a storage that cannot be reached. Reports the outage once, and its end."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.ends: Callable[[], bool] = lambda: False  # asked while an outage lasts
        self.section = Section()
        self._reported = False

    def wait(self, error: Exception, failures: int, began: float) -> None:
        """Pause after the last of `failures` failures, the first of which was at `began`.

        Raises: StorageOutageError after some tries, if `ends` says so.
        """
        over = failures >= LEAST_TRIES and self.ends()
        if not self._reported and (over or time.monotonic() - began >= REPORT_AFTER_SECONDS):
            self._reported = True
            tell(
                f"The sweep's storage {self.where} cannot be reached ({in_short(error)}). Trials "
                "that run continue, and what they report is delivered later."
            )
        until = time.monotonic() + min(PAUSES[0] * 2.0 ** (failures - 1), PAUSES[1])
        while not over and time.monotonic() < until:
            time.sleep(LOOK_SECONDS)
            over = failures >= LEAST_TRIES and self.ends()
        if over:
            raise StorageOutageError(
                f"The sweep's storage {self.where} cannot be reached ({in_short(error)}). See that "
                "it runs again; the same command then continues the sweep."
            ) from error

    def answered(self) -> None:
        if self._reported:
            self._reported = False
            tell(f"The sweep's storage {self.where} is back.")

    @contextmanager
    def in_section(self) -> Iterator[None]:
        """Within it an outage ends this thread's calls at once: it must not hold a lock while it
        waits, and a lock that a server keeps has gone with the connection."""
        self.section.view = View()
        try:
            yield
        finally:
            self.section.view = None


class Section(threading.local):
    """The trials as this thread knows them; None outside of a section."""

    view: View | None = None


class View:
    """The trials of a section, each read once: only the holder of the lock makes trials and changes
    their states. Else every look would ask a database for all trials that run."""

    def __init__(self) -> None:
        self._known: dict[int, FrozenTrial] = {}  # by their ids
        self._studies: dict[int, list[int]] = {}  # study's id -> all its trials' ids

    def note(self, name: str, args: Sequence[Any], answer: Any) -> None:
        """Note that method `name` of the storage was called, with that answer."""
        if name == "create_new_trial":
            self._note_new(*args, trial_id=answer)
        elif name.startswith("set_trial") and args[0] in self._known:
            # to be read again, unless we know the change
            trial = copy.copy(self._known.pop(args[0]))
            if name == "set_trial_user_attr":
                trial.user_attrs = {**trial.user_attrs, args[1]: args[2]}
            elif name == "set_trial_state_values" and args[1] == TrialState.RUNNING and answer:
                trial.state, trial.datetime_start = TrialState.RUNNING, datetime.now()
            else:
                return
            self._known[args[0]] = trial

    def _note_new(
        self, study_id: int, template: FrozenTrial | None = None, *, trial_id: int
    ) -> None:
        ids = self._studies.pop(study_id, None)
        if ids is not None and template is not None:
            trial = copy.deepcopy(template)
            trial.number, trial._trial_id = len(ids), trial_id
            self._known[trial_id] = trial
            self._studies[study_id] = [*ids, trial_id]

    def trial(self, storage: BaseStorage, trial_id: int) -> FrozenTrial:
        if trial_id not in self._known:
            self._known[trial_id] = storage.get_trial(trial_id)
        return self._known[trial_id]

    def trials(self, storage: BaseStorage, study_id: int) -> list[FrozenTrial]:
        """All trials of a study, in the order of their numbers."""
        if study_id not in self._studies:
            read = storage.get_all_trials(study_id, deepcopy=False)
            self._known.update((t._trial_id, t) for t in read)
            self._studies[study_id] = [t._trial_id for t in read]
        return [self.trial(storage, trial_id) for trial_id in self._studies[study_id]]


def with_retries(retries: Retries, call: Callable[[], Any]) -> Any:
    """call(), again and again while the storage cannot be reached."""
    began, failures = time.monotonic(), 0
    while True:
        try:
            answer = call()
        except Exception as error:
            if not is_outage(error):
                raise
            failures += 1
            retries.wait(error, failures, began)
        else:
            retries.answered()
            return answer


def is_outage(error: BaseException | None) -> bool:
    """Whether the storage could not be reached, rather than refused a request. Only drivers that
    are loaded are considered: others have raised nothing."""
    if error is None or isinstance(error, StorageOutageError):
        return error is not None
    if type(error).__module__.startswith("psycopg"):
        return any(c.__name__ == "OperationalError" for c in type(error).__mro__)
    if isinstance(error, OSError):
        return error.errno in OUT_OF_REACH or isinstance(error, ConnectionError)
    alchemy, grpc = sys.modules.get("sqlalchemy.exc"), sys.modules.get("grpc")
    if alchemy is not None and isinstance(error, alchemy.SQLAlchemyError):
        return _is_database_outage(error, alchemy)
    if grpc is not None and isinstance(error, grpc.RpcError):
        away = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        return bool(error.code() in away)
    return is_outage(error.__cause__)


def _is_database_outage(error: Any, alchemy: Any) -> bool:
    # of the pool; after an outage that Optuna itself has caught
    if isinstance(error, (alchemy.TimeoutError, alchemy.PendingRollbackError)):
        return True
    if not isinstance(error, alchemy.DBAPIError):
        return False
    if type(error.orig).__module__ == "sqlite3":
        return any(word in str(error.orig) for word in ("locked", "disk I/O error"))
    lost = isinstance(error, (alchemy.OperationalError, alchemy.InterfaceError))
    return lost or bool(error.connection_invalidated)


def _of_the_disk(error: BaseException | None) -> OSError | None:
    """The system's error for what SQLite says of a disk that cannot be written; None for others."""
    while error is not None:
        original = getattr(error, "orig", None) or error
        if type(original).__module__ == "sqlite3":
            number = next((n for words, n in OF_THE_DISK.items() if words in str(original)), None)
            return None if number is None else OSError(number, os.strerror(number))
        error = error.__cause__
    return None


def in_short(error: BaseException) -> str:
    """The first line of what the driver said."""
    while error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "orig", None) or error
    details = getattr(said, "details", None)  # of gRPC, whose str() is a paragraph
    text = str(details() if callable(details) else said).strip() or type(said).__name__
    return text.splitlines()[0].rpartition("failed: ")[2].rstrip(".")


class _Repeated:
    """A method of the storage behind, called by `RetryingStorage._call`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, storage: RetryingStorage | None, owner: type) -> Any:
        if storage is None:
            return self
        return lambda *args, **named: storage._call(self._name, args, named)


class RetryingStorage(BaseStorage):
    """Another storage, each of whose calls is repeated while it cannot be reached.

    An answer can be lost after the work was done, so only what may be done twice is repeated:
    within `Retries.in_section`, where trials are made and change their states, nothing is.
    """

    create_new_study: Any = _Repeated()
    delete_study: Any = _Repeated()
    set_study_user_attr: Any = _Repeated()
    set_study_system_attr: Any = _Repeated()
    get_study_id_from_name: Any = _Repeated()
    get_study_name_from_id: Any = _Repeated()
    get_study_directions: Any = _Repeated()
    get_study_user_attrs: Any = _Repeated()
    get_study_system_attrs: Any = _Repeated()
    get_all_studies: Any = _Repeated()
    create_new_trial: Any = _Repeated()
    set_trial_param: Any = _Repeated()
    get_trial_id_from_study_id_trial_number: Any = _Repeated()
    set_trial_state_values: Any = _Repeated()
    set_trial_intermediate_value: Any = _Repeated()
    set_trial_user_attr: Any = _Repeated()
    set_trial_system_attr: Any = _Repeated()

    def __init__(
        self,
        storage: BaseStorage,
        retries: Retries,
        turn: AbstractContextManager[object] | None = None,
    ) -> None:
        """turn: held during each call, where the processes must use the storage one by one."""
        self._storage, self._retries = storage, retries
        self._turn = turn or nullcontext()

    def _call(self, name: str, args: Any, named: Any) -> Any:
        def call() -> Any:
            try:
                with self._turn:
                    return getattr(self._storage, name)(*args, **named)
            except Exception as error:
                raise _of_the_disk(error) or error from error.__cause__

        view = self._retries.section.view
        if view is None:
            return with_retries(self._retries, call)
        answer = call()
        view.note(name, [*args, *named.values()], answer)
        return answer

    def get_trial(self, trial_id: int) -> FrozenTrial:
        view = self._retries.section.view
        if view is None:
            trial: FrozenTrial = self._call("get_trial", (trial_id,), {})
            return trial
        with self._turn:
            return view.trial(self._storage, trial_id)

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """Within a section from its view, which reads each trial once."""
        view, trials = self._retries.section.view, list[FrozenTrial]()
        if view is None:
            trials = self._call("get_all_trials", (study_id, deepcopy, states), {})
            return trials
        with self._turn:
            trials = view.trials(self._storage, study_id)
        chosen = [t for t in trials if states is None or t.state in states]
        return copy.deepcopy(chosen) if deepcopy else chosen

    def remove_session(self) -> None:
        self._storage.remove_session()
