"""The page to play with a run, served by a thread of this process."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from gansweep.cli.ui import _listening
from gansweep.inference.opened import open_run
from gansweep.inference.play.drawing import Player
from gansweep.inference.play.server import application
from gansweep.inference.request import Use


@contextlib.contextmanager
def served(run: Path) -> Iterator[str]:
    """The page's address."""
    listening = _listening(0)
    port = listening.getsockname()[1]
    app = application(Player(open_run(Use(run, accelerator="cpu"))), "token", port)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{port}/token/"
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
