"""Calls for tests of single stages, without a gateway."""

from __future__ import annotations

from typing import Any, Final

from gateway.budget import Budget
from gateway.call import Call, Resource
from gateway.dialects import Codec
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.scheduling.lanes import Lanes
from gateway.serving.shares import UNCOUNTED

PLENTY: Final = 3600.0
"""Seconds of CPU time that judging a call may take: no test comes near."""
_LANES: Final = Lanes()


_RECORDS: Final = ("request", "admission", "replay", "redaction", "authorization")


def write(call: Call, **fields: Any) -> Call:
    """Set fields of a call, or of the record of the call that has a field with this name."""
    for name, value in fields.items():
        records = [call, *(getattr(call, record) for record in _RECORDS)]
        owner = next(record for record in records if name in record.__slots__)
        setattr(owner, name, value)
    return call


def call(codec: Codec = OPENAI_CHAT, **fields: Any) -> Call:
    """A new call in a dialect; `fields` are set as a stage would set them."""
    call = Call(
        id="id",
        route=codec.path,
        resource=Resource("llm"),
        codec=codec,
        headers=[],
        started_ns=0,
        budget=Budget(PLENTY),
        lanes=_LANES,
        ticket=UNCOUNTED,
    )
    return write(call, **fields)
