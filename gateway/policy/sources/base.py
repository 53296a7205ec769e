"""The interface of all sources of bundles."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple, Protocol


class SourceError(Exception):
    """The source has no usable bundle now. The message says why, and contains no secret."""


class Found(NamedTuple):
    """A bundle on disk: its root, a mark that changes whenever the bundle may have changed, its origin in words."""

    root: Path
    mark: Hashable
    origin: str


class Reports(Protocol):
    """Receives changes of a bundle."""

    def reloaded(self, what: str, problem: str | None) -> None:
        """A bundle took effect (`problem` is None), or was refused."""


class Source(Protocol):
    """Puts bundles on disk."""

    async def open(self) -> Found:
        """The first bundle. Raises SourceError."""
        ...

    async def look(self) -> Found:
        """The newest bundle. Fast: called several times a second."""
        ...

    async def settled(self, found: Found, version: str) -> None:
        """The bundle took effect: keep it for a start without the source."""
        ...

    def last_good(self) -> tuple[Found, str] | None:
        """The bundle that took effect last, and its version; None if no bundle is kept."""
        ...

    async def close(self) -> None:
        """Stop checking."""
        ...
