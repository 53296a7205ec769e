"""How a model spelled what was restored in its answer: see `redaction.spellings`."""

from __future__ import annotations

from gateway.call import Call


async def keep_spellings(call: Call) -> None:
    """How the model spelled what was restored goes on record, before the caller can send it back."""
    if call.redaction.spoken and call.runtime.redactor.spellings is not None:
        await call.runtime.redactor.spellings.keep(call)
