"""The builtins that the host of a compiled bundle must provide, for `policy.engine: wasm`.

OPA compiles most builtins into the bundle and names the others; a bundle that needs a builtin that is not here is
refused at load. Functions take JSON values (a set is a list). If the builtin is undefined in OPA, the function raises
`Undefined`; if the result in OPA is not known, it raises another exception, and there is no verdict.

https://www.openpolicyagent.org/docs/policy-reference/builtins
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000_000
LONGEST = 400
"""Characters of a duration."""
_VERB = re.compile(r"%(.?)", re.DOTALL)
_DURATION = re.compile(r"(?<![\d.])(\d++(?:\.\d*+)?|\.\d++)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 1_000_000,
    "s": _SECOND,
    "m": 60 * _SECOND,
    "h": 3600 * _SECOND,
}
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

Moment = int | Sequence[int | str]
"""Nanoseconds since 1970, or a list of such nanoseconds and the name of a time zone."""


class Undefined(Exception):
    """The builtin has no value for these arguments."""


class Clock:
    """`time.now_ns`: the same time during a whole evaluation, separately for each thread."""

    def __init__(self) -> None:
        self._local = threading.local()

    def set(self) -> None:
        """An evaluation begins on this thread."""
        self._local.now = time.time_ns()

    def now_ns(self) -> int:
        """When the evaluation on this thread began, in nanoseconds of Unix time."""
        return int(self._local.now)


def builtins(clock: Clock) -> Mapping[str, Callable[..., Any]]:
    """Every builtin that a compiled bundle may ask for."""
    known: Mapping[str, Callable[..., Any]] = {
        "crypto.sha256": lambda text: hashlib.sha256(text.encode()).hexdigest(),
        "strings.any_prefix_match": lambda texts, starts: _any(str.startswith, texts, starts),
        "strings.any_suffix_match": lambda texts, ends: _any(str.endswith, texts, ends),
        "strings.count": lambda text, part: text.count(part),
        "time.add_date": add_date,
        "time.clock": lambda moment: _clock(_local(moment)),
        "time.date": lambda moment: _date(_local(moment)),
        "time.now_ns": clock.now_ns,
        "time.parse_duration_ns": parse_duration_ns,
        "time.weekday": lambda moment: _DAYS[_local(moment).weekday()],
    }
    return {"sprintf": sprintf} | {name: _or_undefined(function) for name, function in known.items()}


def _or_undefined(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*values: object) -> Any:
        try:
            return function(*values)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise Undefined(str(error)) from None

    return call


def sprintf(template: str, values: Sequence[object]) -> str:
    """`%v` for any value, `%s` for text, `%d` for integers. Raises ValueError for other verbs, or missing values."""
    left = iter(values)

    def put(verb: re.Match[str]) -> str:
        if verb[1] == "%":
            return "%"
        value = next(left, left)
        right = verb[1] == "v" or (verb[1] == "s" and isinstance(value, str)) or (verb[1] == "d" and type(value) is int)
        if value is left or not right:
            raise ValueError("sprintf takes %v, %s of text and %d of whole numbers, and as many values as verbs")
        return _spelled(value)

    text = _VERB.sub(put, template)
    if next(left, left) is not left:
        raise ValueError("sprintf was given more values than verbs")
    return text


def add_date(moment: Moment, years: int, months: int, days: int) -> int:
    """The moment in nanoseconds; a day after the end of the month is a day of the next month, as in OPA."""
    was = _local(moment)
    month = was.year * 12 + was.month - 1 + years * 12 + months
    day = date(month // 12, month % 12 + 1, 1) + timedelta(days=was.day - 1 + days)
    moved = was.replace(year=day.year, month=day.month, day=day.day)
    found = int(moved.timestamp()) * _SECOND + _nanoseconds(moment) % _SECOND
    if not -(2**63) <= found < 2**63:
        raise OverflowError("the time does not fit into 64 bits of nanoseconds")
    return found


def parse_duration_ns(text: str) -> int:
    """The nanoseconds of a duration: `1h30m`, `-1.5s`, `100ms`. Raises ValueError."""
    sign = -1 if text[:1] == "-" else 1
    body = text[1:] if text[:1] in ("-", "+") else text
    if body == "0":
        return 0
    parts = list(_DURATION.finditer(body)) if len(body) < LONGEST else []
    if not parts or "".join(part[0] for part in parts) != body:
        raise ValueError("not a duration")
    return sign * sum(int(Fraction(part[1]) * _UNITS[part[2]]) for part in parts)


def _spelled(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e21 else repr(value)
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _nanoseconds(moment: Moment) -> int:
    return moment if isinstance(moment, int) else int(moment[0])


def _local(moment: Moment) -> datetime:
    """The local time in the zone, in whole seconds."""
    zone: tzinfo = UTC
    if not isinstance(moment, int) and moment[1] not in ("", "UTC"):
        zone = ZoneInfo(str(moment[1]))
    return (_EPOCH + timedelta(seconds=_nanoseconds(moment) // _SECOND)).astimezone(zone)


def _clock(local: datetime) -> list[int]:
    return [local.hour, local.minute, local.second]


def _date(local: datetime) -> list[int]:
    return [local.year, local.month, local.day]


def _any(test: Callable[[str, tuple[str, ...]], bool], texts: str | Sequence[str], parts: str | Sequence[str]) -> bool:
    ones, others = _all(texts), _all(parts)
    return any(test(one, others) for one in ones)


def _all(value: str | Sequence[str]) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else tuple(value)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("must be text")
    return texts
