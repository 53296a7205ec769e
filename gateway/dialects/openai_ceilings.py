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
from typing import Any, Final

from gateway.bodies import Json
from gateway.budget import once
from gateway.dialects import GONE, checks
from gateway.errors import Refusal

CEILINGS: Final = (  # the first of these that the caller set is sent
    *("max_completion_tokens", "max_tokens", "max_output_tokens", "max_new_tokens", "max_tokens_to_sample"),
    *("max_gen_len", "maxOutputTokens", "n_predict", "num_predict"),
)
ANSWERS: Final = (
    *("n", "best_of", "num_return_sequences", "candidate_count", "candidateCount"),
    *("num_samples", "num_generations", "num_completions", "numReturnSequences", "bestOf"),
)
_CEILINGS: Final = frozenset(CEILINGS)
_ASKED: Final = frozenset(re.sub(r"[^a-z0-9]", "", key.lower()) for key in ANSWERS)
_GENERATED: Final = frozenset({"bestof"})  # generated answers, not all of which are returned
_RETURNED: Final = tuple(key for key in ANSWERS if key not in ("best_of", "bestOf"))
_SAME: Final = frozenset(ANSWERS)
# Words in names of ceilings and thinking budgets. A number of tokens is a ceiling, unless it counts input tokens or is
# the id of a token.
_TOKENS: Final = frozenset({"token", "tokens", "toks", "tok"})
_NOT_OUT: Final = frozenset(
    {"input", "prompt", "context", "ctx", "id", "ids", "content", "special", "cached", "cache", "stop", "eos", "bos"}
    | {"pad", "window", "vocab", "penalty", "image", "keep", "file", "embedding"}
)
_GOING_IN: Final = ("input", "prompt", "context", "cache", "stop", "special")
_BUDGET: Final = frozenset({"thinking", "think", "thought", "thoughts", "reasoning"})
_MOST: Final = frozenset({"max", "maximum", "min", "minimum", "limit", "limits", "num", "n"})
_OUT: Final = frozenset(
    {"length", "len", "output", "outputs", "generation", "generated", "gen", "completion", "response", "answer", "new"}
    | {"predict", "thinking", "reasoning", "thought", "seq", "sequence", "resp", "reply"}
)
_LENGTH: Final = frozenset({"length", "len"})
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_OTHER: Final = re.compile(r"[^a-z0-9]")
# Words in names of numbers of answers: one of each set, and of no other.
_NUMBER: Final = frozenset({"n", "num", "number", "count"})
_ANSWERS: Final = frozenset(
    {"completion", "completions", "choice", "choices", "candidate", "candidates", "answer", "answers", "response"}
    | {"responses", "output", "outputs", "generation", "generations", "sample", "samples", "sequence", "sequences"}
)
_JOINING: Final = frozenset({"of", "return", "returned"})
_CALLERS: Final = frozenset(  # fields that are not settings of the model
    {"messages", "system", "tools", "functions", "metadata", "response_format", "logit_bias", "tool_choice"}
    | {"function_call", "prediction", "stream_options", "web_search_options", "audio", "output_format", "mcp_servers"}
)
_ORDINARY: Final = _CALLERS | frozenset(  # fields of most requests that are not ceilings
    {"model", "stream", "temperature", "top_p", "top_k", "stop", "stop_sequences", "user", "seed", "n", "max_tokens"}
    | {"parallel_tool_calls", "presence_penalty", "frequency_penalty", "store", "reasoning_effort", "verbosity"}
    | {"service_tier", "logprobs", "top_logprobs", "modalities", "prompt_cache_key", "safety_identifier"}
)
_SKIPPED: Final = _ORDINARY - {"max_tokens"}  # a ceiling, which is a field of its own in some dialects only
_DEPTH: Final = 8
_LONGEST_NUMBER: Final = 64  # characters
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
    return max(most, elsewhere(body)) if most and not is_endless(body) else None


def _own(body: Json) -> int:
    if body.keys().isdisjoint(_CEILINGS):
        return 0
    return max([_number(body, key, 0, checks.MAX_CEILING) or 0 for key in CEILINGS])


def is_endless(body: Json, own: frozenset[str] = _CEILINGS) -> bool:
    """Whether a field other than `own` gives a number below 0, which servers read as no limit."""
    return any(number < 0 for number in _numbers(body, own))


def elsewhere(body: Json, own: frozenset[str] = _CEILINGS) -> int:
    """The largest number that fields other than `own` give as a ceiling or a budget of an answer; 0 without any.

    If one of them means no limit, those in `own` count too.
    """
    numbers = _numbers(body, own)
    most = max(numbers, default=0)
    return max(most, _own(body)) if any(number < 0 for number in numbers) else most


def _numbers(body: Json, own: frozenset[str]) -> list[int]:
    if body.keys() <= _ORDINARY and ("max_tokens" in own or "max_tokens" not in body):  # as in most requests
        return []
    return [_number(holder, key, -checks.MAX_CEILING, checks.MAX_CEILING) or 0 for holder, key in _spoken(body, own)]


