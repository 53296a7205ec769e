"""The interface of a connection to an MCP server. `http` and `stdio` implement it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final, NamedTuple, Protocol

import orjson

from gateway.call import Json
from gateway.dialects.jsonrpc import INVALID, UNKNOWN_METHOD, Fault
from gateway.dialects.mcp_names import HANDSHAKE, MODERN
from gateway.errors import Refusal

OFFERED: Final = HANDSHAKE[-1]
"""The version that the gateway offers a server."""
NO_HEADERS: Final[Mapping[str, str]] = {}
NOTHING: Final[Json] = {}
Hold = Callable[[int], None]
"""Called with the size of each piece of an answer before it is kept; may raise Refusal."""


Told = AsyncGenerator[tuple[Json, str], None] | None
"""The messages of a stream, each with the id of its event, "" without one; empty for an event that has no message."""


class Relay(Protocol):
    """Takes what a server sends before its answer to a call. A Refusal of `tell` or `ask` ends the call."""

    def begin(self, session: Session) -> None:
        """The call leaves in this session."""
        del session

    async def tell(self, said: Json) -> None:
        """Take a notification."""
        ...

    async def ask(self, question: Json) -> Json | None:
        """Take a question; returns the error for the server, or None if the client will answer."""
        ...


NOTICES: Final = 1000
"""Notifications of a server before one answer that are passed on."""
QUESTIONS: Final = 16
"""Questions of a server before one answer; one more ends the call."""
CHANGED: Final = "notifications/tools/list_changed"


class Session(NamedTuple):
    """A session with a server: its version of the protocol, and the id that the server gave, if any."""

    version: str
    id: str = ""
    able: Json = NOTHING
    """What can be asked of the client of a request, as capabilities."""
    holder: tuple[str, ...] = ()
    """Team, agent, sub-agent, and the session of the client that calls in it; () if that does not matter."""
    level: str = ""
    """The level from which the client of a request wants the log of a process; "" if it wants none."""

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

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """Open a session; returns what the server said of itself: capabilities, serverInfo, instructions.

        `able`: what the client of the session can be asked, as capabilities.
        """
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

        `headers`: of arguments, for servers of the later era. `relay`: None if nobody waits for what comes before.
        """
        ...

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """Open the stream of what a server tells without a request; None if it has none. Raises SessionLost.

        `last`: the id of the event after which the stream goes on. `message`: the request for the stream, in the later
        era.
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


def asked_too_much(server: str) -> Refusal:
    """The refusal for a server that asks without end."""
    return broken(server, f"asked more than {QUESTIONS} questions before its answer")


def unasked() -> Refusal:
    """The refusal for an answer to a question that waits no more."""
    words = "The call in which this was asked has ended, or another gateway has the call. Call again."
    return Fault(INVALID, words, status=400)


def reply(question: Json, error: Json | None = None) -> Json:
    """The response of the gateway to a request of the server: a ping is answered, all else is refused."""
    if question["method"] == "ping":
        return {"jsonrpc": "2.0", "id": question.get("id"), "result": {}}
    error = error or {"code": UNKNOWN_METHOD, "message": "The gateway answers no questions of servers."}
    return {"jsonrpc": "2.0", "id": question.get("id"), "error": error}


def parsed(raw: bytes) -> Json:
    """A message of a server; empty if the bytes are not a JSON object."""
    try:
        said = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return said if type(said) is dict else {}


def written(server: str, said: Json) -> bytes:
    """A message of a server that was edited. Raises Refusal if the message is nested too deep."""
    try:
        return orjson.dumps(said)
    except orjson.JSONEncodeError:
        raise broken(server, "answered with something that is nested too deep") from None


def borne(bearer: str) -> list[tuple[str, str]]:
    """The header of a credential."""
    return [("Authorization", f"Bearer {bearer}")] if bearer else []


class InTime:
    """The time limit of one exchange as a refusal."""

    def __init__(self, name: str, seconds: float) -> None:
        self._name = name
        self._limit = asyncio.timeout(seconds)
        self._extended = False

    async def __aenter__(self) -> InTime:
        await self._limit.__aenter__()
        return self

    def extend(self, seconds: float) -> None:
        """Move the end; at most once."""
        if not self._extended and (end := self._limit.when()) is not None:
            self._extended = True
            self._limit.reschedule(end + seconds)

    async def __aexit__(self, kind: type[BaseException] | None, fault: BaseException | None, trace: object) -> None:
        try:
            await self._limit.__aexit__(kind, fault, None)
        except TimeoutError:
            if self._extended:  # nobody knows whether the client or the server is late
                words = f"The tool server {self._name} asked the client something, and the call took too long."
                raise Refusal("upstream_timeout", words, stage="upstream") from None
            raise broken(self._name, "did not answer in time", late=True) from None


def unheld(size: int) -> None:
    """Count nothing: for what is bounded otherwise."""
