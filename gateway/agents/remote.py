"""A connection to another agent over HTTP. Config key: `a2a`. No redirect is followed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

import orjson
from multidict import CIMultiDict
from yarl import URL

from gateway.agents import card
from gateway.agents.card import Interface
from gateway.agents.signed import verified
from gateway.call import Json
from gateway.config.a2a import RemoteAgent
from gateway.dialects import a2a_called, items, surrogates
from gateway.dialects.a2a_rest import KIND
from gateway.dialects.a2a_tables import DOES, READS, SENDS
from gateway.errors import Refusal
from gateway.tools.breaker import Breaker, Breakers
from gateway.tools.wire import Unanswered
from gateway.upstream.bodies import begun, received
from gateway.upstream.client import Client, Destination, Response, Timeouts

Hold = Callable[[int], None]
"""Called with the size of each piece of an answer before it is kept; may raise Refusal."""
_PAUSE: Final = 1.0  # seconds after a fault in which the card is not read again
_EVENTS: Final = "text/event-stream"


class Remote:
    """One row of `a2a`; outlives reloads that do not change the row. For one event loop."""

    def __init__(self, name: str, row: RemoteAgent, client: Client, breaker: Breaker) -> None:
        self.name = name
        self.row = row
        self._client = client
        self._breaker = breaker
        headers = {"Content-Type": "application/json", "Accept": "application/json", "Accept-Encoding": "identity"}
        headers["User-Agent"] = "meshgate"
        if row.auth is not None and row.auth.token:
            headers["Authorization"] = f"Bearer {row.auth.token}"
        self._headers = CIMultiDict({**headers, **row.headers})
        self._timeouts = Timeouts(row.timeout, row.connect_timeout, row.timeout)
        self._reading = asyncio.Lock()
        self._card: Json = {}
        self._until = 0.0
        self._fault: tuple[float, Refusal] | None = None

    async def card(self) -> Json:
        """The agent's own card, kept for `refresh` seconds. Raises Refusal; for a second, the last one again."""
        async with self._reading:
            if time.monotonic() < self._until:
                return self._card
            if self._fault is not None and time.monotonic() < self._fault[0]:
                raise self._fault[1]
            try:
                self._card = await self._read_card()
            except Refusal as fault:
                self._fault = time.monotonic() + _PAUSE, fault
                raise
            self._until = time.monotonic() + self.row.refresh
            return self._card

    async def _read_card(self) -> Json:
        url = URL(self.row.url.rstrip("/") + card.PATH)
        to = Destination(url, self._headers, self._timeouts, "GET")
        try:
            raw = await self._exchange(to, b"", card.LONGEST, lambda _: None)
            read = orjson.loads(raw) if not items.is_deep(raw) else None
        except orjson.JSONDecodeError:
            read = None
        if type(read) is not dict:
            raise self._broken("has no card")
        return self.trusted(read)

    def trusted(self, read: Json) -> Json:
        """What of a card is signed by one of `card_keys`; all of the card without such keys. Raises Refusal."""
        if not self.row.card_keys:
            return read
        signed = verified(read, self.row.card_keys)
        if signed is None:
            raise self._broken("has a card that none of `card_keys` has signed")
        return signed

    async def interfaces(self) -> dict[str, Interface]:
        """Version -> the interface that the gateway can call. Raises Refusal."""
        return card.interfaces(await self.card(), URL(self.row.url))

    async def ask(self, version: str, at: Interface, message: Json, hold: Hold) -> bytes:
        """Send a request of JSON-RPC, again after a fault if it only reads; returns the response. Raises Refusal."""
        to, body = self._request(version, at, message)
        send = self._repeated if DOES[message["method"]] in READS else self._exchange
        return await send(to, body, self.row.max_answer, hold, message["id"] if at.rest else None)

    async def begin(self, version: str, at: Interface, message: Json) -> Response:
        """Send a request whose answer may be a stream; returns once the answer begins. Raises Refusal."""
        to, body = self._request(version, at, message)
        async with self._breaker.attempt() as attempt:
            response = await begun(self._client, to.having([("Accept", _EVENTS)]), body, self._broken)
            attempt.status = response.status
            return response

    async def whole(self, response: Response, at: Interface, message: Json, hold: Hold) -> bytes:
        """An answer that has begun, as a response. Raises Refusal."""
        return await self._read(response, self.row.max_answer, hold, message["id"] if at.rest else None)

    def events(self, response: Response, at: Interface, message: Json) -> AsyncIterator[bytes]:
        """A stream of responses as it arrives, up to `max_answer` bytes. Raises Refusal, ValueError."""
        pieces = self._pieces(response)
        return a2a_called.events(pieces, message["id"]) if at.rest else pieces

    def _request(self, version: str, at: Interface, message: Json) -> tuple[Destination, bytes]:
        """Where a request of JSON-RPC goes, and its body. Raises Refusal."""
        headers = [("A2A-Version", version)]
        once = DOES[message["method"]] in SENDS
        if not at.rest:
            to = Destination(URL(at.url), self._headers, self._timeouts, once=once).having(headers)
            return to, orjson.dumps(message)
        asked = a2a_called.asked(message)
        base = URL(at.url).with_query(None).with_fragment(None)  # whatever else the card has, this is a path
        url = URL(str(base).rstrip("/") + asked.path, encoded=True)
        headers.append(("Content-Type", KIND))
        to = Destination(url, self._headers, self._timeouts, asked.method, once=once)
        return to.having(headers), asked.body

    async def _pieces(self, response: Response) -> AsyncIterator[bytes]:
        """The body of a stream as it arrives. Raises Refusal."""
        size, most = 0, self.row.max_answer
        try:
            async for data in response.chunks():
                size += len(data)
                if size > most:
                    raise self._broken(f"answered with more than {most} bytes")
                yield data
        except TimeoutError:
            raise self._broken("did not complete its stream in time", late=True) from None
        except OSError as fault:
            raise self._broken(f"broke off its answer ({type(fault).__name__})") from None

    async def _repeated(self, to: Destination, body: bytes, most: int, hold: Hold, rest: Any = None) -> bytes:
        """One exchange, after a fault of the agent another one."""
        try:
            return await self._exchange(to, body, most, hold, rest)
        except Unanswered as fault:
            if fault.code != "upstream_error":
                raise
        return await self._exchange(to, body, most, hold, rest)

    async def _exchange(self, to: Destination, body: bytes, most: int, hold: Hold, rest: Any = None) -> bytes:
        async with self._breaker.attempt() as attempt:
            try:
                async with asyncio.timeout(self.row.timeout):
                    response = await self._client.post(to, body)
                    attempt.status = response.status
                    return await self._read(response, most, hold, rest)
            except TimeoutError:
                raise self._broken("did not answer in time", late=True) from None
            except OSError as fault:
                words = f"could not be reached, or broke off its answer ({type(fault).__name__})"
                raise self._broken(words, down=True) from None

    async def _read(self, response: Response, most: int, hold: Hold, rest: Any = None) -> bytes:
        """The body of an answer. `rest`: the id of the request, whose answer is one of HTTP+JSON. Raises Refusal."""
        body = surrogates.readable(await received(response, most, hold, self._broken))
        if response.status in (401, 403):
            raise self._broken(f"refused the credentials of the gateway (HTTP {response.status})")
        if rest is not None and not 300 <= response.status < 400:
            with contextlib.suppress(ValueError):
                return a2a_called.answered(response.status, body, rest)
        if response.status >= 300 or not body.lstrip().startswith(b"{"):
            raise self._broken(f"answered with HTTP {response.status} and no response", down=response.status >= 500)
        return body

    def _broken(self, what: str, *, late: bool = False, down: bool = False) -> Refusal:
        code = "upstream_timeout" if late else "upstream_error"
        kind = Unanswered if late or down else Refusal
        return kind(code, f"The agent {self.name} {what}. Try again later.", stage="upstream")


def is_stream(response: Response) -> bool:
    """Whether an answer is server-sent events."""
    kind = "".join(response.values(b"content-type")[:1]).partition(";")[0]
    return response.status == 200 and kind.strip().lower() == _EVENTS


class Remotes:
    """The agents of the process, by name."""

    def __init__(self, client: Client, breakers: Breakers) -> None:
        self._client = client
        self._breakers = breakers
        self._known: dict[str, Remote] = {}

    def of(self, name: str, row: RemoteAgent) -> Remote:
        """The agent of a row."""
        known = self._known.get(name)
        if known is None or known.row != row:
            known = self._known[name] = Remote(name, row, self._client, self._breakers.of(name))
        return known

    def follow(self, rows: Mapping[str, RemoteAgent]) -> None:
        """Forget the agents whose row is gone. Circuits of rows that have changed close."""
        self._breakers.follow(rows)
        self._known = {name: one for name, one in self._known.items() if name in rows}
