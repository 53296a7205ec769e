"""Moving the heap onto huge pages: which ranges, what happens to their content, and when nothing may happen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.serving import heap
from gateway.serving.heap import HUGE, Range

MAPS = """\
555555554000-555555556000 r--p 00000000 fe:00 1 /usr/bin/python3
5555556a0000-555559ea0000 rw-p 00000000 00:00 0 [heap]
7f0000000000-7f0000a00000 rw-p 00000000 00:00 0
7f0001000000-7f0001a00000 rw-s 00000000 00:01 9 /dev/zero (deleted)
7f0002000000-7f0002a00000 rw-p 00000000 fe:00 2 /var/lib/a file.db
7f0003000000-7f0003a00000 ---p 00000000 00:00 0
7ffd00000000-7ffd00a00000 rw-p 00000000 00:00 0 [stack]
"""


def test_only_private_memory_without_a_file_moves() -> None:
    assert list(heap.heap(MAPS)) == [
        Range(0x5555556A0000, 0x555559EA0000),
        Range(0x7F0000000000, 0x7F0000A00000),
    ]


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [(0, HUGE, 1), (1, HUGE, 0), (4096, 2 * HUGE, 1), (HUGE - 4096, 3 * HUGE + 4096, 2), (4096, HUGE + 4095, 0)],
)
def test_huge_pages_lie_within_a_range(start: int, end: int, count: int) -> None:
    pages = heap.spans(Range(start, end))
    assert len(pages) == count
    assert all(page % HUGE == 0 and start <= page and page + HUGE <= end for page in pages)


MOVES = """
import mmap
from pathlib import Path
from gateway.serving import heap

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

full, empty = (mmap.mmap(-1, 8 * heap.HUGE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) for _ in range(2))
pattern = bytes(range(256)) * 16
for at in range(0, len(full), len(pattern)):
    full[at : at + len(pattern)] = pattern
empty[0] = 1  # one page in memory
heap.collapse()
before = resident()
empty[4096] = 1
heap.collapse()
assert full[:] == pattern * (len(full) // len(pattern)), "the content changed"
assert resident() - before < 4 * heap.HUGE, "holes were filled"
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="huge pages are a feature of Linux")
def test_what_moves_keeps_its_content_and_holes_stay_holes() -> None:
    done = subprocess.run([sys.executable, "-c", MOVES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_administrator_can_switch_huge_pages_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    switch = tmp_path / "enabled"
    switch.write_text("always madvise [never]\n")
    monkeypatch.setattr(heap, "_SWITCH", switch)
    assert heap.collapse() == 0


def test_a_system_without_huge_pages_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap, "_SWITCH", tmp_path / "enabled")
    assert heap.collapse() == 0


def test_a_stop_ends_the_pass() -> None:
    assert heap.collapse(lambda: True) == 0
