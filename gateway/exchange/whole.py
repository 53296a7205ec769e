"""A whole answer: read to its end within its bounds, judged, sent."""

from __future__ import annotations

import orjson

from gateway.call import Call, Json, Screening
from gateway.dialects import items, numbers, surrogates, tree
from gateway.errors import Refusal
from gateway.exchange.broken import garbage
from gateway.exchange.spellings import keep_spellings
from gateway.ingress.reply import Reply
from gateway.scheduling.judging import judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.forward import Answer

MAX_COUNTED = 1024 * 1024  # bytes of a broken answer whose tokens are counted


async def whole(call: Call, answer: Answer, reply: Reply) -> None:
    """Read the answer to its end, judge it, send it."""
    parts = [answer.start]
    size = len(answer.start)
    room = 0  # bytes that there is room for
    try:
        room += _hold(call, answer, size, room)
        async for data in answer.chunks:
            size += len(data)
            if size > call.format.max_answer:
                raise garbage(call, f"more than {call.format.max_answer} bytes")
            room += _hold(call, answer, size, room)
            parts.append(data)
    except BaseException:  # what came of it was paid for, and is counted; a provider's whole count would be at its end
        call.outcome.heard = [_first(parts, MAX_COUNTED).decode(errors="replace")]
        raise
    call.step("output")
    call.budget.extend(size)
    long = size > call.runtime.NEW_TEXT or len(call.redaction.known) > SMALL
    body = await judge(call, long, judged, call, parts, answer.streamed)
    await keep_spellings(call)
    await reply.whole(200, body)


def _hold(call: Call, answer: Answer, size: int, room: int) -> int:
    """Take room for `size` bytes of an answer beyond the `room` that it has; returns how much more. Raises Refusal.

    All of it at once where the length was told: of several answers that are too much together, the first are served.
    """
    if size <= room:
        return 0
    more = max(size, min(answer.length, call.format.max_answer)) - room
    call.ticket.hold(more)
    return more


def _first(parts: list[bytes], most: int) -> bytes:
    """The first bytes of a body that came in parts."""
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(kept)[:most]


def judged(call: Call, parts: list[bytes], streamed: bool = False) -> bytes:
    """A whole answer as the caller may have it. Raises Refusal. Of a long one there is no copy more than needed.

    `streamed`: it came as a stream of events, though a whole one was asked for.
    """
    parts[:] = [b"".join(parts)]
    answer, caps = parts[0], call.runtime.config.server.caps
    if streamed:
        try:
            answer = call.format.assemble(answer)
        except (ValueError, TypeError, AttributeError, LookupError):
            raise garbage(call, f"an event stream that is not {call.format.noun}, or breaks off") from None
    raw, cuts = call.format.outline(answer)
    if items.has_more_values(raw, caps.values):
        raise garbage(call, caps.words("values"))
    if items.is_deep(raw):
        raise garbage(call, f"more than {items.MOST_LEVELS} levels of nesting")
    try:
        body, mended = surrogates.loads(raw)
        call.format.check(body, call.format.choices(call.body))
    except (ValueError, AttributeError, TypeError):
        raise garbage(
            call, f"something that is not {call.format.noun}, or has more choices than were asked for"
        ) from None
    call.screening = Screening()
    try:
        data = _screened(call, orjson.dumps(body) if mended else raw, body)
        if cuts and data is not raw:
            call.format.fill(body, answer, cuts)
            data = orjson.dumps(body)
        elif cuts:
            data = answer
    except TypeError:  # nested deeper than can be written
        raise garbage(call, "something that is nested too deep") from None
    call.runtime.own.check(data)
    return data


def _screened(call: Call, raw: bytes, body: Json) -> bytes:
    caps = call.runtime.config.server.caps
    call.outcome.usage = call.format.usage(body)
    if len(raw) > caps.least and (too_many := caps.over(call.format.answer_items(body))):
        raise garbage(call, too_many)
    if call.outcome.usage is None or not call.outcome.usage.output:
        call.outcome.tier = call.format.served_in(body)
        try:
            call.outcome.heard = [span.text for span in call.format.whole(body).spans]
        except Refusal:  # deeper than it can be read: the filter says so
            call.outcome.heard = [raw.decode(errors="replace")]
    screen = call.runtime.filter(call)
    if screen is not None and (screen.whole(body) or not tree.says_once(raw, body)):
        raw = numbers.dumps(body, raw)
    return raw
