"""The interface of all engines, and the exception for a failed evaluation."""

from __future__ import annotations

from typing import Protocol

from gateway.call import Json

ENTRYPOINT = "gateway/decision"


class PolicyUnavailable(Exception):
    """There is no verdict (an error, a timeout, an undefined result), so the call is denied. The message says why."""


class Engine(Protocol):
    """One bundle, ready to judge. A changed bundle gets a new engine; an engine never changes."""

    @property
    def version(self) -> str:
        """The digest of the bundle."""
        ...

    async def open(self) -> None:
        """Prepare the engine. Raises PolicyUnavailable if a server that the engine needs does not answer."""
        ...

    async def decide(self, document: Json) -> Json:
        """`data.gateway.decision` for one input. The result is shared: do not change it. Raises PolicyUnavailable."""
        ...

    async def ping(self) -> None:
        """Return if the engine can judge now. Raises PolicyUnavailable."""
        ...

    async def close(self) -> None:
        """Release threads and connections."""
        ...
