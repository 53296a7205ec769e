"""Times: nanoseconds since 1970, in zones, by the layouts of Go. https://pkg.go.dev/time#pkg-constants"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, tzinfo
from fractions import Fraction
from zoneinfo import ZoneInfo

from gateway.policy.engines.rego.builtins import Context, builtin
from gateway.policy.engines.rego.builtins.layouts import LAYOUTS, formatted, parsed
from gateway.policy.engines.rego.builtins.operands import integer, number, string, wrong
from gateway.policy.engines.rego.errors import BuiltinError
from gateway.policy.engines.rego.values import Value

SECOND = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_UNITS = {
    "ns": 1,
    "us": 1000,
    "µs": 1000,
    "μs": 1000,
    "ms": 10**6,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
    "d": 86400 * SECOND,
    "w": 7 * 86400 * SECOND,
    "y": 365 * 86400 * SECOND,
}
LONGEST = 400
"""Characters of a duration."""
_DURATION = re.compile(r"(?<![\d.])(\d++(?:\.\d*+)?|\.\d++)(ns|us|µs|μs|ms|s|m|h|d|w|y)")


@builtin("time.now_ns", context=True, volatile=True)
def now_ns(context: Context) -> int:
    return context.now_ns


def local(name: str, value: Value) -> tuple[datetime, int, str, str]:
    """The time on the clocks of the zone to the second, the nanoseconds, the layout, and the name of the zone."""
    layout, zone = "", ""
    given = value
    if type(value) is list:
        if not value:
            raise wrong(name, 1, value, "either number (ns) or [number (ns), string (tz)]")
        given = number(name, 1, value[0])
        zone = string(name, 1, value[1]) if len(value) > 1 else ""
        layout = string(name, 1, value[2]) if len(value) > 2 else ""
    elif type(value) not in (int, float):
        raise wrong(name, 1, value, "either number (ns) or [number (ns), string (tz)]")
    if type(given) is float and not given.is_integer():
        raise BuiltinError(f"{name}: timestamp too big")
    moment = int(given)
    if not -(2**63) <= moment < 2**63:
        raise BuiltinError(f"{name}: timestamp too big")
    at = _EPOCH + timedelta(seconds=moment // SECOND)
    return at.astimezone(zone_of(name, zone)), moment % SECOND, layout, zone or "UTC"


def zone_of(name: str, zone: str) -> tzinfo:
    """A time zone. Raises BuiltinError."""
    if zone in ("", "UTC", "Local"):
        return UTC
    try:
        return ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise BuiltinError(f"{name}: unknown time zone {zone}") from None


def _nanoseconds(name: str, at: datetime, fraction: int) -> int:
    seconds = (at - _EPOCH) // timedelta(seconds=1)
    found = seconds * SECOND + fraction
    if not -(2**63) <= found < 2**63:
        raise BuiltinError(f"{name}: time outside of valid range")
    return found


@builtin("time.clock")
def clock(value: Value) -> list[Value]:
    at = local("time.clock", value)[0]
    return [at.hour, at.minute, at.second]


@builtin("time.date")
def date_(value: Value) -> list[Value]:
    at = local("time.date", value)[0]
    return [at.year, at.month, at.day]


@builtin("time.weekday")
def weekday(value: Value) -> str:
    return _DAYS[local("time.weekday", value)[0].weekday()]


@builtin("time.format")
def format_(value: Value) -> str:
    at, fraction, layout, _ = local("time.format", value)
    return formatted(at, fraction, LAYOUTS.get(layout, layout) or LAYOUTS["RFC3339Nano"])


@builtin("time.add_date")
def add_date(value: Value, years: Value, months: Value, days: Value) -> int:
    name = "time.add_date"
    at, fraction, _, _ = local(name, value)
    month = at.year * 12 + at.month - 1 + integer(name, 2, years) * 12 + integer(name, 3, months)
    try:
        day = date(month // 12, month % 12 + 1, 1) + timedelta(days=at.day - 1 + integer(name, 4, days))
        return _nanoseconds(name, at.replace(year=day.year, month=day.month, day=day.day), fraction)
    except (ValueError, OverflowError):
        raise BuiltinError(f"{name}: time outside of valid range") from None


@builtin("time.diff")
def diff(a: Value, b: Value) -> list[Value]:
    first, second = local("time.diff", a)[0], local("time.diff", b)[0]
    second = second.astimezone(first.tzinfo)
    if first > second:
        first, second = second, first
    years, months, days = second.year - first.year, second.month - first.month, second.day - first.day
    hours, minutes, seconds = second.hour - first.hour, second.minute - first.minute, second.second - first.second
    if seconds < 0:
        seconds, minutes = seconds + 60, minutes - 1
    if minutes < 0:
        minutes, hours = minutes + 60, hours - 1
    if hours < 0:
        hours, days = hours + 24, days - 1
    if days < 0:
        following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
        days += (following - date(first.year, first.month, 1)).days
        months -= 1
    if months < 0:
        months, years = months + 12, years - 1
    return [years, months, days, hours, minutes, seconds]


@builtin("time.parse_ns")
def parse_ns(layout: Value, text: Value) -> int:
    name = "time.parse_ns"
    wanted = string(name, 1, layout)
    return _parsed(name, LAYOUTS.get(wanted, wanted), string(name, 2, text))


@builtin("time.parse_rfc3339_ns")
def parse_rfc3339_ns(text: Value) -> int:
    name = "time.parse_rfc3339_ns"
    return _parsed(name, LAYOUTS["RFC3339"], string(name, 1, text))


def _parsed(name: str, layout: str, text: str) -> int:
    try:
        at, fraction = parsed(layout, text)
    except ValueError:
        raise BuiltinError(f'{name}: parsing time "{text}" as "{layout}": cannot parse') from None
    return _nanoseconds(name, at, fraction)


@builtin("time.parse_duration_ns")
def parse_duration_ns(text: Value) -> int:
    name = "time.parse_duration_ns"
    whole = string(name, 1, text)
    sign = -1 if whole[:1] == "-" else 1
    body = whole[1:] if whole[:1] in ("-", "+") else whole
    if body == "0":
        return 0
    parts = list(_DURATION.finditer(body)) if len(body) < LONGEST else []
    if not parts or "".join(part[0] for part in parts) != body:
        what = "missing unit in duration" if re.fullmatch(r"[\d.]++", body) else "invalid duration"
        raise BuiltinError(f'{name}: time: {what} "{whole}"')
    found = sum(int(Fraction(part[1].rstrip(".") if part[1] != "." else "0") * _UNITS[part[2]]) for part in parts)
    if found >= 2**63:
        raise BuiltinError(f'{name}: time: invalid duration "{whole}"')
    return sign * found
