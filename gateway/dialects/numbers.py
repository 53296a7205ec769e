"""Numbers that a float cannot represent: more than 64 bits, or more digits than a double has.

The JSON library reads them as floats, so they would change when an edited body is written. This module puts them back
as they were written. A body without such numbers is not touched.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import orjson

_EXACT = float(2**53)  # up to this number, every whole number is a float
_LONG = re.compile(rb"[0-9]{16}|[0-9][eE]")
_DIGITS = 17  # maximum characters of a float whose literal had no more digits


def is_inexact(value: float) -> bool:
    """Whether the literal of this float may have had another value."""
    return not -_EXACT < value < _EXACT or len(repr(value)) > _DIGITS


def dumps(value: Any, raw: bytes) -> bytes:
    """The edited value of `raw` as JSON, with every number as written in `raw`."""
    if _LONG.search(raw):
        exact(raw, value)
    return orjson.dumps(value)


def exact(text: str | bytes, root: Any) -> None:
    """Replace inexact floats in a parsed text with the numbers as written.

    Only texts and names of keys may have been edited since parsing.
    """
    with contextlib.suppress(ValueError, RecursionError):
        _copy(json.loads(text, parse_int=_number, parse_float=_number), root)


def _number(literal: str) -> Any:
    value = orjson.loads(literal)
    return orjson.Fragment(literal) if type(value) is float and repr(value) != literal else value


def _copy(exact: Any, root: Any) -> None:
    if type(exact) is dict and type(root) is dict:
        pairs = zip(exact.values(), list(root.items()), strict=False)
    elif type(exact) is list and type(root) is list:
        pairs = zip(exact, enumerate(root), strict=False)
    else:
        return
    for value, (key, read) in pairs:
        if type(value) is orjson.Fragment and type(read) is float:
            root[key] = value
        else:
            _copy(value, read)
