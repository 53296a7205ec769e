"""`policy.path`: a folder, or the archive of a compiled bundle, watched. Nothing is copied or kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.policy.engines.bundle import listed
from gateway.policy.sources.base import Found

Fingerprint = tuple[tuple[str, int, int, int, int], ...]


class Folder:
    """A folder of Rego modules and data."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def open(self) -> Found:
        """The folder as it is now. The reader checks whether it is a bundle."""
        return await self.look()

    async def look(self) -> Found:
        """The folder as it is now."""
        return Found(Path(self._path), await asyncio.to_thread(fingerprint, self._path), f"folder {self._path}")

    async def settled(self, found: Found, version: str) -> None:
        """No effect: the folder itself stays."""

    def last_good(self) -> tuple[Found, str] | None:
        """None: a start with a broken folder is refused, so that the mistake is noticed."""
        return None

    async def close(self) -> None:
        """No effect: nothing is open."""


def fingerprint(path: str) -> Fingerprint:
    """A value that changes with the files of the bundle: names, sizes, times.

    Also inodes and their times, because another folder with equal sizes and dates may replace the folder.
    """
    found = []
    root = Path(path)
    for file in [root] if root.is_file() else [*listed(root), root / "policy.wasm"]:
        try:
            stat = file.stat()
        except OSError:  # deleted meanwhile, or a broken link, whose appearance is a change
            found.append((str(file), 0, 0, 0, 0))
            continue
        found.append((str(file), stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size))
    return tuple(found)
