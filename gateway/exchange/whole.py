"""Whole answers: read to the end within the bounds, judged, sent."""

from __future__ import annotations

import re
from typing import NamedTuple

import orjson

from gateway.call import Call, Json, Screening, Usage
from gateway.dialects import Codec, nulls, numbers, tree
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import TooMuch, garbage, loaded
from gateway.exchange.heard import MAX_COUNTED, Listener
from gateway.ingress.reply import Reply
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.answer import Answer

_REPEATS = re.compile(rb'logprobs(?!"\s*:\s*(?:null|\[\s*\]|-?[0-9]))')  # log probabilities, other than none
_NO_STREAM = "an event stream that is not {}, or breaks off"


class Parsed(NamedTuple):
    """An answer that was parsed before it is judged, and is not edited yet. `mended`: see `loaded`."""

    body: Json
    mended: bool
    survey: tree.Survey


async def whole(answers: Answers, call: Call, answer: Answer, reply: Reply) -> None:
    """Read the answer to its end, judge the answer, and send it. Raises Refusal."""
    parts = [answer.start]
    size = len(answer.start)
    room = 0  # bytes that are counted as held
    listener = _listener(call) if answer.streamed else None
    try:
        room += _hold(call, answer, size, room)
        if listener is not None:
            listener.feed(answer.start)
        while (
            not answer.ended
            and (listener is None or not listener.ended)
            and (data := await anext(answer.chunks, None)) is not None
        ):
            size += len(data)
            if size > call.codec.max_answer:
                raise garbage(call, f"more than {call.codec.max_answer} bytes")
            room += _hold(call, answer, size, room)
            parts.append(data)
            if listener is not None:
                listener.feed(data)
    except BaseException:
        _count(call, parts, listener)
        raise
    call.step("output")
    call.budget.extend(size)
    long = size > NEW_TEXT or len(call.redaction.known) > SMALL
    try:
        body = await judge(call, long, judged, answers, call, parts, answer.streamed)
    except BaseException:
        if call.outcome.usage is None and not call.outcome.heard:  # the answer could not be read
            _count(call, parts, listener)
        raise
    if call.redaction.spoken:
        await answers.keep_spellings(call)
    if call.outcome.state is not None or call.outcome.made or call.reference is not None:
        await answers.keep_state(call)
    await reply.whole(200, body)


def _count(call: Call, parts: list[bytes], listener: Listener | None) -> None:
    """The received part of a broken answer was paid for: record what it said, to count its tokens."""
    if listener is not None:
        listener.tell(call.outcome)
    else:  # the provider's usage would be at the end
        call.outcome.heard = [_first(parts, MAX_COUNTED).decode(errors="replace")]


def _listener(call: Call) -> Listener:
    """Reads the stream of an answer that was asked for as a whole. Raises Refusal where the dialect has no streams."""
    try:
        return Listener(call)
    except ValueError:
        raise garbage(call, _NO_STREAM.format(call.codec.noun)) from None


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


def judged(
    answers: Answers, call: Call, parts: list[bytes], streamed: bool = False, parsed: Parsed | None = None
) -> bytes:
    """A whole answer after judging. Raises Refusal. Empties `parts`, so that a long answer is in memory only once.

    `streamed`: the answer is a stream of events, although a whole answer was requested. `parsed`: `parts`, if they were
    parsed before.
    """
    parts[:] = [b"".join(parts)]
    answer, caps = parts[0], answers.caps
    if streamed:
        try:
            answer = call.codec.assemble(answer)
        except (ValueError, TypeError, AttributeError, LookupError):
            raise garbage(call, _NO_STREAM.format(call.codec.noun)) from None
    raw, cuts = call.codec.outline(answer)
    try:
        body, mended, survey = (*loaded(raw, caps), None) if parsed is None or raw is not answer else parsed
        if nulls.may_hold(raw) and call.codec.drop_nulls(body):
            mended, survey = True, None
        call.codec.check(body, call.codec.choices(call.request.body))
    except TooMuch as fault:
        raise garbage(call, str(fault)) from None
    except (ValueError, AttributeError, TypeError):
        raise garbage(
            call, f"something that is not {call.codec.noun}, or has more choices than were asked for"
        ) from None
    call.screening = Screening()
    try:
        data = screened(answers, call, orjson.dumps(body) if mended else raw, body, survey)
        if cuts and data is not raw:
            call.codec.fill(body, answer, cuts)
            data = orjson.dumps(body)
        elif cuts:
            data = answer
    except TypeError:  # nested too deeply to be encoded
        raise garbage(call, "something that is nested too deep") from None
    answers.own.check(data)
    if not call.outcome.translated and (call.reference is not None or call.codec.keeps(call.request.body)):
        call.outcome.state = call.codec.state(body)
    if call.codec.marker and not call.outcome.translated and call.codec.marker in raw:
        call.outcome.made = call.codec.makes(body)
    return data


def is_empty(codec: Codec, answer: Json) -> bool:
    """Whether an ended answer without a report of its usage has used nothing: a batch has its answers elsewhere."""
    return not codec.through and not codec.answer_items(answer).get("parts")


def screened(answers: Answers, call: Call, raw: bytes, body: Json, survey: tree.Survey | None = None) -> bytes:
    """The bytes of a checked answer after judging. Writes usage, and the texts for counting tokens. Raises Refusal.

    `survey`: the survey of the answer, if known.
    """
    caps = answers.caps
    call.outcome.usage = call.codec.usage(body)
    call.outcome.pending = call.codec.pending(body) and (
        call.reference is not None or call.codec.defers(call.request.body)
    )
    if len(raw) > caps.least and (too_many := caps.over(call.codec.answer_items(body))):
        raise garbage(call, too_many)
    call.outcome.ended = call.reference is not None and call.codec.ended(body)
    if call.outcome.pending:  # charged when its end is seen
        call.outcome.usage = Usage()
    elif call.outcome.ended and call.outcome.usage is None and is_empty(call.codec, body):
        call.outcome.usage = Usage()  # it failed, or was cancelled, before anything was said
    elif call.outcome.usage is None or not call.outcome.usage.output:
        call.outcome.tier = call.codec.served_in(body)
        try:
            survey = survey or call.codec.whole(body)
            call.outcome.heard = [slot.text for slot in survey.slots]
        except Refusal:  # too deep to be parsed: the filter refuses it
            call.outcome.heard = [raw.decode(errors="replace")]
    screen = answers.screen.needed_whole(call)
    if screen is not None and (screen.whole(body, survey, repeats=repeats(raw)) or not tree.says_once(raw, body)):
        raw = numbers.dumps(body, raw)
    return raw


def repeats(raw: bytes) -> bool:
    """Whether JSON may have log probabilities, other than none. An escape may spell their name."""
    return b"\\u00" in raw or (b"logprobs" in raw and _REPEATS.search(raw) is not None)
