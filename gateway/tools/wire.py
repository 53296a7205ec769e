"""The interface of a connection to an MCP server. `http` and `stdio` implement it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, Protocol

from gateway.call import Json
from gateway.dialects.jsonrpc import UNKNOWN_METHOD
from gateway.dialects.mcp import HANDSHAKE, MODERN
from gateway.errors import Refusal

OFFERED: Final = HANDSHAKE[-1]
"""The version that the gateway offers a server."""
NO_HEADERS: Final[Mapping[str, str]] = {}
Hold = Callable[[int], None]
"""Called with the size of each piece of an answer before it is kept; may raise Refusal."""

Relay = Callable[[Json], Awaitable[None]]
"""Called with each notification that a server sends before its answer to a call; may raise Refusal."""


NOTICES: Final = 1000
"""Notifications of a server before one answer that are passed on."""
CHANGED: Final = "notifications/tools/list_changed"


class Session(NamedTuple):
    """A session with a server: its version of the protocol, and the id that the server gave, if any."""

    version: str
    id: str = ""

    @property
    def modern(self) -> bool:
        """Whether the version has no sessions."""
        return self.version == MODERN


UNOPENED: Final = Session("")
"""The session of a client whose user has no account at the server yet: there is none with the server."""


class SessionLost(Exception):
    """The server does not know the session any more. Nothing was done."""


class TokenRefused(Exception):
    """The server refused the token that the gateway sent (HTTP 401). Nothing was done."""


class Wire(Protocol):
    """One server. Every method raises Refusal(upstream_error, upstream_timeout).

    `bearer`: the token of `Authorization: Bearer`, "" for none. A server that refuses the token raises TokenRefused.
    """

    async def open(self, bearer: str = "") -> tuple[Session, Json]:
        """Open a session; returns what the server said of itself: capabilities, serverInfo, instructions."""
        ...

    async def ask(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        headers: Mapping[str, str] = NO_HEADERS,
        bearer: str = "",
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request; returns the response as the server wrote it. Raises SessionLost.

        `headers`: of arguments, for servers of the later era. `relay`: None if nobody waits for notifications.
        """
        ...

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """Send a notification."""
        ...

    async def end(self, session: Session, bearer: str = "") -> None:
        """End a session. Faults are ignored."""
        ...

    async def close(self) -> None:
        """End the connection."""
        ...

    def follow(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when the server says that its list of tools has changed."""
        ...


class Unanswered(Refusal):
    """A server did not answer, or said that it cannot: a failure of the server, whatever the call is."""


def broken(server: str, what: str, *, late: bool = False, down: bool = False) -> Refusal:
    """The refusal for a server that does not answer as it should; `what` completes the sentence.

    `late`: there was no answer in time. `down`: there was no answer for another reason.
    """
    code = "upstream_timeout" if late else "upstream_error"
    kind = Unanswered if late or down else Refusal
    return kind(code, f"The tool server {server} {what}. Try again later.", stage="upstream")


def reply(question: Json) -> Json:
    """The response to a request of the server: a ping is answered, all else is not served."""
    if question["method"] == "ping":
        return {"jsonrpc": "2.0", "id": question.get("id"), "result": {}}
    error = {"code": UNKNOWN_METHOD, "message": "The gateway answers no questions of servers."}
    return {"jsonrpc": "2.0", "id": question.get("id"), "error": error}


def borne(bearer: str) -> list[tuple[str, str]]:
    """The header of a credential."""
    return [("Authorization", f"Bearer {bearer}")] if bearer else []


class InTime:
    """The time limit of one exchange as a refusal."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._limit = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._limit.__aenter__()

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        try:
            await self._limit.__aexit__(kind, fault, None)
        except TimeoutError:
            raise broken(self._name, "did not answer in time", late=True) from None


def unheld(size: int) -> None:
    """Count nothing: for what is bounded otherwise."""
