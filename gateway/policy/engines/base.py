"""What every engine is: a bundle that judges documents, and the one way in which judging fails."""

from __future__ import annotations

from typing import Protocol

from gateway.call import Json

ENTRYPOINT = "gateway/decision"


class PolicyUnavailable(Exception):
    """There is no verdict (an error, a timeout, an undefined result), so the call is denied; the words say why."""


class Engine(Protocol):
    """One bundle, ready to judge. A change of the bundle is another engine, never a change of this one."""

    @property
    def version(self) -> str:
        """The digest of the bundle that judges."""
        ...

    async def open(self) -> None:
        """Make ready. Raises PolicyUnavailable if a server that it needs is away."""
        ...

    async def decide(self, document: Json) -> Json:
        """`data.gateway.decision` for one input. Shared between calls: not to be changed. Raises PolicyUnavailable."""
        ...

    async def ping(self) -> None:
        """Return if it can judge now. Raises PolicyUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of what it holds."""
        ...
