"""What every section of the configuration is, and those sections that refer to no other: see `config.py`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.scalars import Count, HttpUrl, Seconds, VaultKey

Action = Literal["mask", "redact", "hash", "partial", "block", "allow"]


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


class Policy(Section):
    """The Rego bundle and who evaluates it."""

    path: str = "policies"
    """The root of the bundle: a directory with `*.rego`, their tests, and `data.yaml` or `data.json`."""
    engine: Literal["embedded", "opa"] = "embedded"
    """`embedded` evaluates in-process, `opa` asks an OPA server that serves the same bundle."""
    url: HttpUrl = "http://127.0.0.1:8181"
    """The OPA server, for engine: opa."""
    mode: Literal["enforce", "shadow"] = "enforce"
    """`shadow` records what it would have denied and lets the call go on."""
    timeout: Seconds = 1
    """Seconds a decision may take; then the call is denied as `policy_unavailable`."""


class Pii(Section):
    """Personal data in requests."""

    default: Action = "mask"
    """What to do with what is found. mask: a placeholder, restored in the answer; hash: its type and a digest;
    partial: its last characters; redact: its type; block: refuse the call; allow: leave it."""
    entities: dict[str, Action] = Field(default_factory=dict)
    """What to do with each entity type, where it differs from the default."""
    restore: bool = True
    """Put masked values back into the answer."""
    unscannable: Literal["allow", "block"] = "block"
    """Images, audio and files, whose content no scanner here reads."""
    score: float = Field(default=0.4, ge=0, le=1)
    """Findings below this are not acted on."""
    regions: tuple[str, ...] = (
        "US",
        "GB",
        "DE",
        "FR",
        "ES",
        "IT",
        "IN",
        "CA",
        "AU",
        "BR",
        "MX",
        "NL",
        "SE",
        "CH",
        "AT",
        "PL",
        "JP",
    )
    """Where phone numbers without a country code may be from (ISO 3166)."""
    vault_key: VaultKey = Field(default="", repr=False)
    """32 bytes in base64 that encrypt the vault; embedded state makes its own key file beside the database."""
    ttl: Seconds = 86400
    """How long the vault keeps a value after its last use."""


class Output(Section):
    """What an answer may carry."""

    secrets: Literal["block", "redact", "allow"] = "block"
    """Keys, tokens and passwords in the answer."""
    pii: Literal["block", "redact", "allow"] = "redact"
    """Personal data that the caller did not send."""
    window: int = Field(default=256, ge=64, le=4096)
    """Characters of a stream held back at most until they are judged."""
    sql: tuple[str, ...] | None = None
    """Kinds of SQL statement that an answer may hold, such as [select]."""
    exfiltration_urls: Literal["block", "allow"] | None = None
    """Links and images whose URL carries data out."""
