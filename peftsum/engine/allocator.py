"""How the C library's allocator treats the large blocks of a training step."""

from __future__ import annotations

import ctypes
import platform

# <malloc.h>, glibc: freed blocks beyond these go back to the kernel, and are paged in anew, zeroed, by the next step
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP_BYTES = (1 << 31) - 1
LARGEST_MMAP_BYTES = 1 << 25  # DEFAULT_MMAP_THRESHOLD_MAX on 64 bits: glibc refuses more


def keep_freed_memory() -> bool:
    """Let the process keep what it frees; True where the C library has the means (glibc), which lasts for its life."""
    if platform.system() != "Linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    done = [mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_BYTES), mallopt(M_TRIM_THRESHOLD, KEEP_BYTES)]
    return all(done)
