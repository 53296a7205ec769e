"""Answers of tool servers: read whole, judged as any answer, and judged by the policy as texts of a stranger."""

from __future__ import annotations

from gateway.call import Call
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import loaded
from gateway.exchange.whole import judged
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.forward import Answer


async def tool(answers: Answers, results: Results, call: Call, answer: Answer, reply: Reply) -> None:
    """Judge an answer that is complete, and send it. Raises Refusal."""
    codec = call.codec
    if isinstance(codec, Mcp) and codec.told:
        await reply.whole(202, b"")
        return
    raw = answer.start
    call.step("output")
    call.budget.extend(len(raw))
    long = len(raw) > NEW_TEXT or len(call.redaction.known) > SMALL
    asked: Call | None = None
    if not call.request.control:
        asked = await judge(call, long, _read, answers, results, call, raw)
    refused: Refusal | None = None
    try:
        body = await judge(call, long, judged, answers, call, [raw])
    except Refusal as refusal:
        refused = refusal
    if asked is not None:
        await results.judge(asked)
    if refused is not None:
        raise refused
    if call.redaction.spoken:
        await answers.keep_spellings(call)
    await reply.whole(200, body)


def _read(answers: Answers, results: Results, call: Call, raw: bytes) -> Call | None:
    """The call as the policy judges its result; None for what is no result, which `judged` refuses."""
    try:
        slots = call.codec.whole(loaded(raw, answers.caps)[0]).slots
    except (ValueError, Refusal):
        return None
    return results.read(call, slots)
