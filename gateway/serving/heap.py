"""The heap of the process: garbage collection, freed memory, and huge pages.

A call touches memory all over the heap. With pages of 4 kB, most of these accesses miss the address cache of the
processor, and in a virtual machine each miss walks two page tables. With pages of 2 MB, a call takes 10 to 15 % less
CPU time (docs/decisions/0008). Moving a MB takes about 4 ms. Only ranges that are mostly in memory move, so that the
process hardly grows. This needs Linux 6.1 (`madvise(2)`, MADV_COLLAPSE); elsewhere, and where the administrator has
switched huge pages off, nothing moves.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

HUGE: Final = 2 * 1024 * 1024
"""Bytes of a huge page."""
_PAGE: Final = 4096
_PAGES: Final = HUGE // _PAGE
_LEAST: Final = _PAGES * 3 // 4  # minimum number of pages in memory of a range that moves
_COLLAPSE: Final = 25
_PRESENT: Final = 1 << 63  # of an entry in /proc/self/pagemap
_SWITCH: Final = Path("/sys/kernel/mm/transparent_hugepage/enabled")
_SELF: Final = Path("/proc/self")


def settle() -> None:
    """Exclude the objects of the start from garbage collection: a full collection would block the loop for 60 ms.

    The objects of calls are mostly freed by reference counts, so cycles are collected less often.
    """
    gc.collect()
    trim()
    gc.freeze()
    gc.set_threshold(10_000, 5, 400)  # a step of 50,000 objects takes 5 ms


def trim() -> None:
    """Return freed memory in the middle of the heap to the system; takes about a millisecond. glibc only."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


class Range(NamedTuple):
    """Memory of the process from address `start` up to `end`."""

    start: int
    end: int


def heap(maps: str) -> Iterator[Range]:
    """The ranges of private writable memory without a file in the text of `/proc/self/maps` (proc_pid_maps(5))."""
    for line in maps.splitlines():
        place, mode, _, _, _, *name = line.split(maxsplit=5)
        if mode == "rw-p" and (not name or name[0] == "[heap]"):
            start, _, end = place.partition("-")
            yield Range(int(start, 16), int(end, 16))


def spans(one: Range) -> range:
    """The addresses of the huge pages that fit into a range."""
    return range(-(-one.start // HUGE) * HUGE, one.end - HUGE + 1, HUGE)


def collapse(ended: Callable[[], bool] = lambda: False) -> int:
    """Move the heap onto huge pages; returns their number, 0 where the system does not offer this.

    For a thread. Stops early once `ended` says so.
    """
    try:
        if not sys.platform.startswith("linux") or "[never]" in _SWITCH.read_text():
            return 0
        advise = ctypes.CDLL(None).madvise
        advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        huge = 0
        with (_SELF / "pagemap").open("rb", buffering=0) as pagemap:
            for one in heap((_SELF / "maps").read_text()):
                for start in spans(one):
                    if ended():
                        return huge
                    pagemap.seek(start // _PAGE * 8)
                    present = sum(entry >= _PRESENT for entry in array("Q", pagemap.read(_PAGES * 8)))
                    if present >= _LEAST:
                        huge += advise(start, HUGE, _COLLAPSE) == 0
        return huge
    except (OSError, AttributeError, ValueError):
        return 0
