"""How the C library's allocator treats the large blocks of a training step, and what oneDNN keeps beside them."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from contextlib import suppress

# <malloc.h>, glibc: freed blocks beyond these go back to the kernel, and are paged in anew, zeroed, by the next step
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEEP_BYTES = (1 << 31) - 1
LARGEST_MMAP_BYTES = 1 << 25  # DEFAULT_MMAP_THRESHOLD_MAX on 64 bits: glibc refuses more

# A compiled kernel with its scratch for each shape of a bf16 product, in torch's and in oneDNN's own cache of 1 024.
# Packed batches bring new shapes in every step, which rarely come again, but come in each layer of it: where a step has
# more than are kept, each layer compiles them anew; more are memory for little (docs/performance.md, "Kernels kept").
KERNEL_CACHES = {"LRU_CACHE_CAPACITY": "128", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "128"}


def bound_kernel_caches() -> None:
    """Let torch and oneDNN keep fewer compiled kernels; a value that the user has set stays.

    They read it once, at the first product that they compute, so it must be called before that.
    """
    for name, capacity in KERNEL_CACHES.items():
        os.environ.setdefault(name, capacity)


def give_back_freed_memory() -> None:
    """Return to the kernel what the process has freed but still holds (malloc_trim(3)), where the C library can."""
    if platform.system() == "Linux":
        with suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def forget_earlier_work() -> None:
    """Let go of what ended work left in this process, so that the peak memory of what follows is its own.

    A model goes with the collector, since its modules point at each other; and what a training freed stays resident
    after :func:`keep_freed_memory`.
    """
    gc.collect()
    give_back_freed_memory()


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
