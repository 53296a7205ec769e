"""How a model spelled what was restored in its answer: see `redaction.spellings`."""

from __future__ import annotations

from gateway.call import Call


async def keep_spellings(call: Call) -> None:
    """How the model spelled what was restored goes on record, before the caller can send it back."""
    redactor = call.runtime.redactor
    if redactor is not None and redactor.spellings is not None and call.redaction.spoken:
        await redactor.spellings.keep(call)
