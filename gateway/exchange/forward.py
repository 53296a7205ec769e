"""The call leaves for an upstream, and the answer comes back: whole or as a stream."""

from __future__ import annotations

from gateway.call import Call
from gateway.exchange.stream import stream
from gateway.exchange.whole import whole
from gateway.ingress.reply import Reply


async def forward(call: Call, reply: Reply) -> None:
    """Send the call, and the answer back as it may be."""
    answer = await call.runtime.forward.open(call, call.targets)
    try:
        if call.stream:
            await stream(call, answer, reply)
        else:
            await whole(call, answer, reply)
        call.outcome.finished = True
    finally:
        answer.close(call.outcome.finished)
