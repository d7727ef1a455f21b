"""What the C library does with freed memory, in processes of their own."""

import os
import platform
import subprocess
import sys

import pytest

from gansweep.run.memory import keep_freed_memory

ONLY_GLIBC = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
FAULTS = """
import ctypes, resource, sys
from gansweep.run.memory import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "keep" else None)
c = ctypes.CDLL(None)
c.malloc.restype = ctypes.c_void_p
before = 0
for _ in range(6):
    place = ctypes.c_void_p(c.malloc(2**26))
    c.memset(place, 1, 2**26)
    c.free(place)
    now = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    before, faults = now, now - before
print(faults)
"""
PAGES = 2**26 // os.sysconf("SC_PAGE_SIZE")


def said(what: str, **variables: str) -> list[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")} | variables
    command = [sys.executable, "-c", FAULTS, what]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@ONLY_GLIBC
def test_memory_that_was_freed_comes_without_page_faults() -> None:
    _, faults = said("leave")
    assert int(faults) > 0.9 * PAGES, "glibc gives 64 MB back each time"
    kept, faults = said("keep")
    assert kept == "True"
    assert int(faults) < 0.01 * PAGES


@ONLY_GLIBC
@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"])
def test_a_setting_of_the_users_stays(name: str) -> None:
    assert said("keep", **{name: "1000000"})[0] == "False"


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert keep_freed_memory() is False
