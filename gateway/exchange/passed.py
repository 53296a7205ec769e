"""Answers of calls that are passed through: JSON as ever, text as one text or as JSON lines, other bytes unread.

What no scanner can read is passed or refused by `output.unscannable`. Fails closed.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from gateway.call import Call, Screening
from gateway.dialects import multipart
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import garbage
from gateway.exchange.whole import judged, screened
from gateway.ingress.reply import Reply
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.answer import Answer

_KIND: Final = re.compile(r"[a-z]+/[a-z0-9.+-]{1,64}(?:; ?charset=utf-8)?")
_UNKNOWN: Final = "application/octet-stream"


async def passed(answers: Answers, call: Call, answer: Answer, reply: Reply) -> None:
    """Read the answer to its end, judge what is text in it, and send it. Raises Refusal."""
    parts, size = [answer.start], len(answer.start)
    call.ticket.hold(size)
    while not answer.ended and (data := await anext(answer.chunks, None)) is not None:
        size += len(data)
        if size > call.codec.max_answer:
            raise garbage(call, f"more than {call.codec.max_answer} bytes")
        call.ticket.hold(len(data))
        parts.append(data)
    call.step("output")
    call.budget.extend(size)
    long = size > NEW_TEXT or len(call.redaction.known) > SMALL
    kind = answer.kind if _KIND.fullmatch(answer.kind) else _UNKNOWN
    if kind.startswith("application/json"):
        body = await judge(call, long, judged, answers, call, parts)
    else:
        body = await judge(call, long, _judged, answers, call, b"".join(parts))
    await answers.keep_spellings(call)
    if call.outcome.state is not None or call.reference is not None:
        await answers.keep_state(call)
    await reply.whole(200, body, kind=kind)


def _judged(answers: Answers, call: Call, raw: bytes) -> bytes:
    """A text after judging; other bytes as they are. Raises Refusal."""
    call.screening = Screening()
    said = multipart.content(raw)
    if "data" in said:
        if answers.screen.unscannable == "block":
            words = (
                f"The answer is {multipart.kind(said)} data that no scanner can read. The operator may set "
                "output.unscannable: allow."
            )
            raise Refusal("output_blocked", words, stage="output")
        answers.own.check(raw)
        call.outcome.usage = call.codec.usage({})
        return raw
    before = orjson.dumps(said)
    after = screened(answers, call, before, said)
    data = raw if after is before else multipart.data_of(said)
    answers.own.check(data)
    return data