@once
def _speaks(key: str, above: str) -> bool:
    """Whether a field has the name of a ceiling, by itself or together with the field that contains it."""
    words = _words(key)
    return _is_ceiling(words) or (bool(above) and len(words) == 1 and _is_ceiling(words | _words(above)))


def _words(key: str) -> frozenset[str]:
    return frozenset(word.lower() for word in _WORDS.findall(key[:64]))


def _is_ceiling(words: frozenset[str]) -> bool:
    if words & _NOT_OUT:
        return False
    if words & _TOKENS or "predict" in words or ("budget" in words and words & _BUDGET):
        return True
    if any(word.endswith("tokens") and not any(map(word.__contains__, _GOING_IN)) for word in words):  # maxtokens
        return True
    return bool(words <= _MOST | _OUT and words & _OUT and (words & _MOST or (words & _LENGTH and words - _LENGTH)))


@once
def _counts(key: str) -> bool:
    """Whether a field has the name of a number of answers."""
    if _OTHER.sub("", key[:64].lower()) in _ASKED:
        return True
    words = _words(key)
    return bool(words & _NUMBER and words & _ANSWERS and words <= _NUMBER | _ANSWERS | _JOINING)


def _settings(body: Json) -> Iterator[tuple[Json, str, str, bool]]:
    """Every field that may be a setting of the model: holder, key, key of the parent, whether at the top level."""
    waiting: list[tuple[Any, str, int]] = []
    for key in body.keys() - _SKIPPED:
        value = body[key]
        if type(value) is dict or type(value) is list:
            waiting.append((value, key, 1))
        else:
            yield body, key, "", True
    while waiting:
        holder, above, depth = waiting.pop()
        if type(holder) is list:
            waiting += [(one, above, depth) for one in holder if type(one) is dict]
            continue
        for key, value in holder.items():
            if type(value) is dict or type(value) is list:
                if depth < _DEPTH:
                    waiting.append((value, key, depth + 1))
            else:
                yield holder, key, above, False


def _spoken(body: Json, own: frozenset[str]) -> Iterator[tuple[Json, str]]:
    """Fields with names of ceilings, except for `own` at the top level."""
    for holder, key, above, top in _settings(body):
        if not (top and key in own) and _is_number(holder[key]) and _speaks(key, above):
            yield holder, key


def _is_number(value: object) -> bool:
    """Whether a value is a number, also in a string or as a fraction, which some servers read as a count."""
    if type(value) is not str:
        return type(value) is int or type(value) is float
    try:
        float(value)
    except ValueError:
        return False
    return len(value) <= _LONGEST_NUMBER


def answers(body: Json) -> int:
    """The number of generated answers, whether or not all are returned."""
    return _most_answers(body, ANSWERS)


def choices(body: Json) -> int:
    """The maximum number of choices in the answer: `best_of` generates more than are returned."""
    return _most_answers(body, _RETURNED, _GENERATED)


def _most_answers(body: Json, keys: Sequence[str], but: frozenset[str] = frozenset()) -> int:
    if body.keys() <= _ORDINARY and body.keys().isdisjoint(_SAME):  # as in most requests
        return 1
    own = [_number(body, key, 1, MAX_CHOICES) or 1 for key in keys if key in body]
    for holder, key, _, top in _settings(body):
        if not (top and key in _SAME) and _counts(key) and _OTHER.sub("", key[:64].lower()) not in but:
            value = holder[key]
            count = int(value) if _is_number(value) and 1 < float(value) <= MAX_CHOICES else 1
            own.append(count)
    return max(own, default=1)


def tier(body: Json) -> str:
    """The requested service tier, "" for none. Raises Refusal(invalid_request) if it is not a name."""
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


def named(body: Json, name: str) -> dict[str, Any]:
    """The changes after which the output limit is in the field `name`; the amount stays ("": no changes)."""
    given = [key for key in CEILINGS if key in body] if name else []
    if not given or given == [name]:
        return {}
    kept = _own(body) or body.get(name, body[given[0]])
    return {**dict.fromkeys(given, GONE), name: kept}


def lower(body: Json, limit: int, name: str = "max_completion_tokens") -> bool:
    """Lower the output limit to a policy's limit; True if anything changed. `name`: the field if there is none."""
    lowered = lower_elsewhere(body, limit)
    most = _own(body)
    if most and most <= limit:
        return unite(body) or lowered
    _put(body, [key for key in CEILINGS if key in body] or [name], limit)
    return True


def lower_elsewhere(body: Json, limit: int, own: frozenset[str] = _CEILINGS) -> bool:
    """Lower the ceilings in fields other than `own`, also numbers below 0, which servers read as no limit."""
    high = [(holder, key) for holder, key in _spoken(body, own) if not 0 <= float(holder[key]) <= limit]
    for holder, key in high:
        holder[key] = limit
    return bool(high)


def _put(body: Json, given: Sequence[str], value: int) -> None:
    kept = next((key for key in given if body.get(key)), given[0])
    for key in given:
        if key != kept:
            del body[key]
    body[kept] = value
