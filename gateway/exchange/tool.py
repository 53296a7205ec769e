"""Answers of tool servers: read whole, judged as any answer, and judged by the policy as texts of a stranger."""

from __future__ import annotations

import orjson

from gateway.call import Call
from gateway.dialects.http_tool import HttpTool
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import loaded
from gateway.exchange.whole import judged
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.redaction.recall import hide
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.answer import Answer


async def tool(answers: Answers, results: Results, call: Call, answer: Answer, reply: Reply) -> None:
    """Judge an answer that is complete, and send it. Raises Refusal."""
    codec = call.codec
    if isinstance(codec, Mcp) and codec.told:
        await reply.whole(202, b"")
        return
    body = await _judged(answers, results, call, answer.start)
    if not isinstance(codec, HttpTool):
        await reply.whole(200, body)
        return
    status, body, kind = codec.delivered(body)
    answers.own.check(body)
    await reply.whole(status, body, kind=kind)


async def _judged(answers: Answers, results: Results, call: Call, raw: bytes) -> bytes:
    """An answer after judging. Raises Refusal."""
    call.step("output")
    call.budget.extend(len(raw))
    long = len(raw) > NEW_TEXT or len(call.redaction.known) > SMALL
    asked: Call | None = None
    if not call.request.control:
        asked = await judge(call, long, _read, answers, results, call, raw)
    refused: Refusal | None = None
    try:
        body = await judge(call, long, judged, answers, call, [_hidden(call, raw) if call.request.recalled else raw])
    except Refusal as refusal:
        refused = refusal
    if asked is not None:
        await results.judge(asked)
    if refused is not None:
        raise refused
    if call.redaction.spoken:
        await answers.keep_spellings(call)
    return body


def _hidden(call: Call, raw: bytes) -> bytes:
    """The answer with placeholders in place of values that only the tool has."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return raw
    return orjson.dumps(body) if type(body) is dict and hide(call, body) else raw


def _read(answers: Answers, results: Results, call: Call, raw: bytes) -> Call | None:
    """The call as the policy judges its result; None for what is no result, which `judged` refuses."""
    try:
        slots = call.codec.whole(loaded(raw, answers.caps)[0]).slots
    except (ValueError, Refusal):
        return None
    return results.read(call, slots)
