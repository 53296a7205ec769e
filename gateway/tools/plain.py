"""Where calls of plain HTTP tools are answered: checks method and path, sends the request, and reads the answer.

Config keys: `tools.*.http`, `methods`, `paths`, `headers`, `auth`, `timeout`, `connect_timeout`, `max_answer`. Refuses
with tool_not_found, sql_blocked, upstream_error and upstream_timeout. No redirect is followed, and no header of the
caller is passed on but Accept and Accept-Language.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import partial
from typing import Final

import orjson
from multidict import CIMultiDict
from yarl import URL

from gateway.call import Call, Resource
from gateway.config.openapi import Described, described
from gateway.config.tools import ANY, Tool
from gateway.dialects import http_tool
from gateway.dialects.http_tool import HttpTool
from gateway.errors import Refusal
from gateway.output.sqlgate import SqlGate
from gateway.policy.visible import Visible
from gateway.texts import Finding
from gateway.tools.breaker import Breakers
from gateway.tools.caller import caller_of
from gateway.tools.credentials import check_echo
from gateway.tools.registry import Credentials
from gateway.tools.wire import Relay, Unanswered, borne, broken
from gateway.upstream.answer import Answer
from gateway.upstream.bodies import begun, received
from gateway.upstream.client import Client, Destination, Response, Timeouts

_WEIGHT: Final = re.compile(rb";\s*q=[01](?:\.[0-9]{0,3})?")
_PASSED: Final[Mapping[bytes, re.Pattern[bytes]]] = {  # without weights
    b"accept": re.compile(rb"(?=.{1,200}\Z)(?:[a-z0-9]{1,24}(?![a-z0-9])|[*/+.,;= -])+"),
    b"accept-language": re.compile(rb"(?=.{1,100}\Z)(?:[A-Za-z0-9]{1,8}(?![A-Za-z0-9])|[*.,; -])+"),
}
"""Headers of the caller that are passed on, in a form in which no value can hide: nothing judges them."""
_UNREAD: Final = (
    "The answer is a file of type {}, which no scanner can read. The operator may set output.unscannable: allow."
)


class PlainDesk:
    """The stage, built for one configuration. `unscannable`: whether an answer that no scanner can read may pass."""

    def __init__(
        self,
        rows: Mapping[str, Tool],
        client: Client,
        visible: Visible,
        sql: SqlGate | None,
        credentials: Credentials,
        breakers: Breakers,
        *,
        unscannable: bool,
    ) -> None:
        self._credentials = {name: credentials.of(name, row) for name, row in rows.items() if row.http}
        self._rows = {name: row for name, row in rows.items() if row.http}
        self._breakers = {name: breakers.of(name) for name in self._rows}
        self._to = {name: destination(row) for name, row in self._rows.items()}
        self._described = {name: described(row) for name, row in self._rows.items()}
        self._client = client
        self._visible = visible
        self._sql = sql
        self._unscannable = unscannable

    def name(self, server: str, method: str, path: str) -> str:
        """What a request calls: an operation of the document of the tool, or else `METHOD /pattern`."""
        document = self._described.get(server, Described())
        one = document.called(method, path)
        if one is not None and document.allows(one):
            return one.name
        row = self._rows.get(server)
        return f"{method} {row.pattern(path) if row is not None else ANY}"

    async def find(self, call: Call) -> None:
        """Name the call by its path, unless the path holds personal data: names are recorded.

        Raises Refusal(tool_not_found) if there is no tool that takes this method and path.
        """
        codec, body = _codec(call), call.request.body
        row = self._rows.get(codec.server)
        if row is None or not row.takes(codec.method, codec.route):
            raise Refusal("tool_not_found", http_tool.UNKNOWN)
        call.request.label = call.resource.name
        call.request.writes = codec.method not in http_tool.READS or any(
            fnmatchcase(codec.called, it) for it in row.write
        )
        call.request.deletes = codec.method == "DELETE"
        call.request.found = [
            (
                slot,
                [_in_step(slot.text, one) for one in findings]
                if slot.holder is body and slot.key == "path"
                else findings,
            )
            for slot, findings in call.request.found
        ]
        tainted = any(slot.holder is body and slot.key == "path" for slot, findings in call.request.found if findings)
        if " " in codec.called and not tainted:
            call.resource = Resource("tool", f"{codec.server}/{codec.method} {codec.route}", call.resource.arguments)
        if not await self._visible.admits(call):
            raise Refusal("tool_not_found", http_tool.UNKNOWN)
        if self._sql is not None:
            self._sql.request(call, call.request.slots)

    async def open(self, call: Call, relay: Relay | None = None) -> Answer:
        """Send the request; the answer is wrapped as the codec reads it. Writes `call.outcome`. Raises Refusal."""
        del relay  # nothing is told before the answer
        codec, outcome, row = _codec(call), call.outcome, self._rows[_codec(call).server]
        outcome.provider, outcome.model, outcome.tries = codec.server, call.request.label.partition("/")[2], 1
        edited = call.redaction.changed or call.authorization.edited
        _check_path(row, codec, call.request.body["path"])
        at, body, kind = codec.sent(call.request.body, call.request.raw, edited=edited)
        to = self._to[codec.server].having(_headers(call, kind)).below(at, codec.method)
        outcome.sent = True
        response, raw, bearer = await self._bearing(call, codec, to, body)
        check_echo(codec.server, bearer, raw)
        outcome.status = response.status
        return self._answer(codec, response, raw)

    async def _bearing(self, call: Call, codec: HttpTool, to: Destination, body: bytes) -> tuple[Response, bytes, str]:
        """Send a request with the credential for the caller; once more with another if the server refuses that."""
        credential, caller = self._credentials[codec.server], caller_of(call)
        bearer = await credential.bearer(caller)
        response, raw = await self._sent(call, codec, to.having(borne(bearer)), body)
        if response.status == 401 and credential.forget(caller, bearer):
            bearer = await credential.bearer(caller)
            response, raw = await self._sent(call, codec, to.having(borne(bearer)), body)
        return response, raw, bearer

    async def _sent(self, call: Call, codec: HttpTool, to: Destination, body: bytes) -> tuple[Response, bytes]:
        """Send a request, and read the answer; once more after a fault if that has no further effect."""
        if not self._repeats(call, codec):
            return await self._exchanged(call, codec, to.sent_once(), body)
        try:
            return await self._exchanged(call, codec, to, body)
        except Unanswered as fault:
            if fault.code != "upstream_error":
                raise
        call.outcome.tries += 1
        return await self._exchanged(call, codec, to, body)

    def _repeats(self, call: Call, codec: HttpTool) -> bool:
        """Whether a request may be sent again. The operator may say that one writes although its method only reads."""
        if any(fnmatchcase(codec.called, it) for it in self._rows[codec.server].idempotent):
            return True
        return codec.method in http_tool.REPEATS and not (codec.method in http_tool.READS and call.request.writes)

    async def _exchanged(self, call: Call, codec: HttpTool, to: Destination, body: bytes) -> tuple[Response, bytes]:
        """Send a request, and read the answer."""
        server = codec.server
        async with self._breakers[server].attempt() as attempt:
            response = await begun(self._client, to, body, partial(broken, server))
            attempt.status = response.status
            if codec.method == "HEAD":
                response.close()
                return response, b""
            most = self._rows[server].max_answer
            return response, await received(response, most, call.ticket.hold, partial(broken, server))

    def _answer(self, codec: HttpTool, response: Response, raw: bytes) -> Answer:
        status = response.status
        if 300 <= status < 400 and status != 304:
            raise broken(codec.server, f"answered with a redirect (HTTP {status}), which is not followed")
        if status < 200:
            raise broken(codec.server, f"answered with HTTP {status}")
        kind = ", ".join(response.values(b"content-type")[:1])
        try:
            said = http_tool.wrapped(status, raw, kind)
        except orjson.JSONDecodeError:
            raise broken(codec.server, "answered with something that is not JSON, though it says so") from None
        codec.got(status, raw, kind, said)
        if said is None and not self._unscannable:
            words = _UNREAD.format(http_tool.media_type(kind) or "unknown")
            raise Refusal("output_blocked", words, stage="output")
        return Answer.complete(said or b'{"status":%d}' % status)


def destination(row: Tool) -> Destination:
    """The base URL of an HTTP tool, with the headers of the gateway."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "meshgate"}
    timeouts = Timeouts(row.timeout, row.connect_timeout, row.timeout)
    return Destination(URL(row.http.rstrip("/")), CIMultiDict({**headers, **row.headers}), timeouts)


