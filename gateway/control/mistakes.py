"""What is wrong with the body of a request or an option: one line without values, and without names of the caller's."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

_FIELD: Final = re.compile(r"[a-z_]{1,24}")
_OBJECT: Final = "must be an object"
_NUMBER: Final = "must be a number"
_WHOLE: Final = "must be a whole number"
_LIST: Final = "must be a list"
_WORDS: Final[Mapping[str, str]] = {
    "missing": "is required",
    "extra_forbidden": "is not a known field",
    "string_type": "must be text",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "may have at most {max_length} characters",
    "string_pattern_mismatch": "must have the form {pattern}",
    "int_type": _WHOLE,
    "int_parsing": _WHOLE,
    "int_from_float": _WHOLE,
    "float_type": _NUMBER,
    "float_parsing": _NUMBER,
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than": "must be greater than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "may be at most {le}",
    "tuple_type": _LIST,
    "list_type": _LIST,
    "too_short": "must have {min_length} or more entries",
    "too_long": "may have at most {max_length} entries",
    "dict_type": _OBJECT,
    "model_type": _OBJECT,
    "model_attributes_type": _OBJECT,
    "literal_error": "must be one of {expected}",
    "enum": "must be one of {expected}",
}


def described(errors: Sequence[Any]) -> str:
    """The validation errors of a body or an option."""
    return "; ".join(map(_described, errors))


def _described(error: Any) -> str:
    steps = [it if type(it) is int or _FIELD.fullmatch(it) else "a name" for it in error["loc"]]
    where = ".".join(map(str, steps))
    return f"{where}: {_said(error)}" if where else _said(error)


def _said(error: Any) -> str:
    words = _WORDS.get(error["type"])
    if words is not None:
        return words.format_map({name: _plain(value) for name, value in error.get("ctx", {}).items()})
    if error["type"] == "value_error":
        return str(error["msg"]).removeprefix("Value error, ")
    return "is not valid"


def _plain(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value
