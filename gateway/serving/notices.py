"""Push notifications of other agents: `POST /a2a/{agent}/notifications/{token}`, without a key.

The token in the path says whose task it is, and is valid only as the gateway made it. What is judged is delivered to
the client in the background.
"""

from __future__ import annotations

from typing import Final

import orjson

from gateway import budget
from gateway.agents.push import Told
from gateway.call import Call, Resource, Usage
from gateway.dialects.a2a_notice import Notice
from gateway.errors import Refusal
from gateway.ingress.request import read_body
from gateway.ingress.wire import Receive
from gateway.pipeline import Line
from gateway.serving.runtime import Runtime

_MOST: Final = 4 * 1024 * 1024  # bytes of a notification


def unknown() -> Refusal:
    """The refusal for a URL that is not valid, or not any more."""
    return Refusal("tool_not_found", "There is nothing at this URL, or not any more.", status=404)


async def notice(runtime: Runtime, call: Call, told: Told, receive: Receive) -> None:
    """Judge a notification, and have it delivered. `call`: of the one that the notification is for.

    Raises Refusal, StoreUnavailable, Disconnected.
    """
    codec = call.codec
    assert isinstance(codec, Notice), "notifications have a codec of their own"
    body = await read_body(receive, call.headers, _MOST, call.ticket.hold)
    try:
        raw = codec.read(body)
    except (ValueError, TypeError):
        raise Refusal("invalid_request", "The body is not a notification of the protocol.") from None
    call.subject, call.resource = told.subject, Resource("agent", codec.agent)
    call.request.correlation_id = told.workflow
    call.ticket.claim(told.subject.team)
    judged = await _judged(runtime.line, call, told, raw)
    if codec.is_piece:
        return
    said = orjson.dumps(orjson.loads(judged)["result"]) if judged != raw else body
    if not await runtime.line.desks.a2a.deliver(call, told, said):
        raise Refusal("overloaded", "Too many notifications wait to be delivered. Try again later.", retry_after=5)


async def _judged(line: Line, call: Call, told: Told, raw: bytes) -> bytes:
    """The notification after judging, as the answer of a call that reads the task. Raises Refusal."""
    budget.bind(call.budget)
    status = 500
    try:
        call.step("reserve")
        await line.reserve.reserve(call)
        call.request.label = call.resource.name
        await line.desks.a2a.notified(call, told)
        call.outcome.sent, call.outcome.status, call.outcome.usage = True, 200, Usage()
        judged = await line.exchange.notice(call, raw)
        call.outcome.finished, status = True, 202
        return judged
    except Refusal as refusal:
        refusal.stage = refusal.stage or call.stage
        call.refusal, status = refusal, refusal.status
        raise
    finally:
        call.step("settle")
        await line.settle.end(call, status)
