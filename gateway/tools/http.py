"""A connection to an MCP server over Streamable HTTP, in either era of the protocol.

Config keys: `tools.*.mcp`, `headers`, `auth`, `timeout`, `connect_timeout`, `max_answer`. No redirect is followed. The
response to a request may come as JSON or as the last message of an event stream.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial

import orjson
from multidict import CIMultiDict
from yarl import URL

from gateway.call import Json
from gateway.config.tools import Tool
from gateway.dialects import mcp_era, mcp_names, sse, surrogates
from gateway.dialects.mcp_names import MODERN
from gateway.tools.wire import (
    CHANGED,
    NO_HEADERS,
    NOTHING,
    NOTICES,
    OFFERED,
    QUESTIONS,
    Hold,
    InTime,
    Relay,
    Session,
    SessionLost,
    TokenRefused,
    Told,
    Wire,
    asked_too_much,
    borne,
    broken,
    reply,
    unheld,
)
from gateway.upstream.bodies import begun, received
from gateway.upstream.client import Client, Destination, Response, Timeouts

_DAY = 86400.0  # seconds
_KEPT = 256  # destinations with the headers of a session
_LONGEST_KEPT = 8192  # characters of these headers: a server may give ids of any length
_SMALL = 64 * 1024  # bytes of an answer that is not a response
_SELF: Json = {"name": "meshgate", "version": "1"}
_LISTENING = Timeouts(_DAY, 10, _DAY)  # the end of streams is not that of answers
_LATER = 1.0  # seconds by which the client's time limit is later than that of the exchange, which tells why
_DEPTH = 200  # levels that every encoder writes


def of_gateway(able: Json = NOTHING) -> Json:
    """What each request of the later era says of the gateway, in `params._meta`. `able`: what can be asked."""
    return {mcp_names.VERSION: MODERN, mcp_names.CLIENT: _SELF, mcp_names.CAPABILITIES: able}


class HttpWire(Wire):
    """One server, by its row of `tools`."""

    def __init__(self, name: str, row: Tool, client: Client) -> None:
        self._name = name
        self._row = row
        self._client = client
        self._changed: Callable[[], None] = lambda: None
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Accept-Encoding": "identity",
            "User-Agent": "meshgate",
        }
        longest = row.longest + _LATER
        timeouts = Timeouts(longest, row.connect_timeout, longest)
        self._to = Destination(URL(row.mcp), CIMultiDict({**headers, **row.headers}), timeouts)
        self._having: dict[tuple[tuple[tuple[str, str], ...], bool], Destination] = {}

    async def open(self, bearer: str = "", able: Json = NOTHING) -> tuple[Session, Json]:
        """Open a session with the handshake, or where a server has none, ask what the server is.

        The handshake comes first: a server with both eras does not say so in `server/discover` (the official SDK names
        the later version alone), and only in a session of the earlier era can it ask a client of that era in mid-call.
        """
        params = {"protocolVersion": OFFERED, "capabilities": able, "clientInfo": _SELF}
        message = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params}
        async with self._in_time():
            response = await self._post(message, {}, bearer)
            if response.status == 401:
                response.close()
                raise TokenRefused
            id = "".join(response.values(b"mcp-session-id")[:1])
            opening = Session(OFFERED, id)
            said = _object(await self._body(response, opening, 0, unheld, bearer)) if response.status < 500 else {}
            result = said.get("result")
            if type(result) is dict and result.get("protocolVersion") in mcp_names.VERSIONS:
                session = Session(str(result["protocolVersion"]), id)
                await self.tell(session, {"jsonrpc": "2.0", "method": "notifications/initialized"}, bearer)
                return session, result
            session = Session(MODERN)
            message = {"jsonrpc": "2.0", "id": 0, "method": "server/discover", "params": {}}
            said = _object(await self._asked(session, message, unheld, NO_HEADERS, bearer))
        result = said.get("result")
        if type(result) is not dict:
            raise broken(self._name, "opens no session, and does not say what it is")
        return session, result

    async def ask(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        headers: Mapping[str, str] = NO_HEADERS,
        bearer: str = "",
        relay: Relay | None = None,
    ) -> bytes:
        """Send a request, and wait for its response."""
        async with self._in_time() as limit:
            longer = partial(limit.extend, self._row.ask_timeout)
            return await self._asked(session, message, hold, headers, bearer, relay, longer)

    async def _asked(
        self,
        session: Session,
        message: Json,
        hold: Hold,
        more: Mapping[str, str],
        bearer: str,
        relay: Relay | None = None,
        longer: Callable[[], None] | None = None,
    ) -> bytes:
        method, params = message["method"], message.get("params", {})
        headers = {"MCP-Protocol-Version": session.version}
        if session.modern:
            message = {
                **message,
                "params": {**params, mcp_names.META: {**params.get(mcp_names.META, {}), **of_gateway(session.able)}},
            }
            headers |= {"Mcp-Method": method, **more}
            if param := mcp_names.NAMED.get(method):
                headers["Mcp-Name"] = mcp_era.written(params[param])
        if session.id:
            headers["Mcp-Session-Id"] = session.id
        # Of the later era, the headers of other requests have what the caller asks for: names of resources, arguments.
        alike = not session.modern or (method == mcp_names.CALL and not more)
        response = await self._post(message, headers, bearer, alike=alike)
        if response.status == 404 and session.id:
            response.close()
            raise SessionLost
        if response.status == 401:
            response.close()
            raise TokenRefused
        if response.status == 403:
            response.close()
            raise broken(self._name, "refused the credentials of the gateway (HTTP 403)")
        return await self._body(response, session, message["id"], hold, bearer, relay, longer)

    async def listen(self, session: Session, bearer: str = "", last: str = "", message: Json | None = None) -> Told:
        """Open a stream with GET, or with a request for it."""
        headers = [("MCP-Protocol-Version", session.version), *borne(bearer)]
        headers += [("Mcp-Session-Id", session.id)] if session.id else []
        headers += [("Last-Event-ID", last)] if last else []
        data = b""
        if message is not None:
            headers.append(("Mcp-Method", message["method"]))
            data = orjson.dumps({**message, "params": {**message["params"], mcp_names.META: of_gateway(session.able)}})
        to = self._to.having(headers)
        to = Destination(to.url, to.headers, _LISTENING, "GET" if message is None else "POST")
        try:
            async with asyncio.timeout(self._row.timeout):
                response = await self._client.post(to, data)
        except OSError as fault:  # some servers answer with the first message only
            raise broken(self._name, f"opens no stream ({type(fault).__name__})") from None
        if response.status == 200 and "event-stream" in "".join(response.values(b"content-type")[:1]).lower():
            return self._messages(response)
        response.close()
        if response.status == 404 and session.id:
            raise SessionLost
        if response.status == 401:
            raise TokenRefused
        return None

    async def _messages(self, response: Response) -> AsyncGenerator[tuple[Json, str], None]:
        reader = sse.Reader()
        try:
            async for data in response.chunks():
                for event in reader.feed(data):
                    id = sse.identity(event.raw)
                    said = _object(event.data or b"")
                    if said.get("method") == CHANGED:
                        self._changed()
                    yield said, id
        except ValueError as fault:
            raise broken(self._name, f"sent {fault}") from None
        except OSError as fault:
            raise broken(self._name, f"broke off its stream ({type(fault).__name__})") from None
        finally:
            response.close()

    async def tell(self, session: Session, message: Json, bearer: str = "") -> None:
        """Send a notification."""
        headers = {"MCP-Protocol-Version": session.version}
        if session.id:
            headers["Mcp-Session-Id"] = session.id
        async with self._in_time():
            response = await self._post(message, headers, bearer)
            response.close()
        if response.status == 401:
            raise TokenRefused

    async def end(self, session: Session, bearer: str = "") -> None:
        """End a session with DELETE."""
        if not session.id:
            return
        to = self._to.having([("Mcp-Session-Id", session.id), ("MCP-Protocol-Version", session.version)])
        to = to.having(borne(bearer))
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(self._row.connect_timeout):
                response = await self._client.post(to.below("", "DELETE"), b"")
                response.close()

    async def close(self) -> None:
        """Nothing: the connections belong to the client."""

    def follow(self, changed: Callable[[], None]) -> None:
        """Have `changed` called when the server says so in the event stream of an answer."""
        self._changed = changed

    def _in_time(self) -> InTime:
        return InTime(self._name, self._row.timeout)

    async def _post(self, message: Json, headers: Mapping[str, str], bearer: str, *, alike: bool = True) -> Response:
        """Send a message. `alike`: many requests have these headers."""
        further = (*headers.items(), *borne(bearer))
        once = message.get("method") == mcp_names.CALL  # what may be sent again is known to `sending`
        short = alike and sum(len(value) for _, value in further) <= _LONGEST_KEPT
        to = self._kept(further, once) if short else self._having_all(further, once)
        return await begun(self._client, to, orjson.dumps(message), partial(broken, self._name))

    def _kept(self, headers: tuple[tuple[str, str], ...], once: bool) -> Destination:
        """The server with further headers, and their encoded form: see `Destination.head`."""
        key = headers, once
        to = self._having.get(key)
        if to is None:
            if len(self._having) >= _KEPT:
                self._having.clear()
            to = self._having[key] = self._having_all(headers, once)
        return to

    def _having_all(self, headers: tuple[tuple[str, str], ...], once: bool) -> Destination:
        to = self._to.having(headers)
        return to.sent_once() if once else to

    async def _body(
        self,
        response: Response,
        session: Session,
        id: object,
        hold: Hold,
        bearer: str,
        relay: Relay | None = None,
        longer: Callable[[], None] | None = None,
    ) -> bytes:
        """The response to request `id`. Other messages in an event stream are for the relay.

        `longer`: called when the client is asked something.
        """
        if "".join(response.values(b"content-type")[:1]).lower().startswith("text/event-stream"):
            return await self._of_events(response, session, id, hold, bearer, relay, longer)
        most = self._row.max_answer if response.status < 400 else _SMALL
        body = await received(response, most, hold, partial(broken, self._name))
        failed = response.status >= 500
        if not body.lstrip().startswith(b"{") or (failed and "jsonrpc" not in _object(body)):
            raise broken(self._name, f"answered with HTTP {response.status} and no response", down=failed)
        return body

    async def _of_events(
        self,
        response: Response,
        session: Session,
        id: object,
        hold: Hold,
        bearer: str,
        relay: Relay | None,
        longer: Callable[[], None] | None,
    ) -> bytes:
        reader, size, asked, told = sse.Reader(), 0, 0, 0
        try:
            async for data in response.chunks():
                size += len(data)
                if size > self._row.max_answer:
                    raise broken(self._name, f"answered with more than {self._row.max_answer} bytes")
                hold(len(data))
                for event in reader.feed(data):
                    if not event.data:
                        continue
                    said = _object(event.data)
                    if "id" not in said:
                        told += 1
                        if said.get("method") == CHANGED:
                            self._changed()
                        if relay is not None and "method" in said and told <= NOTICES:
                            await relay.tell(said)
                        continue
                    if "method" not in said and said["id"] == id:
                        return event.data
                    if "method" in said:  # the server waits for the answer
                        asked += 1
                        if asked > QUESTIONS:
                            raise asked_too_much(self._name)
                        error = None
                        if relay is not None and said["method"] != "ping":
                            error = await relay.ask(said)
                            if error is None:
                                if longer is not None:
                                    longer()
                                continue
                        await self.tell(session, reply(said, error), bearer)
        except ValueError as fault:
            raise broken(self._name, f"sent {fault}") from None
        except TimeoutError:
            raise broken(self._name, "fell silent in the middle of its answer", late=True) from None
        except OSError as fault:
            raise broken(self._name, f"broke off its answer ({type(fault).__name__})", down=True) from None
        finally:
            response.close()
        raise broken(self._name, "ended its answer without a response", down=True)


def _object(data: bytes) -> Json:
    """The object in a message; empty for anything else, also for one that is nested too deep to be written again."""
    try:
        said, _ = surrogates.loads(data)
        if data.count(b"{") + data.count(b"[") > _DEPTH:
            orjson.dumps(said)
    except (ValueError, orjson.JSONEncodeError):
        return {}
    return said if type(said) is dict else {}
