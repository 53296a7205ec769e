"""What every source of bundles is."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple, Protocol


class SourceError(Exception):
    """The source cannot give a bundle now; the words say why, and hold no secret."""


class Found(NamedTuple):
    """A bundle on disk: its root, a mark that differs where the bundle may differ, and for people, where it is from."""

    root: Path
    mark: Hashable
    origin: str


class Reports(Protocol):
    """Who is told of a change: None when it took effect, else why it was refused."""

    def reloaded(self, what: str, problem: str | None) -> None: ...


class Source(Protocol):
    """Brings bundles to disk."""

    async def open(self) -> Found:
        """The bundle to begin with. Raises SourceError."""
        ...

    async def look(self) -> Found:
        """The newest bundle; quick, for it is asked several times a second."""
        ...

    async def settled(self, found: Found, version: str) -> None:
        """This bundle is in force: keep it for the day on which the source is away."""
        ...

    def last_good(self) -> tuple[Found, str] | None:
        """The bundle kept last, and its version; None where there is none."""
        ...

    async def close(self) -> None:
        """Stop looking."""
        ...
