"""Records how the model spelled the restored values of its answer: see `redaction.spellings`."""

from __future__ import annotations

from gateway.call import Call


async def keep_spellings(call: Call) -> None:
    """Record the spellings of restored values before the caller can send the text back."""
    redactor = call.runtime.redactor
    if redactor is not None and redactor.spellings is not None and call.redaction.spoken:
        await redactor.spellings.keep(call)
