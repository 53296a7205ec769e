"""Calls to a target of another format: the request is translated before the call leaves, the answer as it arrives.

The answer is translated before anything reads it, so all stages work on the dialect of the caller. Refuses with
invalid_request what the target cannot express, and with upstream_error an answer that is not of the target's format.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable

import orjson

from gateway.call import Call, Json, Target
from gateway.config.accounts import Provider
from gateway.config.providers import ROWS
from gateway.dialects import Codec
from gateway.errors import Refusal
from gateway.redaction import openings
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.translate import translation, words
from gateway.upstream.fitting import Fitting

_VALUES = {"version": "v1beta"}  # of the path, as a caller of Gemini has them
_TIERS = frozenset({"", "auto", "default", "standard", "standard_only"})


class Across:
    """One call on its way to a target of another format."""

    def __init__(self, call: Call, provider: Provider, target: Target, fitting: Fitting) -> None:
        side = translation.TARGETS[provider.format]
        self._call = call
        self._provider = provider
        self._target = target
        self._fitting = fitting
        self.codec: Codec = side.streamed if call.request.stream else side.whole
        """The dialect of the target."""
        self.values = _VALUES
        self.body: Json = {}
        """The request of the target."""

    async def prepare(self) -> None:
        """Write the body; writes `call.outcome.dropped`. Raises Refusal(invalid_request)."""
        call = self._call
        self.body, dropped = await judge(call, len(call.request.raw) > NEW_TEXT, self._translate)
        dropped += self._fitting.fit_translated(self.codec, self.body)
        call.outcome.dropped = tuple(dropped)

    def _translate(self) -> tuple[Json, list[str]]:
        call, provider = self._call, self._provider
        if call.request.tier not in _TIERS:
            raise words.Notes(provider.format, {}).refuse("service_tier", "has another meaning")
        body = call.request.body
        if call.request.reading is not None:  # the beginning is as it left in an earlier call
            body = orjson.loads(openings.dumps(call))
        row = ROWS.get(provider.kind or "")
        target = words.Target(
            provider.format,
            self._target.model,
            call.admission.ceiling or 0,
            words.origin(*self._target),
            row.reasoning if row is not None else "",
            self._fitting.asks_usage,
        )
        return translation.request(call.codec, body, call.request.stream, target)

    def translated(self, streamed: bool, start: bytes, chunks: AsyncIterator[bytes]) -> Translated:
        """The answer in the dialect of the caller."""
        if streamed and self._call.request.stream:
            return _Streamed(self._call, self._provider.format, self._target, start, chunks)
        return _Whole(self._call, self._provider.format, self._target, start, chunks, self.codec if streamed else None)


class Translated:
    """An answer as it arrives, in the dialect of the caller."""

    __slots__ = ("_call", "_chunks", "_format", "_start", "_target", "ended")

    def __init__(self, call: Call, format: str, target: Target, start: bytes, chunks: AsyncIterator[bytes]) -> None:
        self._call = call
        self._format = format
        self._target = target
        self._start = start
        self._chunks = chunks
        self.ended = False
        """Whether the body was read to its end."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise NotImplementedError

    def _context(self) -> words.Context:
        return words.Context(self._call.id.replace("-", ""), int(time.time()), words.origin(*self._target))

    def _broken(self, fault: Exception) -> Refusal:
        """The refusal for an answer that cannot be translated."""
        provider, noun = self._target.provider, translation.TARGETS[self._format].whole.noun
        if isinstance(fault, words.Erred):
            text = f"The provider {provider} answered with an error in the middle of its answer. Try again later."
            return Refusal("upstream_error", text, stage="upstream")
        what = f": {fault}" if type(fault) is ValueError and fault.args else ""
        text = f"The provider {provider} answered with something that is not {noun}{what}. Try again later."
        return Refusal("upstream_error", text, stage="upstream")


class _Streamed(Translated):
    """A stream, translated event by event."""

    __slots__ = ("_stream",)

    def __init__(self, call: Call, format: str, target: Target, start: bytes, chunks: AsyncIterator[bytes]) -> None:
        super().__init__(call, format, target, start, chunks)
        self._stream = translation.Stream(call.codec, format, self._context())

    async def __anext__(self) -> bytes:
        stream = self._stream
        while not self.ended:
            data: bytes | None = self._start
            self._start = b""
            if not data and not stream.broken:
                data = await anext(self._chunks, None)
            try:
                if data is None:
                    self.ended = True
                    said = b"" if stream.ended else stream.close()
                else:
                    said = stream.feed(data)
            except translation.FAULTS as fault:
                raise self._broken(fault) from None
            finally:
                self._call.outcome.reported = stream.usage
            if said:
                return said
        raise StopAsyncIteration


class _Whole(Translated):
    """A whole answer, translated when it is complete. `codec`: of the stream that the provider sent in its place."""

    __slots__ = ("_codec",)

    def __init__(
        self,
        call: Call,
        format: str,
        target: Target,
        start: bytes,
        chunks: AsyncIterator[bytes],
        codec: Codec | None,
    ) -> None:
        super().__init__(call, format, target, start, chunks)
        self._codec = codec

    async def __anext__(self) -> bytes:
        if self.ended:
            raise StopAsyncIteration
        call, parts, size = self._call, [self._start], len(self._start)
        call.ticket.hold(size)
        async for data in self._chunks:
            size += len(data)
            if size > call.codec.max_answer:
                raise self._broken(ValueError(f"more than {call.codec.max_answer} bytes"))
            call.ticket.hold(len(data))
            parts.append(data)
        self.ended = True
        work: Callable[[bytes], bytes] = self._translate
        return await judge(call, size > NEW_TEXT, work, b"".join(parts))

    def _translate(self, raw: bytes) -> bytes:
        try:
            if self._codec is not None:
                raw = self._codec.assemble(raw)
            said, usage = translation.whole(self._call.codec, self._format, raw, self._context())
        except translation.FAULTS as fault:
            raise self._broken(fault) from None
        self._call.outcome.reported = usage
        return said
