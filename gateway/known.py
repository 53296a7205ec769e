"""Which values the caller sent: what an answer says again is not new, also where it is spelled differently."""

from __future__ import annotations

from collections.abc import Set
from functools import cached_property
from typing import Final

_SHORTEST: Final = 7  # letters and digits from which on a part of a value counts as the value


class Known:
    """The values found in one request."""

    def __init__(self, values: Set[str]) -> None:
        self._values = values

    def __contains__(self, value: str) -> bool:
        """Whether the request held this value, in another grouping or case, or as part of a longer value."""
        if value in self._values:
            return True
        if not self._values:
            return False
        said = _bare(value)
        if said in self._bare:
            return True
        # A phone number comes back without its country code, or with one in place of the leading zero.
        return len(said) >= _SHORTEST and (
            any(said in one for one in self._bare if len(one) > len(said))
            or (said.isdigit() and any(one.isdigit() and _same_number(said, one) for one in self._bare))
        )

    @cached_property
    def _bare(self) -> frozenset[str]:
        return frozenset(_bare(value) for value in self._values)


def _bare(value: str) -> str:
    """A value without the signs between its letters and digits, in small letters."""
    return "".join(filter(str.isalnum, value)).casefold()


def _same_number(one: str, other: str) -> bool:
    """Whether two numbers differ in no more than a country code (three digits) and the zero before an area code."""
    short, long = sorted((one.lstrip("0"), other.lstrip("0")), key=len)
    return len(short) >= _SHORTEST and len(long) - len(short) <= 3 and long.endswith(short)
