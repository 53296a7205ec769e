"""JSON with halves of surrogate pairs, which some servers send when they cut a text inside a character.

A half is no character: it becomes U+FFFD. Everything else that is not JSON stays an error.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)
_BYTES: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")  # a half, written as if it were a character
_MARK: Final = b"\xef\xbb\xbf"


def loads(data: bytes) -> tuple[Any, bool]:
    """What the JSON says, and whether something in it had to be mended. Raises ValueError."""
    try:
        return orjson.loads(data), False
    except orjson.JSONDecodeError:
        pass
    mended = _ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], data.removeprefix(_MARK))
    mended = _BYTES.sub("\ufffd".encode(), mended)
    if mended == data:
        raise ValueError("it is not JSON")
    try:
        return orjson.loads(mended), True
    except orjson.JSONDecodeError:
        raise ValueError("it is not JSON") from None
