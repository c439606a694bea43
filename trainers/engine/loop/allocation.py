"""Memory between the steps of training on a CPU."""

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4
"""Parameters of mallopt(3), as <malloc.h> numbers them."""


def keep_freed_memory() -> None:
    """Have glibc keep the large blocks that every step frees and asks for again.

    Given back to the kernel they are zeroed page by page on the way in again, a third of the time of a small model's
    step. Without glibc nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return
    mallopt(MMAP_MAX, 0)
    mallopt(TRIM_THRESHOLD, 2**31 - 1)
