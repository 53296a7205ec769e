"""Configurations of push notifications (A2A): where a client wants to be told of a task.

The client's URL, token and credentials are taken out of a request before it is searched or sent: they are for the
gateway, which gives the agent a URL of its own. Neither token nor credentials are part of an answer.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from gateway.bodies import Json
from gateway.dialects import numbers

SET: Final = "push_set"
READ: Final = "push_get"
LISTED: Final = "push_list"
DELETE: Final = "push_delete"
PUSHES: Final = frozenset({SET, READ, LISTED, DELETE})
_TAKEN: Final = frozenset({"url", "token", "authentication"})
_LONGEST: Final = 2048  # characters of a URL
_WORD: Final = 1024  # characters of a token, or of credentials


class Wanted(NamedTuple):
    """Where a client wants to be told: its URL, the token that it expects, and the value of `Authorization`."""

    url: str
    token: str = ""
    authorization: str = ""


def holder(params: Json, does: str) -> Json | None:
    """The configuration in the parameters of a request; None without one. `does`: see `a2a_tables.METHODS`."""
    if does == SET:
        inner = params.get("pushNotificationConfig", params)
    else:
        settings = params.get("configuration")
        if type(settings) is not dict:
            return None
        names = [name for name in ("taskPushNotificationConfig", "pushNotificationConfig") if name in settings]
        inner = settings[names[0]] if names else None
    return inner if type(inner) is dict else None


def take(raw: bytes, does: str) -> tuple[bytes, Wanted | None]:
    """A request without what is for the gateway. Raises ValueError for what cannot be a configuration."""
    body = orjson.loads(raw)
    numbers.exact(raw, body)
    params = body.get("params") if type(body) is dict else None
    held = holder(params, does) if type(params) is dict else None
    if held is None:
        return raw, None
    wanted = _wanted(held)
    for name in _TAKEN & held.keys():
        del held[name]
    return orjson.dumps(body), wanted


def is_taken(params: Json, does: str) -> bool:
    """Whether nothing is left of what `take` takes, in any place that an agent may read as a configuration."""
    if does == SET:
        return not _holds(params)
    settings = params.get("configuration")
    named = settings.items() if type(settings) is dict else ()
    return not any(_holds(value) for name, value in named if "pushnotification" in name.casefold())


def configuration(one: Any) -> Json:
    """The configuration in an element of a result; empty for anything else."""
    inner = one.get("pushNotificationConfig", one) if type(one) is dict else {}
    return inner if type(inner) is dict else {}


def _holds(value: Any) -> bool:
    left = [value]
    while left:
        one = left.pop()
        if type(one) is dict:
            if _TAKEN & one.keys():
                return True
            left += one.values()
        elif type(one) is list:
            left += one
    return False


def _wanted(held: Json) -> Wanted:
    url, token, told = held.get("url"), held.get("token") or "", held.get("authentication") or {}
    if type(url) is not str or not 0 < len(url) <= _LONGEST or type(token) is not str or type(told) is not dict:
        raise ValueError("A configuration of push notifications has a `url`, maybe a `token` and `authentication`.")
    schemes = told.get("schemes")
    scheme = told.get("scheme") or (schemes[0] if type(schemes) is list and schemes else "")
    credentials = told.get("credentials") or ""
    if type(scheme) is not str or type(credentials) is not str:
        raise ValueError("`authentication` has a scheme and credentials.")
    authorization = f"{scheme} {credentials}" if scheme and credentials else ""
    if any(len(word) > _WORD or not word.isascii() or not word.isprintable() for word in (token, authorization)):
        raise ValueError("Token and credentials are words of printable ASCII characters.")
    return Wanted(url, token, authorization)
