"""Answers of tool servers: read whole, judged as any answer, and judged by the policy as texts of a stranger."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

import orjson

from gateway.call import Call, Json, Resource
from gateway.dialects.a2a_rest import A2aRest
from gateway.dialects.http_tool import HttpTool
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.broken import loaded
from gateway.exchange.whole import Parsed, judged
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.redaction.recall import hide
from gateway.scheduling.judging import NEW_TEXT, judge
from gateway.scheduling.lanes import SMALL
from gateway.upstream.answer import Answer

_RESULT: Final = b',"result":'
_LONG: Final = 4096  # bytes of a result that is worth remembering
_MOST: Final = 16 * 1024 * 1024  # bytes of all that are remembered


class Lists:
    """Results of messages of the protocol that were judged: lists of tools are long, and asked for again and again.

    Nothing of a call is in these results, so that the verdict depends on the configuration alone.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, bytes] = {}
        self._size = 0

    def find(self, result: bytes) -> bytes | None:
        """The judged form of a result."""
        return self._known.get(hashlib.sha256(result).digest())

    def keep(self, result: bytes, judged: bytes) -> None:
        """Remember the judged form."""
        if len(judged) < _LONG or len(judged) > _MOST // 8:
            return
        if self._size + len(judged) > _MOST:
            self._known.clear()
            self._size = 0
        self._known[hashlib.sha256(result).digest()] = judged
        self._size += len(judged)


async def told(answers: Answers, lists: Lists, call: Call, answer: Answer, reply: Reply) -> None:
    """Judge and send the answer to a message of the protocol. Raises Refusal."""
    codec = call.codec
    if isinstance(codec, Mcp) and codec.told:
        await reply.whole(202, b"")
        return
    raw = answer.start
    call.step("output")
    at = raw.find(_RESULT)
    known = lists.find(raw[at:]) if at >= 0 else None
    if known is not None:
        await _send(answers, call, raw[:at] + known, reply)
        return
    call.budget.extend(len(raw))
    body = await judge(call, len(raw) > NEW_TEXT, judged, answers, call, [raw])
    if at >= 0 and body.startswith(raw[:at] + _RESULT):
        lists.keep(raw[at:], body[at:])
    await _send(answers, call, body, reply)


async def described(answers: Answers, call: Call, said: Json) -> Json:
    """What an agent says of itself, as the result of a message of the protocol, after judging. Raises Refusal."""
    call.step("output")
    raw = orjson.dumps({"jsonrpc": "2.0", "id": None, "result": said})
    call.budget.extend(len(raw))
    body = await judge(call, len(raw) > NEW_TEXT, judged, answers, call, [raw])
    result: Json = orjson.loads(body)["result"]
    return result


async def tool(answers: Answers, results: Results, call: Call, answer: Answer, reply: Reply) -> None:
    """Judge the answer to a call, which is complete, and send it. Raises Refusal."""
    await _send(answers, call, await judged_answer(answers, results, call, answer.start), reply)


async def _send(answers: Answers, call: Call, body: bytes, reply: Reply) -> None:
    """Send a judged answer, in the form that the caller's protocol has. Raises Refusal."""
    codec = call.codec
    if isinstance(codec, Mcp) and codec.added:
        body = codec.adding(body)
    if isinstance(codec, Mcp) and reply.begun:
        await reply.end(codec.event(body))
        return
    if not isinstance(codec, HttpTool | A2aRest):
        await reply.whole(codec.answer_status(body) if isinstance(codec, Mcp) else 200, body)
        return
    status, body, kind = codec.delivered(body)
    answers.own.check(body)
    await reply.whole(status, body, kind=kind)


async def judged_answer(answers: Answers, results: Results, call: Call, raw: bytes) -> bytes:
    """An answer after judging. Raises Refusal."""
    call.step("output")
    return await judged_text(answers, results, call, raw)


async def judged_text(answers: Answers, results: Results, call: Call, raw: bytes) -> bytes:
    """An answer, or a message before it in the form of an answer, after judging. Raises Refusal."""
    call.budget.extend(len(raw))
    long = len(raw) > NEW_TEXT or len(call.redaction.known) > SMALL
    asked, parsed = (await judge(call, long, _read, answers, results, call, raw)) if results.judges else (None, None)
    if call.request.recalled:
        raw, parsed = _hidden(call, raw), None
    try:
        body = await judge(call, long, judged, answers, call, [raw], False, parsed)
    except Refusal:
        if asked is not None:
            await results.judge(asked)
        raise
    if asked is not None:
        await results.judge(asked)
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


def _read(answers: Answers, results: Results, call: Call, raw: bytes) -> tuple[Call | None, Parsed | None]:
    """The call as the policy judges its result, and the parsed result; nothing for what `judged` refuses."""
    try:
        body, mended = loaded(raw, answers.caps)
        survey = call.codec.whole(body)
    except (ValueError, Refusal):
        return None, None
    return results.read(_begun(call), survey.slots), Parsed(body, mended, survey)


def _begun(call: Call) -> Call:
    """The call that a result belongs to. That of a task was said by the tool that runs, whoever asks for it."""
    codec = call.codec
    if not isinstance(codec, Mcp) or codec.task is None:
        return call
    return replace(call, resource=Resource("tool", f"{codec.server}/{codec.task.tool}"))
