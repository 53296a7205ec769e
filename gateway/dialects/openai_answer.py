"""Usage and log probabilities of chat completions, whole or streamed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gateway.bodies import Json, Usage
from gateway.dialects import count, hosted_runs, integer, tree
from gateway.dialects.openai_tables import CHUNK, TEXTS


def usage(answer: Json) -> Usage | None:
    """The usage that the provider reported; None without a plausible report."""
    told = answer.get("usage")
    if type(told) is not dict:
        return None
    total_in, total_out = count(told.get("prompt_tokens")), count(told.get("completion_tokens"))
    if total_in is None or total_out is None:
        return None
    # Some providers bill thinking tokens that are not in `completion_tokens`; the total includes them.
    total_out = max(total_out, (count(told.get("total_tokens")) or 0) - total_in)
    prompt, completion = details(told, "prompt"), details(told, "completion")
    return Usage(
        input=total_in,
        output=total_out,
        cached=integer(prompt.get("cached_tokens")),
        reasoning=integer(completion.get("reasoning_tokens")),
        audio=integer(completion.get("audio_tokens")),
        audio_input=integer(prompt.get("audio_tokens")),
        tier=tier(answer),
        runs=hosted_runs.told(told) if "server_tool_use" in told else (),
    )


def single(answer: Json) -> tree.Single | None:
    """See `Codec.single`: one choice, whose message is one text."""
    choices = answer["choices"]
    if len(choices) != 1 or not answer.keys() <= CHUNK:
        return None
    choice = choices[0]
    message = choice.get("message")
    if type(message) is not dict or not choice.keys() <= _CHOICE or not message.keys() <= _SAYS:
        return None
    if choice.get("index") != 0 or choice.get("finish_reason") not in _ENDS or choice.get("logprobs") is not None:
        return None
    text = message.get("content")
    if message.get("role") != "assistant" or message.get("refusal") or message.get("annotations"):
        return None
    if type(text) is not str or not text or text[:5] == "data:":
        return None
    return tree.Single(choices, message, "content", 1)


def details(told: Json, what: str) -> Json:
    """The parts of a count of tokens; empty if there are none."""
    found = told.get(f"{what}_tokens_details")
    return found if type(found) is dict else {}


def tier(answer: Json) -> str:
    """The service tier in an answer or a chunk; "" if there is none."""
    said = answer.get("service_tier")
    return said if type(said) is str and len(said) <= 64 else ""


def echoes(choice: Json) -> bool:
    """Whether the tokens of log probabilities are equal to the text."""
    said = choice.get("message") or choice.get("delta")
    probabilities = choice["logprobs"]
    if type(said) is not dict or type(probabilities) is not dict:
        return False
    for field, tokens in probabilities.items():
        if field not in TEXTS:
            return False
        if tokens is None:
            continue
        if type(tokens) is not list or not all(type(token) is dict and _is_token(token) for token in tokens):
            return False
        if "".join(str(token.get("token", "")) for token in tokens) != (said.get(field) or ""):
            return False
    return True


def drop_nested(answer: Json) -> bool:
    """Remove log probabilities in places other than a choice, because they cannot be compared with the text.

    True if there were any."""
    dropped = False
    for key, value in answer.items():
        if key == "choices" and type(value) is list:
            for choice in value:
                if type(choice) is dict:
                    dropped |= drop(choice, kept="logprobs")
        elif type(value) is dict or type(value) is list:
            if key in _REPEATS and value:
                answer[key] = None
                dropped = True
            else:
                dropped |= drop(value)
    return dropped


def drop(value: Any, kept: str = "") -> bool:
    """Remove log probabilities below a value, except directly below it under the key `kept`; True if there were any."""
    dropped = False
    if type(value) is dict:
        for key, inner in value.items():
            if (type(inner) is dict or type(inner) is list) and inner and key != kept:
                if key in _REPEATS:
                    value[key] = None
                    dropped = True
                else:
                    dropped |= drop(inner)
    else:
        for inner in value:
            if type(inner) is dict or type(inner) is list:
                dropped |= drop(inner)
    return dropped


def alternatives(probabilities: Json | None) -> Iterator[tuple[str, str]]:
    """The joined alternative tokens at each rank: (field and rank, text)."""
    for field, tokens in (probabilities or {}).items():
        ranks: dict[int, list[str]] = {}
        for token in tokens or ():
            for rank, other in enumerate(token.get("top_logprobs") or ()):
                ranks.setdefault(rank, []).append(str(other.get("token", "")))
        for rank, pieces in ranks.items():
            yield f"logprobs.{field}.{rank}", "".join(pieces)


def _is_token(token: Json) -> bool:
    """Whether a token is plausible: its bytes are those of its text, and its alternatives have the length of tokens.

    A token of more than 12 characters must be a word or a line of symbols, without digits or an address.
    """
    said = token.get("bytes")
    if said is not None and said != list(str(token.get("token", "")).encode("utf-8", "replace")):
        return False
    if not is_number(token.get("logprob")):
        return False
    others = token.get("top_logprobs") or ()
    if type(others) not in (list, tuple):
        return False
    return token.keys() <= _TOKEN and all(
        type(other) is dict
        and "top_logprobs" not in other
        and _is_token(other)
        and is_short(str(other.get("token", "")))
        for other in others
    )


def is_number(value: Any) -> bool:
    """Whether a value may be a log probability."""
    return type(value) in (int, float, type(None))


def is_short(token: str) -> bool:
    """Whether an alternative token has the length of one: see `_is_token`."""
    return _SHORT_TOKEN.fullmatch(token) is not None


def is_padding(value: Any) -> bool:
    """Whether the value of `obfuscation` is padding: random letters and digits without meaning."""
    return type(value) is str and _PADDING.fullmatch(value) is not None


_CHOICE = frozenset({"index", "message", "finish_reason", "logprobs"})
_SAYS = frozenset({"role", "content", "refusal", "annotations"})
_ENDS = ("stop", "length", "content_filter")
_PADDING = re.compile(r"(?:[A-Za-z]|[0-9](?![0-9]{2})){0,64}")
_REPEATS = frozenset({"logprobs", "top_logprobs", "token_logprobs"})
_TOKEN = frozenset({"token", "logprob", "bytes", "top_logprobs"})
_SHORT_TOKEN = re.compile(r"(?s).{0,12}|\s*[^\W\d_]{1,64}\s*|[\W_]{0,256}")
