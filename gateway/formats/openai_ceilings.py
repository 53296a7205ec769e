"""How much a chat request may have generated: every field that says so, in one table.

Servers differ in which of these fields they read, so the largest counts, and what is sent holds only one. 0 and null
are no ceiling that anyone can rely on: servers refuse 0, ignore it, or take it for "no limit". Both are sent as they
came, and the model's own `max_output` is reserved.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway.call import Json
from gateway.errors import Refusal

CEILINGS: Final = (  # the first one that the caller gave is the one that is sent
    *("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"),
    *("max_gen_len", "maxOutputTokens", "n_predict", "num_predict"),
)
ANSWERS: Final = ("n", "best_of", "num_return_sequences", "candidate_count", "candidateCount")
_CEILINGS: Final = frozenset(CEILINGS)
_TIER: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
MAX_CEILING: Final = 10_000_000  # tokens; above this a ceiling is a mistake, not a wish
MAX_CHOICES: Final = 128


def _number(body: Json, key: str, lowest: int, highest: int) -> int | None:
    value = body.get(key)
    if value is None:
        return None
    if type(value) is not int or not lowest <= value <= highest:
        problem = f"`{key}` must be an integer from {lowest} to {highest}."
        raise Refusal("invalid_request", problem, param=key)
    return value


def ceiling(body: Json) -> int | None:
    """The largest ceiling of one answer; None without any. Raises Refusal(invalid_request) naming the parameter."""
    if body.keys().isdisjoint(_CEILINGS):
        return None
    return max([_number(body, key, 0, MAX_CEILING) or 0 for key in CEILINGS]) or None


def answers(body: Json) -> int:
    """How many answers are generated, whether or not all are returned."""
    return max([_number(body, key, 1, MAX_CHOICES) or 1 for key in ANSWERS if key in body], default=1)


def tier(body: Json) -> str:
    """The service tier that is asked for, "" for none. Raises Refusal(invalid_request) for what is no name."""
    said = body.get("service_tier")
    if said is None:
        return ""
    if type(said) is not str or not _TIER.fullmatch(said):
        raise Refusal(
            "invalid_request", "`service_tier` must be a name such as auto, default or flex.", param="service_tier"
        )
    return said


def unite(body: Json) -> bool:
    """Leave one ceiling, the largest; True if anything changed."""
    given = [key for key in CEILINGS if key in body]
    if len(given) < 2:
        return False
    most = ceiling(body)
    if most is None:
        return False
    _put(body, given, most)
    return True


def lower(body: Json, limit: int) -> bool:
    """Lower the ceiling to a policy's limit; True if anything changed."""
    most = ceiling(body)
    if most is not None and most <= limit:
        return unite(body)
    _put(body, [key for key in CEILINGS if key in body] or ["max_completion_tokens"], limit)
    return True


def _put(body: Json, given: Sequence[str], value: int) -> None:
    kept = next((key for key in given if body.get(key)), given[0])
    for key in given:
        if key != kept:
            del body[key]
    body[kept] = value
