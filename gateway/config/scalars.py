"""The notation of single values in `gateway.yaml`: counts, times, rates, secrets, URLs. Invalid values: ValueError.

Values come as text from `load.py`: the field determines the type, not the look of the value.
"""

from __future__ import annotations

import base64
import binascii
import re
from decimal import Decimal
from typing import Annotated, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

PLAIN_TIERS: Final = frozenset({"", "auto", "default", "standard", "standard_only"})
"""Names of the standard service tier, which has the model's own price."""
_MULTIPLIER = {"": 1, "k": 1_000, "m": 1_000_000}
_MOST: Final = 2**63  # what JSON and the stores can hold
SECONDS = {"ms": 0.001, "s": 1, "sec": 1, "min": 60, "m": 60, "h": 3600, "hour": 3600, "d": 86400, "day": 86400}


def _count(value: object) -> object:
    """`200k` -> 200000."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([km]?)", value.strip().lower())):
        amount = Decimal(match[1]) * _MULTIPLIER[match[2]]
        if amount == amount.to_integral_value() and amount < _MOST:
            return int(amount)
    if isinstance(value, str):
        raise ValueError("a count is a whole number from 0, written like 500, 200k or 3m")
    return value


def _seconds(value: object) -> object:
    """`24h` -> 86400."""
    if isinstance(value, str) and (match := re.fullmatch(r"(\d+(?:\.\d+)?)([a-z]*)", value.strip().lower())):
        if match[2] in SECONDS or not match[2]:
            return float(match[1]) * SECONDS.get(match[2], 1)
        raise ValueError(f"unknown unit of time; use one of {', '.join(SECONDS)}")
    if isinstance(value, str):
        raise ValueError("a time is written like 500ms, 30s, 5min, 24h or 7d; a bare number is seconds")
    return value


class Rate(BaseModel):
    """A number of units per number of seconds, written `60/min` or `200k/min`."""

    model_config = ConfigDict(frozen=True)
    units: int = Field(gt=0)
    seconds: float = Field(gt=0)


def _rate(value: object) -> object:
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?[kKmM]?)\s*/\s*(\d*)\s*([a-z]+)", value.strip())
        if not match or match[3] not in SECONDS:
            raise ValueError("a rate is written like 60/min, 200k/min, 5/s or 1000/h")
        return {"units": _count(match[1]), "seconds": float(match[2] or 1) * SECONDS[match[3]]}
    return value


def _secret(value: str) -> str:
    """The secret without the line end that mounted files and `$(cat ...)` add; it must fit in an HTTP header."""
    value = value.strip()
    if any(ord(c) < 32 or ord(c) > 126 for c in value):
        raise ValueError("contains a character that is not allowed in an HTTP header")
    return value


def _header(value: str) -> str:
    """A token (RFC 9110, section 5.6.2)."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", value):
        raise ValueError("the name of a header has letters, digits and -, without blanks, colons and line breaks")
    return value


def _vault_key(value: str) -> str:
    try:
        if value and len(base64.b64decode(value, validate=True)) != 32:
            raise ValueError("is not 32 bytes long")
    except binascii.Error:
        raise ValueError("is not base64; create a key with: openssl rand -base64 32") from None
    return value


def _digest(value: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", value):
        raise ValueError("is not a SHA-256 in hex (64 digits); compute it with: printf %s KEY | sha256sum")
    return value.lower()


def _http_url(value: str) -> str:
    try:
        if not value.startswith(("http://", "https://")) or not urlsplit(value).hostname or urlsplit(value).port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("must be a URL that starts with http:// or https:// and names a host") from None
    return value


def _per(value: str) -> str:
    if value in SCOPES or re.fullmatch(r"(claims|attributes)\.[!#-\[\]-~]+", value):
        return value
    raise ValueError(
        f"a limit is per {', '.join(SCOPES)}, claims.NAME (a claim of the caller's token) or attributes.NAME "
        "(assigned by the policy)"
    )


SCOPES = ("agent", "team", "model", "provider", "tool", "role")
Per = Annotated[str, AfterValidator(_per)]


Count = Annotated[int, BeforeValidator(_count, json_schema_input_type=int | str), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_seconds, json_schema_input_type=float | str), Field(ge=0)]
Rated = Annotated[Rate, BeforeValidator(_rate, json_schema_input_type=str)]
Secret = Annotated[str, AfterValidator(_secret)]
Header = Annotated[str, AfterValidator(_header)]
Digest = Annotated[str, AfterValidator(_digest)]
VaultKey = Annotated[str, AfterValidator(_vault_key)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]


def _origin(value: str) -> str:
    """`https://app.example.com`, as browsers send it in `Origin` (RFC 6454, section 6.2), or `*`."""
    if value != "*" and not re.fullmatch(r"[a-z][a-z0-9+.-]*://[^\s/?#@*,]+", value.lower()):
        raise ValueError(
            "an origin is written like https://app.example.com or http://localhost:5173, without a path and without a "
            "final slash; * alone means all origins"
        )
    return value.lower()


Origin = Annotated[str, AfterValidator(_origin)]


def _host(value: str) -> str:
    """`example.com`, or `*.example.com` for every host below it; without scheme, port or path."""
    if not re.fullmatch(r"(?:\*\.)?[\w-]+(?:\.[\w-]+)*", value):
        raise ValueError("a host is written like example.com, or *.example.com for all below; no https://, no path")
    return value.lower()


HostPattern = Annotated[str, AfterValidator(_host)]
