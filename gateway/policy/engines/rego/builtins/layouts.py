"""The layouts of Go's times: the reference time, `Mon Jan 2 15:04:05 MST 2006`, written as wanted."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

LAYOUTS = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}
LONGEST = 1000
"""Characters of a layout."""
_PART = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|002|_2(?!006)|0[1-6]|15|PM|pm"
    r"|[.,][09]+(?!\d)|-07:00:00|-070000|-07:00|-0700|-07|Z07:00:00|Z070000|Z07:00|Z0700|Z07|[1-5]"
)
_MONTHS = "January February March April May June July August September October November December".split()  # noqa: SIM905
_DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()  # noqa: SIM905


def _offset(at: datetime, part: str) -> str:
    offset = at.utcoffset() or timedelta()
    if part[0] == "Z" and not offset:
        return "Z"
    seconds = int(offset.total_seconds())
    sign, seconds = ("-", -seconds) if seconds < 0 else ("+", seconds)
    hours, minutes = seconds // 3600, seconds // 60 % 60
    between = ":" if ":" in part else ""
    found = f"{sign}{hours:02}" + (f"{between}{minutes:02}" if len(part) > 3 else "")
    return found + (f"{between}{seconds % 60:02}" if len(part) > 6 else "")


_WRITE: dict[str, Callable[[datetime], str]] = {
    "January": lambda at: _MONTHS[at.month - 1],
    "Jan": lambda at: _MONTHS[at.month - 1][:3],
    "Monday": lambda at: _DAYS[at.weekday()],
    "Mon": lambda at: _DAYS[at.weekday()][:3],
    "MST": lambda at: at.tzname() or "UTC",
    "2006": lambda at: f"{at.year:04}",
    "06": lambda at: f"{at.year % 100:02}",
    "01": lambda at: f"{at.month:02}",
    "1": lambda at: str(at.month),
    "02": lambda at: f"{at.day:02}",
    "_2": lambda at: f"{at.day:2}",
    "2": lambda at: str(at.day),
    "002": lambda at: f"{at.timetuple().tm_yday:03}",
    "__2": lambda at: f"{at.timetuple().tm_yday:3}",
    "15": lambda at: f"{at.hour:02}",
    "03": lambda at: f"{(at.hour + 11) % 12 + 1:02}",
    "3": lambda at: str((at.hour + 11) % 12 + 1),
    "04": lambda at: f"{at.minute:02}",
    "4": lambda at: str(at.minute),
    "05": lambda at: f"{at.second:02}",
    "5": lambda at: str(at.second),
    "PM": lambda at: "PM" if at.hour >= 12 else "AM",
    "pm": lambda at: "pm" if at.hour >= 12 else "am",
}


def formatted(at: datetime, fraction: int, layout: str) -> str:
    """A time in a layout; `fraction` are its nanoseconds."""

    def write(match: re.Match[str]) -> str:
        part = match[0]
        if part in _WRITE:
            return _WRITE[part](at)
        if part[0] in ".,":
            digits = f"{fraction:09}"[: len(part) - 1]
            if part[1] == "9":
                digits = digits.rstrip("0")
            return part[0] + digits if digits else ""
        return _offset(at, part)

    return _PART.sub(write, layout)


_READ = {
    "2006": r"(?P<year>\d{4})",
    "06": r"(?P<short>\d{2})",
    "01": r"(?P<month>\d{2})",
    "1": r"(?P<month>\d{1,2})",
    "02": r"(?P<day>\d{2})",
    "_2": r"(?P<day> ?\d{1,2})",
    "2": r"(?P<day>\d{1,2})",
    "002": r"(?P<yday>\d{3})",
    "15": r"(?P<hour>\d{1,2})",
    "03": r"(?P<twelve>\d{1,2})",
    "3": r"(?P<twelve>\d{1,2})",
    "04": r"(?P<minute>\d{2})",
    "4": r"(?P<minute>\d{1,2})",
    "PM": "(?P<half>AM|PM)",
    "pm": "(?P<half>am|pm)",
    "05": r"(?P<second>\d{2})(?:[.,](?P<loose>\d+))?",
    "5": r"(?P<second>\d{1,2})(?:[.,](?P<loose>\d+))?",
    "January": f"(?P<named>(?i:{'|'.join(_MONTHS)}))",
    "Jan": f"(?P<named>(?i:{'|'.join(month[:3] for month in _MONTHS)}))",
    "Monday": f"(?i:{'|'.join(_DAYS)})",
    "Mon": f"(?i:{'|'.join(day[:3] for day in _DAYS)})",
    "MST": r"(?P<zone>[A-Z]{3,5}|[+-]\d{2,4})",
    "__2": r"(?P<yday>[ \d]{3})",
}


def parsed(layout: str, text: str) -> tuple[datetime, int]:
    """The time that a text says, and its nanoseconds. Raises ValueError."""
    if len(layout) > LONGEST:
        raise ValueError("the layout is too long")
    pattern, at = [], 0
    for match in _PART.finditer(layout):
        pattern += [re.escape(layout[at : match.start()]), _pattern(match[0])]
        at = match.end()
    pattern.append(re.escape(layout[at:]))
    whole = "".join(pattern)
    if "(?P<loose>" in whole and "(?P<fraction>" in whole:
        whole = whole.replace(r"(?:[.,](?P<loose>\d+))?", "")
    try:
        found = re.fullmatch(whole, text)
    except re.error:  # a part that stands in the layout twice
        raise ValueError(layout) from None
    if found is None:
        raise ValueError(text)
    parts = {name: value for name, value in found.groupdict().items() if value is not None}
    hour = int(parts.get("hour", 0))
    if "twelve" in parts:
        hour = int(parts["twelve"]) % 12 if "half" in parts else int(parts["twelve"])
    if parts.get("half", "").upper() == "PM" and "twelve" in parts:
        hour += 12
    month = int(parts["month"]) if "month" in parts else 1
    if "named" in parts:
        month = 1 + [name[:3].lower() for name in _MONTHS].index(parts["named"][:3].lower())
    year = int(parts["year"]) if "year" in parts else _full(parts.get("short"))
    made = datetime(
        year,
        month,
        int(parts.get("day", 1)),
        hour,
        int(parts.get("minute", 0)),
        int(parts.get("second", 0)),
        tzinfo=UTC,
    )
    if "yday" in parts:
        made = datetime(year, 1, 1, hour, made.minute, made.second, tzinfo=UTC) + timedelta(days=int(parts["yday"]) - 1)
    digits = parts.get("fraction") or parts.get("loose") or "0"
    return made.replace(tzinfo=_zone(parts.get("offset", ""))), int(digits[:9].ljust(9, "0"))


def _full(short: str | None) -> int:
    if short is None:
        return 0 + 1
    return int(short) + (1900 if int(short) >= 69 else 2000)


def _pattern(part: str) -> str:
    if part in _READ:
        return _READ[part]
    if part[0] in ".,":
        size = len(part) - 1
        return rf"[.,](?P<fraction>\d{{{size}}})" if part[1] == "0" else r"(?:[.,](?P<fraction>\d+))?"
    between = ":" if ":" in part else ""
    form = rf"[+-]\d{{2}}{between}\d{{2}}" if len(part) > 3 else r"[+-]\d{2}"
    return f"(?P<offset>Z|{form})" if part[0] == "Z" else f"(?P<offset>{form})"


def _zone(offset: str) -> timezone:
    if offset in ("", "Z"):
        return UTC
    digits = offset[1:].replace(":", "")
    size = timedelta(hours=int(digits[:2]), minutes=int(digits[2:4] or 0))
    if size >= timedelta(hours=24):
        raise ValueError(offset)
    return timezone(-size if offset[0] == "-" else size)
