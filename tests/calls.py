"""Calls for tests of single stages, without a gateway."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final, cast

from gateway.budget import Budget
from gateway.call import Call, Resource
from gateway.dialects import Codec
from gateway.dialects.openai_chat import OPENAI_CHAT
from gateway.record.telemetry import Telemetry
from gateway.scheduling.lanes import Lanes
from gateway.serving.runtime import Runtime
from gateway.serving.shares import UNCOUNTED

PLENTY: Final = 3600.0
"""Seconds of CPU time that judging a call may take: no test comes near."""
_TELEMETRY: Final = Telemetry(None)
_LANES: Final = Lanes()


def runtime(**parts: object) -> Runtime:
    """A stand-in that has what single stages ask for, and the parts given; any other part is an AttributeError."""
    model = SimpleNamespace(max_output=0)
    every = {
        "forward": SimpleNamespace(model=lambda _: model),
        "lanes": _LANES,
        "sql_facts": None,
        "telemetry": _TELEMETRY,
        **parts,
    }
    return cast("Runtime", SimpleNamespace(**every))


def call(codec: Codec = OPENAI_CHAT, **fields: Any) -> Call:
    """A call in a dialect, as it comes; `fields` are set as a stage would have set them."""
    fields = {
        "runtime": runtime(),
        "budget": Budget(PLENTY),
        "ticket": UNCOUNTED,
        "resource": Resource("llm"),
        **fields,
    }
    return Call(id="id", route=codec.path, format=codec, headers=[], started_ns=0, **fields)
