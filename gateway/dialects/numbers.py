"""Numbers that a float cannot say: more than 64 bits, more digits than a double keeps.

Our JSON library reads them as floats. What is edited is written again, so they would leave as other numbers than came;
here they are put back as they were written. Nothing is done to a body that holds none.
"""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import orjson

_EXACT = float(2**53)  # up to here every whole number is a float
_LONG = re.compile(rb"[0-9]{16}|[0-9][eE]")
_DIGITS = 17  # characters of a float whose literal had nothing more to say


def is_inexact(value: float) -> bool:
    """Whether the literal of this float may have said something else."""
    return not -_EXACT < value < _EXACT or len(repr(value)) > _DIGITS


def dumps(value: Any, raw: bytes) -> bytes:
    """The bytes of what was read of `raw` and edited since, every number as it is written there."""
    if _LONG.search(raw):
        exact(raw, value)
    return orjson.dumps(value)


def exact(text: str | bytes, root: Any) -> None:
    """Put numbers that a float cannot say into what was read of a text, as they are written there.

    Edits since then may have changed texts and the names of keys, nothing else.
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
