"""Names of fields in the other form (`task_id`), which parsers of ProtoJSON read as the same field: one form is judged.

The protocol wants lower camel case (1.0, section 5.5), and some clients of 1.0 write the form of the schema. A request
has no field in both forms, because agents differ in which one they take.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from gateway.bodies import Json
from gateway.dialects import numbers

_OTHER: Final = re.compile(rb'"[a-z]+(?:_[a-z]+)+"\s*:')
_SNAKE: Final = re.compile(r"[a-z]+(?:_[a-z]+)+")
_HOLDERS: Final = ("message", "configuration", "taskPushNotificationConfig", "pushNotificationConfig")
"""The objects of a request whose fields have a meaning for the gateway."""


def camel(raw: bytes) -> bytes:
    """A request with the fields of its parameters in lower camel case. Raises ValueError for a field in both forms."""
    if _OTHER.search(raw) is None:
        return raw
    body = orjson.loads(raw)
    params = body.get("params") if type(body) is dict else None
    if type(params) is not dict:
        return raw
    renamed = _renamed(params)
    if renamed == params:
        return raw
    numbers.exact(raw, body)
    return orjson.dumps({**body, "params": renamed})


def _renamed(holder: Json) -> Json:
    made: Json = {}
    for name, value in holder.items():
        new = _camel(name)
        if new in made or (new != name and new in holder):
            raise ValueError("A field is there twice, in both forms of its name.")
        made[new] = _renamed(value) if new in _HOLDERS and type(value) is dict else value
    return made


def _camel(name: str) -> str:
    """The other form of a name of the schema; any other name unchanged."""
    if _SNAKE.fullmatch(name) is None:
        return name
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
