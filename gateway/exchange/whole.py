"""Whole answers: read to the end within the bounds, judged, sent."""

from __future__ import annotations

import orjson

from gateway.call import Call, Json, Screening
from gateway.dialects import items, numbers, surrogates, tree
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import garbage
from gateway.ingress.reply import Reply
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.forward import Answer

MAX_COUNTED = 1024 * 1024  # maximum bytes of a broken answer whose tokens are counted


async def whole(answers: Answers, call: Call, answer: Answer, reply: Reply) -> None:
    """Read the answer to its end, judge the answer, and send it. Raises Refusal."""
    parts = [answer.start]
    size = len(answer.start)
    room = 0  # bytes that are counted as held
    try:
        room += _hold(call, answer, size, room)
        async for data in answer.chunks:
            size += len(data)
            if size > call.codec.max_answer:
                raise garbage(call, f"more than {call.codec.max_answer} bytes")
            room += _hold(call, answer, size, room)
            parts.append(data)
    except (
        BaseException
    ):  # the received part was paid for, so its tokens are counted; the provider's usage would be at the end
        call.outcome.heard = [_first(parts, MAX_COUNTED).decode(errors="replace")]
        raise
    call.step("output")
    call.budget.extend(size)
    long = size > NEW_TEXT or len(call.redaction.known) > SMALL
    body = await judge(call, long, judged, answers, call, parts, answer.streamed)
    await answers.keep_spellings(call)
    await reply.whole(200, body)


def _hold(call: Call, answer: Answer, size: int, room: int) -> int:
    """Count the answer of `size` bytes as held, beyond the `room` bytes counted so far; returns the additional bytes.

    If the upstream announced the length, all bytes are counted at once: of several answers that are too large together,
    the first are served. Raises Refusal(overloaded).
    """
    if size <= room:
        return 0
    more = max(size, min(answer.length, call.codec.max_answer)) - room
    call.ticket.hold(more)
    return more


def _first(parts: list[bytes], most: int) -> bytes:
    """The first bytes of a body that arrived in parts."""
    kept, size = [], 0
    for part in parts:
        kept.append(part)
        size += len(part)
        if size >= most:
            break
    return b"".join(kept)[:most]


def judged(answers: Answers, call: Call, parts: list[bytes], streamed: bool = False) -> bytes:
    """A whole answer after judging. Raises Refusal. Empties `parts`, so that a long answer is in memory only once.

    `streamed`: the answer is a stream of events, although a whole answer was requested.
    """
    parts[:] = [b"".join(parts)]
    answer, caps = parts[0], answers.caps
    if streamed:
        try:
            answer = call.codec.assemble(answer)
        except (ValueError, TypeError, AttributeError, LookupError):
            raise garbage(call, f"an event stream that is not {call.codec.noun}, or breaks off") from None
    raw, cuts = call.codec.outline(answer)
    if items.has_more_values(raw, caps.values):
        raise garbage(call, caps.words("values"))
    if items.is_deep(raw):
        raise garbage(call, f"more than {items.MOST_LEVELS} levels of nesting")
    try:
        body, mended = surrogates.loads(raw)
        call.codec.check(body, call.codec.choices(call.request.body))
    except (ValueError, AttributeError, TypeError):
        raise garbage(
            call, f"something that is not {call.codec.noun}, or has more choices than were asked for"
        ) from None
    call.screening = Screening()
    try:
        data = _screened(answers, call, orjson.dumps(body) if mended else raw, body)
        if cuts and data is not raw:
            call.codec.fill(body, answer, cuts)
            data = orjson.dumps(body)
        elif cuts:
            data = answer
    except TypeError:  # nested too deeply to be encoded
        raise garbage(call, "something that is nested too deep") from None
    answers.own.check(data)
    return data


def _screened(answers: Answers, call: Call, raw: bytes, body: Json) -> bytes:
    caps = answers.caps
    call.outcome.usage = call.codec.usage(body)
    if len(raw) > caps.least and (too_many := caps.over(call.codec.answer_items(body))):
        raise garbage(call, too_many)
    if call.outcome.usage is None or not call.outcome.usage.output:
        call.outcome.tier = call.codec.served_in(body)
        try:
            call.outcome.heard = [slot.text for slot in call.codec.whole(body).slots]
        except Refusal:  # too deep to be parsed: the filter refuses it
            call.outcome.heard = [raw.decode(errors="replace")]
    screen = answers.screen.needed(call)
    if screen is not None and (screen.whole(body) or not tree.says_once(raw, body)):
        raw = numbers.dumps(body, raw)
    return raw
