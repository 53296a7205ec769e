"""Stage `redact`: removes findings of patterns, names, and values across content parts from the request."""

from __future__ import annotations

from functools import partial

from gateway.call import Call
from gateway.dialects.parts import merged
from gateway.redaction import openings, passages
from gateway.redaction.edits import NO_EDIT
from gateway.redaction.names import Names
from gateway.redaction.openings import Openings
from gateway.redaction.redact import Replacer
from gateway.scheduling.lanes import apart


class Redact:
    """The stage, built for one configuration. `names`: with `pii.ner`; `replacer`: None with `pii: null`."""

    def __init__(self, names: Names | None, replacer: Replacer | None, memory: Openings) -> None:
        self._names = names
        self._replacer = replacer
        self._memory = memory

    async def redact(self, call: Call) -> None:
        """Write `call.request.found` and `call.redaction`, and change the body. Raises Refusal, StoreUnavailable."""
        if self._names is not None:
            call.request.found = await self._names.add(
                call.request.slots, call.request.found, call.team, partial(apart, call)
            )
        reading = openings.of(call)
        if call.request.joined:
            size = sum(len(findings) for found in (call.request.found, call.request.joined) for _, findings in found)
            await apart(call, size, partial(_merge, call, reading))
        if self._replacer is not None:
            await self._replacer.redact(call)
        elif reading is not None:
            reading.edit = NO_EDIT
        self._memory.keep(call)


def _merge(call: Call, reading: openings.Reading | None) -> None:
    """Merge the findings in joined content parts with those in each part."""
    if reading is not None:
        passages.merge(call, reading)
    else:
        call.request.found = merged(call.request.found, call.request.joined, call.request.slots)
