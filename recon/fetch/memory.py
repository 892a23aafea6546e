"""Memory: what a page was held in stays with the process for the next page, instead of going back to the kernel in between."""

import ctypes
import functools
import os
from contextlib import suppress

MIB = 1024 * 1024
#: Names of glibc's malloc.h (https://man7.org/linux/man-pages/man3/mallopt.3.html, read 2026-11).
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
#: A page of 100 records is held five times over on its way: as it came, decoded, as items, as one text, as a frame.
HELD = 16 * MIB
SINGLE = 4 * MIB
SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")


@functools.cache
def hold_on() -> None:
    """Lets glibc keep up to 16 MiB of what is freed at a heap's end, of which each thread has one.

    By default it keeps 128 KiB, less than a page of a listing: some 80 pages of memory are then taken from the kernel, cleared and given
    back for each page of records, a tenth of what the fetch costs. Another C library, or a setting of the environment's own, is left alone.
    """
    if any(name in os.environ for name in SETTINGS):
        return
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, SINGLE)
        mallopt(M_TRIM_THRESHOLD, HELD)
