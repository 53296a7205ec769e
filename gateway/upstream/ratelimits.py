"""Reads the rate limits that a provider tells in the headers of its answers.

`x-ratelimit-{limit,remaining,reset}-{requests,tokens}` (OpenAI and many others) and
`anthropic-ratelimit-{requests,tokens,input-tokens,output-tokens}-{limit,remaining,reset}` (Anthropic). The reset is a
duration such as `6m0s`, a number of seconds, or a time (RFC 3339): when the limit is whole again.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from gateway.upstream.client import Response

_ANTHROPIC: Final = ("tokens", "input-tokens", "output-tokens")
_DURATION: Final = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?")
_REQUESTS: Final = (b"x-ratelimit-remaining-requests", b"anthropic-ratelimit-requests-remaining")
_TOKENS: Final = (b"x-ratelimit-remaining-tokens", b"anthropic-ratelimit-tokens-remaining")
_FEW: Final = 100  # requests
_FEW_TOKENS: Final = 100_000
_UNITS: Final = (86400, 3600, 60, 1, 0.001)
_LONGEST: Final = 30 * 86400  # seconds; a longer time is a mistake
BELIEVED: Final = 86_400.0
"""Seconds for which a target is left alone at most, whatever time its provider names: then a call tries it again.

Providers count their limits of calls and tokens by the minute up to the day; a longer time is a mistake.
"""


class Told(NamedTuple):
    """One limit: its size, what remains of it, and the seconds until it is whole again."""

    unit: str  # requests or tokens
    limit: float
    remaining: float
    reset: float


def is_tight(response: Response) -> bool:
    """Whether an answer says that few requests or tokens are left. Most answers do not: their limits are not read."""
    for requests, tokens in zip(_REQUESTS, _TOKENS, strict=True):
        if said := response.values(requests):
            return _few(said, _FEW) or _few(response.values(tokens), _FEW_TOKENS)
    return False


def _few(said: Sequence[str], least: int) -> bool:
    return bool(said) and said[0].isdecimal() and len(said[0]) < 16 and int(said[0]) < least


def told(headers: Mapping[str, str]) -> Iterator[Told]:
    """The limits of an answer; a limit without a valid remainder and reset is left out."""
    for unit in ("requests", "tokens"):
        yield from _one(headers, unit, "x-ratelimit-{}-" + unit)
    yield from _one(headers, "requests", "anthropic-ratelimit-requests-{}")
    for name in _ANTHROPIC:
        yield from _one(headers, "tokens", f"anthropic-ratelimit-{name}-{{}}")


def _one(headers: Mapping[str, str], unit: str, form: str) -> Iterator[Told]:
    remaining, limit = (_number(headers.get(form.format(part), "")) for part in ("remaining", "limit"))
    reset = seconds(headers.get(form.format("reset"), ""))
    if remaining is not None and reset is not None:
        yield Told(unit, max(limit or 0.0, remaining, 1.0), remaining, reset)


def _number(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d{1,15}(?:\.\d{1,9})?", value.strip(), re.ASCII) else None


def seconds(value: str) -> float | None:
    """The seconds in a duration, a number of seconds, or a time; None for anything else."""
    value = value.strip()
    if not value or len(value) > 40 or not value.isascii():
        return None
    found = _number(value)
    if found is None and (match := _DURATION.fullmatch(value)) is not None:
        found = sum(float(part) * unit for part, unit in zip(match.groups(), _UNITS, strict=True) if part)
    elif found is None:
        try:
            found = max(0.0, datetime.fromisoformat(value).timestamp() - time.time())
        except (ValueError, OverflowError, OSError):
            return None
    return found if found <= _LONGEST else None
