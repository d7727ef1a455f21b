"""Ways that are compared, each in a process of its own: what one sets there reaches no other."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from typing import TypeVar

import torch

Result = TypeVar("Result", float, dict[str, float])


def apart(way: Callable[[], Result], device: str) -> Result:
    """What the way returns, found in a fork of this process on a CPU with one thread.

    With more threads, or on a GPU, whose state no fork has, it is called here.
    Raises: SystemExit where it fails; its traceback is printed.
    """
    if device != "cpu" or torch.get_num_threads() > 1:
        return way()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        code = 1
        try:
            os.write(writing, json.dumps(way()).encode())  # fewer bytes than a pipe holds
            code = 0
        except BaseException:
            traceback.print_exc()
        os._exit(code)
    os.close(writing)
    with open(reading, "rb") as answer:
        said = answer.read()
    if os.waitpid(child, 0)[1] != 0:
        raise SystemExit("one of the compared ways failed: its error is above")
    found: Result = json.loads(said)
    return found
