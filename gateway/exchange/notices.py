"""Notifications of a tool server before its answer: each is judged as a result, and sent as an event to the caller.

A notification that is refused is left out; its labels stay with the workflow, and the call goes on.
"""

from __future__ import annotations

import orjson

from gateway.call import Call, Json
from gateway.dialects.mcp import Mcp
from gateway.errors import Refusal
from gateway.exchange.answers import Answers
from gateway.exchange.tool import judged_text
from gateway.ingress.reply import Reply
from gateway.policy.results import Results
from gateway.tools.notices import PROGRESS
from gateway.tools.wire import Relay


def relay(answers: Answers, results: Results, call: Call, reply: Reply) -> Relay | None:
    """What passes notifications on to the caller of a call; None if the caller takes no events.

    The answer to a call with an `Idempotency-Key` is kept whole, so that no events come before it.
    """
    codec = call.codec
    if not isinstance(codec, Mcp) or not codec.takes_events or call.request.control or call.replay.keeper is not None:
        return None

    async def send(said: Json) -> None:
        params = await _judged(answers, results, call, codec, said["params"])
        if params is None:
            return
        if said["method"] == PROGRESS:
            params["progressToken"] = codec.progress
        data = codec.event(orjson.dumps({"jsonrpc": "2.0", "method": said["method"], "params": params}))
        answers.own.check(data)
        await reply.stream(data)

    return send


async def _judged(answers: Answers, results: Results, call: Call, codec: Mcp, params: Json) -> Json | None:
    """The parameters after judging, as if they were a result; None if they may not pass."""
    raw = orjson.dumps({"jsonrpc": "2.0", "id": codec.id, "result": params})
    outcome = call.outcome
    usage, heard = outcome.usage, outcome.heard
    try:
        result: Json = orjson.loads(await judged_text(answers, results, call, raw))["result"]
    except Refusal as refusal:
        if refusal.domain not in ("policy", "upstream"):
            raise
        return None
    finally:
        outcome.usage, outcome.heard = usage, heard
    return result
