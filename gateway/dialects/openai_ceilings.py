"""The output limit of a chat request: all fields that set one, in one table.

Servers differ in which of these fields they read, so the largest value counts, and only one field is sent. 0 and null
are not reliable limits: servers refuse 0, ignore it, or treat it as "no limit". Both are sent unchanged, and the
`max_output` of the model is reserved.

Some servers read limits and thinking budgets in other objects (`options.num_predict`, `thinking.budget_tokens`,
`extra_body.max_tokens`), or under other names. Any field with such a name counts, and a policy's limit applies to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

from gateway.call import Json
from gateway.dialects import checks
from gateway.errors import Refusal

CEILINGS: Final = (  # the first of these that the caller set is sent
    *("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"),
    *("max_gen_len", "maxOutputTokens", "n_predict", "num_predict"),
)
ANSWERS: Final = (
    *("n", "best_of", "num_return_sequences", "candidate_count", "candidateCount"),
    *("num_samples", "num_generations", "num_completions", "numReturnSequences", "bestOf"),
)
_RETURNED: Final = tuple(key for key in ANSWERS if key not in ("best_of", "bestOf"))
_CEILINGS: Final = frozenset(CEILINGS)
_SPOKEN: Final = re.compile(
    r"(?:max|min|num|n|limit|budget|thinking|reasoning)(?:output|completion|new|gen|reasoning|thinking|thought|response)*"
    r"(?:tokens?(?:tosample)?|length|len|predict|budget)|(?:\w*)(?:budgettokens|thinkingbudget|tokenbudget)"
)
_OTHER: Final = re.compile(r"[^a-z0-9]")
_CALLERS: Final = frozenset(  # what is no setting of the model
    {"messages", "tools", "functions", "metadata", "response_format", "logit_bias", "tool_choice", "function_call"}
    | {"prediction", "stream_options", "web_search_options", "audio"}
)
_DEPTH: Final = 4
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
    """The largest output limit of one answer; None without a limit. Raises Refusal(invalid_request)."""
    most = _own(body)
    return max(most, elsewhere(body)) if most else None


def _own(body: Json) -> int:
    if body.keys().isdisjoint(_CEILINGS):
        return 0
    return max([_number(body, key, 0, checks.MAX_CEILING) or 0 for key in CEILINGS])


def elsewhere(body: Json) -> int:
    """The largest number that other fields give as a ceiling or a budget of an answer; 0 without any."""
    return max(
        [_number(holder, key, -checks.MAX_CEILING, checks.MAX_CEILING) or 0 for holder, key in _spoken(body, 0)],
        default=0,
    )


@lru_cache(maxsize=1024)
def _speaks(key: str) -> bool:
    """Whether a field is called as a ceiling is."""
    return _SPOKEN.fullmatch(_OTHER.sub("", key[:64].lower())) is not None


def _spoken(holder: Json, depth: int) -> Iterator[tuple[Json, str]]:
    """Fields that are called as ceilings are, but those of the table at the top."""
    for key, value in holder.items():
        if type(value) is dict:
            if depth < _DEPTH and not (depth == 0 and key in _CALLERS):
                yield from _spoken(value, depth + 1)
        elif _speaks(key) and (depth or key not in _CEILINGS) and _is_number(value):
            yield holder, key


def _is_number(value: object) -> bool:
    return type(value) in (int, float) or (type(value) is str and value.strip().isdigit())


def answers(body: Json, keys: Sequence[str] = ANSWERS) -> int:
    """How many answers are generated, whether or not all are returned."""
    extra = body.get("extra_body")
    holders = (body, extra) if type(extra) is dict else (body,)
    return max(
        [_number(holder, key, 1, MAX_CHOICES) or 1 for holder in holders for key in keys if key in holder], default=1
    )


def choices(body: Json) -> int:
    """How many choices the answer may have: `best_of` generates more than are returned."""
    return answers(body, _RETURNED)


def tier(body: Json) -> str:
    """The requested service tier, "" for none. Raises Refusal(invalid_request) if it is no name."""
    return checks.tier(body.get("service_tier"), "auto, default or flex")


def unite(body: Json) -> bool:
    """Keep one output limit, the largest; True if anything changed."""
    given = [key for key in CEILINGS if key in body]
    if len(given) < 2:
        return False
    most = _own(body)
    if not most:
        return False
    _put(body, given, most)
    return True


def lower(body: Json, limit: int) -> bool:
    """Lower the ceiling to a policy's limit; True if anything changed."""
    lowered = [(holder, key) for holder, key in _spoken(body, 0) if float(holder[key]) > limit]
    for holder, key in lowered:
        holder[key] = limit
    most = _own(body)
    if most and most <= limit:
        return unite(body) or bool(lowered)
    _put(body, [key for key in CEILINGS if key in body] or ["max_completion_tokens"], limit)
    return True


def _put(body: Json, given: Sequence[str], value: int) -> None:
    kept = next((key for key in given if body.get(key)), given[0])
    for key in given:
        if key != kept:
            del body[key]
    body[kept] = value
