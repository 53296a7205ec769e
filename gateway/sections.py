"""What every section of the configuration is, and those sections that refer to no other: see `config.py`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from gateway.scalars import Count, Seconds


class Section(BaseModel):
    """A part of the file: immutable, and no unknown keys."""

    # The input may be a secret that landed in the wrong place: no error message repeats it.
    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Loops(Section):
    """Work that goes round in circles, within one correlation id. None: not looked for."""

    prompts: int | None = Field(default=None, ge=1)
    """How often one agent may send the same prompt (the last user message)."""
    turns: int | None = Field(default=None, ge=1)
    """Turns that the model may take without a new tool result while tools are offered."""
    cycles: int | None = Field(default=None, ge=1, le=30)
    """How often agents may hand over to each other in the same cycle (A -> B -> A is once)."""


class Idempotency(Section):
    """Answers kept for calls with an `Idempotency-Key`."""

    ttl: Seconds = 86400
    """How long an answer is kept."""
    max_answer: Count = 1_048_576
    """Bytes of an answer that is kept; of a larger one only that it was given."""
    lease: Seconds = Field(default=30, ge=5)
    """Seconds after which a key is free again whose gateway died in the middle of the call (shared state)."""
