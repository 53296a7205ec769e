"""The values that the caller sent: in the answer they are not new, also if they are spelled differently."""

from __future__ import annotations

from collections.abc import Set
from functools import cached_property
from typing import Final

_SHORTEST: Final = 7  # minimum letters and digits for a part of a value to count as the value

_CODE: Final = 3  # maximum digits of a country code


class Known:
    """The values that were found in one request."""

    def __init__(self, values: Set[str]) -> None:
        self._values = values

    def __contains__(self, value: str) -> bool:
        """Whether the request contained this value, also in another grouping or case, or as part of a longer value."""
        if value in self._values:
            return True
        if not self._values:
            return False
        said = _bare(value)
        if said in self._bare:
            return True
        # A model may omit the country code of a phone number, or write the code in place of the leading zero.
        return len(said) >= _SHORTEST and (said in self._joined or (said.isdigit() and self._is_number(said)))

    def prepare(self) -> None:
        """Build what look-ups need; for many values, call this outside the event loop."""
        if self._joined:
            self._numbers  # noqa: B018  (cached)

    def _is_number(self, said: str) -> bool:
        """Whether digits differ from a known number only in a country code and the zero before an area code."""
        bare = said.lstrip("0")
        if len(bare) < _SHORTEST:
            return False
        whole, tails = self._numbers
        return bare in tails or any(bare[cut:] in whole for cut in range(1, min(_CODE, len(bare) - _SHORTEST) + 1))

    @cached_property
    def _bare(self) -> frozenset[str]:
        return frozenset(_bare(value) for value in self._values)

    @cached_property
    def _joined(self) -> str:
        return "\n".join(self._bare)

    @cached_property
    def _numbers(self) -> tuple[frozenset[str], frozenset[str]]:
        """The known numbers without leading zeros, and the same without a country code."""
        whole = {one.lstrip("0") for one in self._bare if one.isdigit()}
        tails = {one[cut:] for one in whole for cut in range(_CODE + 1) if len(one) - cut >= _SHORTEST}
        return frozenset(whole), frozenset(tails)


def _bare(value: str) -> str:
    """A value in lower case, only with its letters and digits."""
    return "".join(filter(str.isalnum, value)).casefold()
