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
        """What is there now; whether it is a bundle is for its reader to say."""
        return await self.look()

    async def look(self) -> Found:
        """What is there now."""
        return Found(Path(self._path), await asyncio.to_thread(fingerprint, self._path), f"folder {self._path}")

    async def settled(self, found: Found, version: str) -> None:
        """The folder is its own copy."""

    def last_good(self) -> tuple[Found, str] | None:
        """None: a start with a broken folder is refused, where whoever broke it can see that."""
        return None

    async def close(self) -> None:
        """Nothing is open."""


def fingerprint(path: str) -> Fingerprint:
    """What would be different if a file of the bundle had changed: names, sizes, times.

    The inode and its time too: a folder may be swapped for one of the same sizes and dates.
    """
    found = []
    root = Path(path)
    for file in [root] if root.is_file() else [*listed(root), root / "policy.wasm"]:
        try:
            stat = file.stat()
        except OSError:  # gone, or a link to nothing: that it appeared is a change
            found.append((str(file), 0, 0, 0, 0))
            continue
        found.append((str(file), stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size))
    return tuple(found)
