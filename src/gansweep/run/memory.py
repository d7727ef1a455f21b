"""What the C library does with memory that PyTorch frees."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST, LARGEST_BEFORE = 2**30, 2**25  # bytes; glibc before 2.35 takes no more than the second


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, for the next tensor.   Returns: whether it does now.

    glibc gives tensors of megabytes back to the system at each step and gets them again as empty
    pages: 10,000 page faults in a step of a DCGAN at 28x28, and a tenth of its time on a CPU. A
    process then stays about as large as it was at its largest.
    Left alone: other C libraries, and a process for which MALLOC_TRIM_THRESHOLD_,
    MALLOC_MMAP_THRESHOLD_ or GLIBC_TUNABLES sets the allocator.
    """
    set_by_user = {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys()
    if set_by_user or "glibc.malloc." in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return False
    in_heap = any(mallopt(MMAP_THRESHOLD, size) == 1 for size in (LARGEST, LARGEST_BEFORE))
    return in_heap and mallopt(TRIM_THRESHOLD, LARGEST) == 1
