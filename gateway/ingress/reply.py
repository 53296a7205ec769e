"""The answer to the caller: status, headers, body, and errors, also in the middle of a stream."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from operator import sub, truediv
from typing import Protocol

import orjson

from gateway.amounts import Rejection, Reservation
from gateway.call import Call, KeptAnswer
from gateway.detect.secrets.own import OwnSecrets
from gateway.dialects import StreamCodec, sse
from gateway.dialects.a2a import A2a
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal, release
from gateway.identity.resource import CHALLENGE, Resources
from gateway.ingress import arrays
from gateway.ingress.wire import Head, Put
from gateway.limits.ratelimit import RateLimits, whole_seconds

_timings: dict[tuple[str, ...], str] = {}  # stages -> the form of Server-Timing
_FIELD = re.compile(r"[A-Za-z0-9_$.\[\]-]{1,128}")
_NAMED = 32  # fields that a header names
_JSON = (b"content-type", b"application/json")
_SSE = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"))


@dataclass(frozen=True, slots=True)
class Replies:
    """Creates replies, for one configuration.

    `reasons_in_text`: the reason for a block is the text of the answer. `alone`: whether the shared state is out of
    reach, so that this gateway enforces its share of the limits.
    """

    own: OwnSecrets
    limits: RateLimits
    alone: Callable[[], bool]
    resources: Resources
    reasons_in_text: bool = False

    def to(self, call: Call, put: Put) -> Reply:
        """The reply to one call."""
        return Reply(self, call, put)


class Pieces(Protocol):
    """Keeps the pieces of a stream, for a client that comes back: see `exchange.kept`."""

    def add(self, event: bytes) -> None:
        """Keep a piece."""

    def finish(self) -> None:
        """There are no more."""

    def detach(self) -> bool:
        """The client has gone. Whether the call goes on without it."""
        ...


class Reply:
    """Sends one answer: whole, streamed or refused. `status` is the status sent, or 499 if the caller had gone."""

    __slots__ = (
        *("_array", "_call", "_extra", "_parts", "_put"),
        *("begun", "codec", "ending", "kept", "over", "passed", "status"),
    )

    def __init__(self, parts: Replies, call: Call, put: Put) -> None:
        self._parts = parts
        self._call = call
        self._put = put
        self._array = arrays.Array() if call.array else None
        self.codec: StreamCodec | None = None
        self.kept: Pieces | None = None
        self.status = 0
        self._extra: list[tuple[bytes, bytes]] = []
        self.begun = False
        self.over = False
        self.passed = False  # another worker has the call, and records it
        self.ending = False  # the call is being settled: a disconnect has no effect any more

    async def whole(
        self, status: int, body: bytes, extra: list[tuple[bytes, bytes]] | None = None, *, kind: str | None = None
    ) -> None:
        """Send a whole answer. `kind`: its Content-Type, "" for none; None: JSON. A success is kept."""
        if self._call.replay.keeper is not None and 200 <= status < 300:
            self._call.replay.keeper.add(body)
            await self._call.replay.keeper.keep(streamed=False, status=status, kind=kind)
        self.status = status
        self.begun = self.over = True
        length = [(b"content-length", b"%d" % len(body))] if status != 304 else []
        self._extra += self._call.outcome.headers
        types = [_JSON] if kind is None else [(b"content-type", kind.encode())] if kind else []
        await self._put(body, more=False, head=self._head(status, [*types, *length, *(extra or ())]))

    async def stream(self, data: bytes, *, complete: bool = False) -> None:
        """Send a piece of a stream, after the headers if it is the first. `complete`: the answer is now complete."""
        await self._keep(data, complete)
        if self.kept is not None:
            self.kept.add(data)
        if self._array is not None:
            data = self._array.feed(data)
        await self._put(data, more=True, head=None if self.begun else self._stream_head())

    async def end(self, data: bytes = b"", *, complete: bool = False) -> None:
        """Send the last piece of a stream."""
        await self._keep(data, complete)
        if self.kept is not None:
            self.kept.add(data)
            self.kept.finish()
        if self._array is not None:
            data = self._array.end(data)
        head = None if self.begun else self._stream_head()
        self.over = True
        await self._put(data, more=False, head=head)

    async def pass_on(self, head: Head, pieces: AsyncIterable[bytes]) -> None:
        """Send the answer that another worker has made, as it is."""
        self.status, self.begun, self.passed = head[0], True, True
        await self._put(b"", more=True, head=head)
        async for piece in pieces:
            await self._put(piece, more=True)
        self.over = True
        await self._put(b"", more=False)

    def _stream_head(self) -> Head:
        """The status and headers of a stream, which begins."""
        self.status = 200
        self.begun = True
        return self._head(200, list(_SSE if self._array is None else arrays.HEAD))

    async def _keep(self, data: bytes, complete: bool) -> None:
        """Keep the answer before its end is sent: a caller with the whole answer may repeat the call immediately."""
        keeper = self._call.replay.keeper
        if keeper is not None:
            keeper.add(data)
            if complete:
                await keeper.keep(streamed=True)

    async def again(self, kept: KeptAnswer, header: tuple[bytes, bytes]) -> None:
        """Send a kept answer in its original form."""
        self._extra.append(header)
        body = self._call.codec.again(kept.body)
        if kept.streamed:
            await self.end(body)
        else:
            await self.whole(kept.status, body, kind=kept.kind)

    async def refuse(self, refusal: Refusal) -> None:
        """Send an error, or end a stream that has begun with one."""
        release(refusal)
        if self.over:
            return
        call = self._call
        in_text = self._parts.reasons_in_text and refusal.domain == "policy" and refusal.stage == "output"
        words = f"[The gateway blocked this answer: {refusal.message}]" if in_text else ""
        if self.begun and isinstance(call.codec, Mcp):
            await self.end(call.codec.event(self._error(refusal)))
        elif self.begun:
            codec = self.codec or call.codec.stream(keep_usage=False)
            data = codec.refuse(refusal, call.id, words and f"\n\n{words}")
            if self._parts.own.holds(data):  # the message of the upstream contains a secret: leave it out
                data = codec.refuse(refusal, call.id, bare=True)
            await self.end(data)
        elif not (in_text and await self._refuse_in_text(refusal, words)):
            data = self._error(refusal)
            status, headers = call.codec.status(refusal), _waiting(refusal)
            if refusal.code == "unauthenticated" or (status == 403 and call.codec.name == "mcp"):
                headers.append((b"www-authenticate", self._challenge(refusal)))
            if status == 200 and isinstance(call.codec, A2a) and call.codec.refuses_in_stream:
                self._extra += headers
                await self.end(sse.encode(data))
            else:
                await self.whole(status, data, headers)

    def _error(self, refusal: Refusal) -> bytes:
        """The body of an error."""
        codec, id = self._call.codec, self._call.id
        data = orjson.dumps(codec.refuse(refusal, id))
        if not self._parts.own.holds(data):
            return data
        plain = Refusal(refusal.code, "The reason is hidden: it contains a secret.", status=refusal.status)
        return orjson.dumps(codec.refuse(plain, id))

    def _challenge(self, refusal: Refusal) -> bytes:
        """What a client needs to be let in: that of a tool server says where tokens come from."""
        call = self._call
        if isinstance(call.codec, Mcp):
            return self._parts.resources.challenge(call.codec.door, refusal, given=bool(call.key))
        return CHALLENGE

    async def _refuse_in_text(self, refusal: Refusal, words: str) -> bool:
        """Send an answer whose text is the reason for blocking; False if the dialect has no such answer. Not kept."""
        call = self._call
        answer = call.codec.refuse_in_text(
            refusal, call.id, call.resource.name, call.codec.answers(call.request.body), words
        )
        if answer is None:
            return False
        call.replay.keeper = None
        self._extra.append((b"x-meshgate-code", refusal.code.encode()))
        if call.request.stream:
            await self.end(b"".join(call.codec.unfold(answer)))
        else:
            await self.whole(200, orjson.dumps(answer))
        return True

    def abandon(self) -> None:
        """The caller has disconnected: send nothing more."""
        self.over = True
        if not self.begun:
            self.status = 499

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> Head:
        """The status, and the headers with those of every answer."""
        call = self._call
        headers += self._extra
        if (
            workflow := call.request.given_id or call.request.correlation_id
        ):  # empty if the call ended before it was read
            headers.append((b"x-correlation-id", workflow.encode("latin-1")))
        headers += (
            (b"x-request-id", call.id.encode()),
            (b"server-timing", server_timing(call)),
        )
        if dropped := call.request.dropped + call.outcome.dropped:
            names = _named(dropped)
            if not self._parts.own.holds(names):  # names of fields are the caller's
                headers.append((b"x-meshgate-dropped", names))
        if call.outcome.hit:
            headers.append((b"x-meshgate-cache", b"hit"))
        if self._parts.alone():
            headers.append((b"x-meshgate-state", b"local"))
        outcome = _taken(call)
        if outcome is not None and (call.admission.debits or call.admission.late):
            headers += self._parts.limits.headers(outcome, (*call.admission.debits, *call.admission.late))
        return status, headers


def _taken(call: Call) -> Reservation | Rejection | None:
    """The store's answer, with both reservations combined if there were two."""
    first, rest, rejection = call.admission.reservation, call.admission.rest, call.admission.rejection
    if first is None:
        return rejection
    if rejection is not None:
        return replace(rejection, index=len(call.admission.debits) + rejection.index)
    if rest is None:
        return first
    return Reservation(
        first.ask._replace(debits=(*call.admission.debits, *call.admission.late)), (*first.balances, *rest.balances)
    )


