"""The request itself, and what is known of its texts.

Much new text is looked at off the event loop. Refuses with invalid_request, request_too_large and model_not_found; a
request that cannot be searched is blocked.
"""

from __future__ import annotations

from functools import partial

from gateway.budget import PASSING, Spent
from gateway.call import Call
from gateway.ingress import request
from gateway.policy import models
from gateway.redaction import taint
from gateway.redaction.redact import broken
from gateway.scheduling.judging import judge, takes_long
from gateway.scheduling.lanes import apart


async def read(call: Call, receive: request.Receive) -> None:
    """The request itself, and what is known of its texts. Much new text is looked at off the event loop."""
    runtime = call.runtime
    server = runtime.config.server
    await request.receive(call, receive, server)
    tainted = await apart(call, len(call.raw) >> 10, partial(taint.look, call))
    models.find(call)
    try:
        counted = await judge(call, takes_long(call), survey, call)
    except (*PASSING, Spent):
        raise
    except BaseException as fault:
        raise broken(call, fault, "The request could not be searched for personal data") from None
    models.check_name(call)
    if tainted:
        size = sum(len(findings) for _, findings in call.found)
        await apart(call, size, partial(taint.mark, call))
    call.input_tokens = counted + call.format.overhead(call.body) if runtime.texts.counted else 0


def survey(call: Call) -> int:
    """What the texts hold; returns their tokens, 0 where nobody asks."""
    runtime = call.runtime
    counted: int
    counted, call.found = runtime.texts.survey(call.spans, call.team)
    spans = call.spans
    if together := call.format.joined(call.body, spans):
        found = {
            id(span): findings for span, findings in runtime.texts.survey([it.span for it in together], call.team)[1]
        }
        call.joined = [(it, found[id(it.span)]) for it in together if id(it.span) in found]
        spans = [*spans, *(it.span for it in together)]
    if runtime.contents is not None:
        call.content = runtime.contents.read(spans, call.team)
    return counted
