"""What the C library does with memory that PyTorch frees."""

import ctypes
import os

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of glibc's mallopt
LARGEST = 2**30  # bytes


def keep_freed_memory() -> bool:
    """Let the process keep what it frees, for the next tensor.   Returns: whether it does now.

    glibc gives tensors of megabytes back to the system at each step and gets them again as empty
    pages: 10,000 page faults in a step of a DCGAN at 28x28, and a tenth of its time on a CPU. A
    process then stays as large as it was at its largest.
    Left alone: other C libraries, and a process whose MALLOC_TRIM_THRESHOLD_ or
    MALLOC_MMAP_THRESHOLD_ is set.
    """
    if {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & os.environ.keys():
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # no glibc
        return False
    return all(mallopt(option, LARGEST) == 1 for option in (MMAP_THRESHOLD, TRIM_THRESHOLD))