def _headers(call: Call, kind: str) -> list[tuple[str, str]]:
    kept = [
        (name.decode(), value.decode("latin-1"))
        for name, value in call.headers
        if name in _PASSED and _is_plain(_PASSED[name], _WEIGHT.sub(b"", value))
    ]
    return [*kept, ("Content-Type", kind)] if kind else kept


def _in_step(path: str, one: Finding) -> Finding:
    """An address of mail in a path without the steps before it, which could be part of an address in a text."""
    said = path[one.start : one.end]
    at = said.find("@")
    return one._replace(start=one.start + said.rfind("/", 0, at) + 1) if at >= 0 else one


def _check_path(row: Tool, codec: HttpTool, path: str) -> None:
    """Raise Refusal(invalid_request) if a value that was taken out or put back makes the path another one."""
    if path == codec.route:
        return
    if path.count("/") != codec.route.count("/") or not row.takes(codec.method, path) or http_tool.climbs(path):
        words = "A value in the path cannot be replaced without making another path of it. Send it in query or body."
        raise Refusal("invalid_request", words, param="path")


def _is_plain(form: re.Pattern[bytes], value: bytes) -> bool:
    return form.fullmatch(value) is not None and http_tool.is_few(value.decode("ascii"))


def _codec(call: Call) -> HttpTool:
    codec = call.codec
    assert isinstance(codec, HttpTool), "calls of HTTP tools have their codec"
    return codec
