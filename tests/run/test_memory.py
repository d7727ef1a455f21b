"""What the C library does with freed memory, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

from gansweep.run.memory import MMAP_THRESHOLD, TRIM_THRESHOLD, keep_freed_memory

ONLY_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
FAULTS = """
import ctypes, resource, sys
from gansweep.run.memory import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "keep" else None)
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
before = 0
for _ in range(6):
    places = [ctypes.c_void_p(c.malloc(2**24)) for _ in range(4)]
    for place in places:
        c.memset(place, 1, 2**24)
    for place in places:
        c.free(place)
    now = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    before, faults = now, now - before
print(faults)
"""
PAGES = 2**26 // os.sysconf("SC_PAGE_SIZE")


def said(what: str, **variables: str) -> list[str]:
    others = {k: v for k, v in os.environ.items() if not k.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", FAULTS, what]
    given = {**others, **variables}
    return subprocess.check_output(command, env=given, text=True).split()


def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)


@ONLY_GLIBC
def test_memory_that_was_freed_comes_without_page_faults() -> None:
    _, faults = said("leave")
    assert int(faults) > 0.9 * PAGES, "glibc gives 64 MB back each time"
    kept, faults = said("keep")
    assert kept == "True"
    assert int(faults) < 0.01 * PAGES


@ONLY_GLIBC
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MALLOC_TRIM_THRESHOLD_", "1000000"),
        ("MALLOC_MMAP_THRESHOLD_", "1000000"),
        ("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=1000000"),
    ],
)
def test_a_setting_of_the_users_stays(name: str, value: str) -> None:
    assert said("keep", **{name: value})[0] == "False"


def test_older_glibc_gets_the_most_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: dict[int, int] = {}

    class Older:
        @staticmethod
        def mallopt(option: int, size: int) -> int:
            if option == MMAP_THRESHOLD and size > 2**25:
                return 0
            taken[option] = size
            return 1

    unset(monkeypatch)
    monkeypatch.setattr("ctypes.CDLL", lambda name: Older)
    assert keep_freed_memory() is True
    assert taken == {MMAP_THRESHOLD: 2**25, TRIM_THRESHOLD: 2**30}


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    unset(monkeypatch)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert keep_freed_memory() is False
