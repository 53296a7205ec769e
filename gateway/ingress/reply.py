"""The answer on its way to the caller: status, headers, body, and what to say when it cannot go on."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import orjson

from gateway.call import Call, Rejection, Reservation
from gateway.dialects import StreamCodec
from gateway.errors import Refusal
from gateway.limits.ratelimit import whole_seconds

Send = Callable[[dict[str, Any]], Awaitable[None]]

_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


class Reply:
    """Sends one answer: whole, streamed or refused. `status` is what the caller was told, 499 if they had gone."""

    __slots__ = ("_call", "_extra", "_send", "begun", "codec", "ending", "over", "status")

    def __init__(self, call: Call, send: Send) -> None:
        self._call = call
        self._send = send
        self.codec: StreamCodec | None = None
        self.status = 0
        self._extra: list[tuple[bytes, bytes]] = []
        self.begun = False
        self.over = False
        self.ending = False  # the call is being settled: a client that leaves now changes nothing

    async def whole(self, status: int, body: bytes, extra: list[tuple[bytes, bytes]] | None = None) -> None:
        """Send everything at once."""
        if self._call.keeper is not None and status == 200:
            self._call.keeper.add(body)
            await self._call.keeper.keep(streamed=False)
        self.status = status
        self.begun = self.over = True
        length = (b"content-length", b"%d" % len(body))
        await self._start(status, [_JSON, length, *(extra or ())])
        await self._send({"type": "http.response.body", "body": body})

    async def stream(self, data: bytes, *, complete: bool = False) -> None:
        """Send a piece of a stream; the first one sends the headers. `complete`: with it the answer is, and is kept."""
        await self._keep(data, complete)
        if not self.begun:
            self.status = 200
            self.begun = True
            await self._start(200, list(_SSE))
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"", *, complete: bool = False) -> None:
        """Send the last piece of a stream."""
        if data or not self.begun:
            await self.stream(data, complete=complete)
        else:
            await self._keep(data, complete)
        self.over = True
        await self._send({"type": "http.response.body", "body": b""})

    async def _keep(self, data: bytes, complete: bool) -> None:
        """Before the end of an answer leaves, it is kept: who has it all may ask again at once."""
        keeper = self._call.keeper
        if keeper is not None:
            keeper.add(data)
            if complete:
                await keeper.keep(streamed=True)

    async def again(self, body: bytes, streamed: bool, header: tuple[bytes, bytes]) -> None:
        """Send an answer that was kept, in the form that it had."""
        self._extra.append(header)
        if streamed:
            await self.end(body)
        else:
            await self.whole(200, body)

    async def refuse(self, refusal: Refusal) -> None:
        """Say no: an error answer, or what ends a stream that has begun."""
        if self.over:
            return
        call = self._call
        explained = call.runtime.explains and refusal.domain == "policy" and refusal.stage == "output"
        words = f"[The gateway blocked this answer: {refusal.message}]" if explained else ""
        if self.begun:
            codec = self.codec or call.format.stream(keep_usage=False)
            data = codec.refuse(refusal, call.id, words and f"\n\n{words}")
            if call.runtime.own.holds(data):  # in what the upstream said: it is repeated no further
                data = codec.refuse(refusal, call.id, bare=True)
            await self.end(data)
        elif explained:
            await self._explain(refusal, words)
        else:
            data = orjson.dumps(call.format.refuse(refusal, call.id))
            if call.runtime.own.holds(data):
                plain = Refusal(refusal.code, "The reason cannot be told: it holds a secret.", status=refusal.status)
                data = orjson.dumps(call.format.refuse(plain, call.id))
            await self.whole(refusal.status, data, _waiting(refusal))

    async def _explain(self, refusal: Refusal, words: str) -> None:
        """An answer that says why there is none. It is not kept: the next try runs."""
        call = self._call
        call.keeper = None
        self._extra.append((b"x-meshgate-code", refusal.code.encode()))
        answer = call.format.explain(refusal, call.id, call.resource.name, call.format.answers(call.body), words)
        if call.stream:
            await self.end(b"".join(call.format.unfold(answer)))
        else:
            await self.whole(200, orjson.dumps(answer))

    def abandon(self) -> None:
        """Nobody listens any more."""
        self.over = True
        if not self.begun:
            self.status = 499

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        call = self._call
        headers += self._extra
        if workflow := call.given_id or call.correlation_id:  # none where the call ended before it was read
            headers.append((b"x-correlation-id", workflow.encode("latin-1")))
        headers += (
            (b"x-request-id", call.id.encode()),
            (b"server-timing", server_timing(call)),
        )
        if call.runtime.alone:
            headers.append((b"x-meshgate-state", b"local"))
        outcome = _taken(call)
        if outcome is not None and (call.debits or call.late):
            headers += call.runtime.limits.headers(outcome, (*call.debits, *call.late))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _taken(call: Call) -> Reservation | Rejection | None:
    """What the store answered, to both steps as if they were one where there were two."""
    first, rest, rejection = call.reservation, call.rest, call.rejection
    if first is None:
        return rejection
    if rejection is not None:
        return replace(rejection, index=len(call.debits) + rejection.index)
    if rest is None:
        return first
    return Reservation(first.ask._replace(debits=(*call.debits, *call.late)), (*first.balances, *rest.balances))


def _waiting(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """Retry-After where waiting helps (RFC 9110, 10.2.3), `x-should-retry: false` where it does not."""
    headers = [*refusal.headers, (b"x-meshgate-code", refusal.code.encode())]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % whole_seconds(refusal.retry_after)))
    elif not refusal.retry or (refusal.code in ("rate_limited", "quota_busy") and refusal.stage != "forward"):
        headers.append((b"x-should-retry", b"false"))
    headers += [(_of_upstream(name).encode(), value.encode()) for name, value in refusal.hints.items()]
    if refusal.code == "unauthenticated":
        headers.append((b"www-authenticate", b'Bearer realm="meshgate"'))
    return headers


def _of_upstream(name: str) -> str:
    """How an upstream's hint is called: our own limits have names of the same kind, beside which its own stand."""
    return name if "retry" in name else f"x-upstream-{name.removeprefix('x-')}"


def server_timing(call: Call) -> bytes:
    """The stages so far in milliseconds (W3C Server Timing), the upstream's own time among them under its name."""
    before, parts = call.started_ns, []
    for stage, at in [*call.stages, (call.stage, time.perf_counter_ns())]:
        parts.append(b"%s;dur=%.3f" % (stage.encode(), (at - before) / 1e6))
        before = at
    return b", ".join(parts)
