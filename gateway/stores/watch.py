"""Detects that a SQLite file was deleted, replaced, truncated or overwritten while a process writes to it.

SQLite would continue with the pages in its memory, and the gateway would admit calls whose reservations are lost.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from gateway.stores.writer import Writer, connect

_MAGIC = b"SQLite format 3\0"  # the first bytes of every database (sqlite.org/fileformat2.html, 1.2)
_HEADER = 100
_STAMP = slice(68, 72)  # the application id in the header


class Watch:
    """Watches the file of a writer. `look` costs two `stat` calls and one read; call it about once a second.

    The descriptor stays open until `close`, which must be called after every connection of this process to the file
    has been closed: closing any descriptor of a file releases all locks of the process on it (fcntl(2)).
    `alone`: no other process watches the file. Then each start has a stamp of its own, and a copy that was made before
    the start is told from the file too.
    """

    def __init__(self, writer: Writer, *, alone: bool = False) -> None:
        self._writer = writer
        self._path = Path(writer.path)
        stamp = _stamp(self._path, alone=alone)
        self._file = os.open(self._path, os.O_RDONLY)
        self._log = _identity(f"{self._path}-wal")
        # The stamp may reach the header later, if a reader keeps the checkpoint from finishing.
        self._stamps = {stamp, os.pread(self._file, _HEADER, 0)[_STAMP]}
        self._suspect = ""

    def look(self) -> None:
        """Give up the writer if the file has the same problem at two consecutive checks.

        A single check may coincide with a checkpoint, which writes the pages one by one.
        """
        problem = self._problem()
        if problem and problem == self._suspect:
            self._writer.give_up(problem)
        self._suspect = problem

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._file)

    def _problem(self) -> str:
        status = os.fstat(self._file)
        if _identity(self._path) != (status.st_dev, status.st_ino):
            return "the file was deleted or replaced while the gateway was running"
        if _identity(f"{self._path}-wal") != self._log:
            return "the write-ahead log (-wal) was deleted or replaced while the gateway was running"
        header = os.pread(self._file, _HEADER, 0)
        if len(header) < _HEADER or not header.startswith(_MAGIC) or header[_STAMP] not in self._stamps:
            return "the file was truncated or overwritten while the gateway was running"
        page = int.from_bytes(header[16:18], "big")
        pages = int.from_bytes(header[28:32], "big")
        if pages * (65536 if page == 1 else page) > status.st_size:
            return "the file was truncated while the gateway was running"
        return ""


def unstamp(connection: sqlite3.Connection) -> None:
    """Remove the stamp from a copy of a watched file."""
    connection.execute("PRAGMA application_id = 0")


def _stamp(path: Path, *, alone: bool) -> bytes:
    """Write a random application id into the header on disk, so that overwriting by another file is detected."""
    with closing(connect(path)) as connection:
        # Workers that start together agree on one stamp: the second finds that of the first.
        connection.execute("BEGIN IMMEDIATE")
        (stamp,) = connection.execute("PRAGMA application_id").fetchone()
        if alone or stamp == 0:
            stamp = secrets.randbelow(2**31 - 1) + 1
            connection.execute(f"PRAGMA application_id = {stamp}")
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return int(stamp).to_bytes(4, "big", signed=True)


def _identity(path: str | Path) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None
