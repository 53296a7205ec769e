"""Checks of requests that several dialects share. Each message names the parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway.bodies import Json
from gateway.errors import Refusal

MAX_CEILING: Final = 10_000_000  # tokens; a larger output limit is treated as a mistake
_LONGEST_MODEL: Final = 256
_TIER: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def wrong(param: str, problem: str) -> Refusal:
    """The refusal for an invalid parameter: `problem` completes the sentence after its name."""
    return Refusal("invalid_request", f"`{param}` {problem}.", param=param)


def text(value: Any) -> str:
    """The value if it is a string, else ""."""
    return value if type(value) is str else ""


def model(body: Json) -> str:
    """The model that a request names. Raises Refusal(invalid_request)."""
    name = body.get("model")
    if type(name) is not str or not 0 < len(name) <= _LONGEST_MODEL:
        raise wrong("model", f"must be a string of 1 to {_LONGEST_MODEL} characters")
    return name


def messages(body: Json) -> Iterator[Json]:
    """Yield the messages of a request, each an object with a role. Raises Refusal(invalid_request)."""
    said = body.get("messages")
    if type(said) is not list or not said:
        raise wrong("messages", "must be a list of at least one message")
    for message in said:
        if type(message) is not dict or not text(message.get("role")).strip():
            raise wrong("messages", "must be objects, each with a role")
        yield message


def stream(body: Json) -> bool:
    """Whether the request asks for a stream. Raises Refusal(invalid_request)."""
    wanted = body.get("stream")
    if wanted is not None and type(wanted) is not bool:
        raise wrong("stream", "must be true or false")
    return bool(wanted)


def tier(said: Any, examples: str) -> str:
    """A service tier, "" for none. Raises Refusal(invalid_request) if it is not a name."""
    if said is None:
        return ""
    if type(said) is not str or not _TIER.fullmatch(said):
        raise wrong("service_tier", f"must be a name such as {examples}")
    return said


def most_tokens(limits: Mapping[str, int], kind: str) -> int:
    """The `max_tokens` of a policy's limits. Raises Refusal(policy_unavailable) for any other limit."""
    if unknown := set(limits) - {"max_tokens"}:
        names = ", ".join(sorted(unknown))
        raise Refusal("policy_unavailable", f"The policy sets limits that cannot be kept for {kind}: {names}.")
    return limits["max_tokens"]


def must_store(what: str) -> Refusal:
    """The refusal if a policy forbids that a provider stores anything, and `what` is stored there."""
    words = f"The policy forbids that the provider stores anything, and {what} is stored there. Leave it out."
    return Refusal("policy_denied", words, stage="authorize", detail={"rule": "store"})


def unstore(body: Json) -> bool:
    """Set `store` to false if a request has the field, in a dialect that stores nothing without it."""
    if body.get("store") in (None, False):
        return False
    body["store"] = False
    return True
