"""Signatures that another target made, in a request to a target of the caller's own format: taken out before it leaves.

A caller keeps the signatures of a translated answer as `words.sealed` wrote them. The provider of its own format would
refuse them, and must not see them.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

_SEAL: Final = re.compile(r"mg1\.[thc]\.[0-9a-f]{16}\.|bWcxL[A-Za-z0-9+/=]{20}")
_MARKS: Final = (b'"mg1.', b'"bWcxL')
_KEYS: Final = ("signature", "data", "encrypted_content", "thoughtSignature", "thought_signature")
_WHOLE: Final = frozenset({"thinking", "redacted_thinking", "reasoning"})


def may_hold(body: bytes) -> bool:
    """Whether a body may hold such a signature."""
    return _MARKS[0] in body or _MARKS[1] in body


def without(body: bytes) -> tuple[bytes, list[str]]:
    """The body without such signatures, and the names of the fields that held them. Thoughts leave with theirs."""
    data = orjson.loads(body)
    names: list[str] = []
    _clean(data, names)
    return (orjson.dumps(data), names) if names else (body, names)


def _clean(value: Any, names: list[str]) -> bool:
    """Remove the signatures below a value; True if the value itself is to be removed."""
    if type(value) is list:
        value[:] = [one for one in value if not _clean(one, names)]
    elif type(value) is dict:
        for key in _KEYS:
            said = value.get(key)
            if type(said) is str and _SEAL.match(said):
                if key not in names:
                    names.append(key)
                if value.get("type") in _WHOLE or value.get("thought") is True:
                    return True
                del value[key]
        for inner in value.values():
            _clean(inner, names)
    return False