def _waiting(refusal: Refusal) -> list[tuple[bytes, bytes]]:
    """The headers of a refusal: Retry-After if waiting helps (RFC 9110, 10.2.3), else `x-should-retry: false`."""
    headers = [*refusal.headers, (b"x-meshgate-code", refusal.code.encode())]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", b"%d" % whole_seconds(refusal.retry_after)))
    elif not refusal.retry or (refusal.code in ("rate_limited", "quota_busy") and refusal.stage != "upstream"):
        headers.append((b"x-should-retry", b"false"))
    headers += [(_of_upstream(name).encode(), value.encode()) for name, value in refusal.hints.items()]
    return headers


def _of_upstream(name: str) -> str:
    """The name under which an upstream's hint is sent, different from the headers of our own limits."""
    return name if "retry" in name else f"x-upstream-{name.removeprefix('x-')}"


def server_timing(call: Call) -> bytes:
    """The value of Server-Timing (W3C): the stages so far in milliseconds, with the upstream as a stage."""
    names, times = zip(*call.stages, (call.stage, time.perf_counter_ns()), strict=True)
    form = _timings.get(names)
    if form is None:  # calls pass through few combinations of stages
        form = _timings[names] = ", ".join([f"{name};dur=%.3f" for name in names])
    took = map(truediv, map(sub, times, (call.started_ns, *times)), repeat(1e6))
    return (form % tuple(took)).encode()


def _named(fields: Sequence[str]) -> bytes:
    """Names of fields as a header has them; `...` stands for further names, and for those that callers made up."""
    names = [name for name in fields if _FIELD.fullmatch(name)][:_NAMED]
    return ", ".join([*names, "..."] if len(names) < len(fields) else names).encode()
