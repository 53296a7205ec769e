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


def call(codec: Codec = OPENAI_CHAT, **fields: Any) -> Call:
    """A call in a dialect, as it comes; `fields` are set as a stage would have set them."""
    fields = {
        "lanes": _LANES,
        "budget": Budget(PLENTY),
        "ticket": UNCOUNTED,
        "resource": Resource("llm"),
        **fields,
    }
    return Call(id="id", route=codec.path, format=codec, headers=[], started_ns=0, **fields)
