"""The values that the caller sent: in the answer they are not new, also if they are spelled differently."""

from __future__ import annotations

from collections.abc import Sequence, Set
from functools import cached_property
from typing import Final

from gateway.budget import spend
from gateway.texts import Slot

_SHORTEST: Final = 7  # minimum letters and digits for a part of a value to count as the value

_CODE: Final = 3  # maximum digits of a country code
_LOOKED: Final = 20_000_000  # characters of the request that one answer is compared with: milliseconds
_STEP: Final = 500  # what a text, or a place in one, counts beside its characters
_SPEED: Final = 10  # characters that are compared in a microsecond, as a power of two


class Known:
    """The values that were found in one request, and its texts: what stands there is known, found or not.

    A value may be found in the answer only: the request had other numbers beside it, or no word that names it.
    """

    def __init__(self, values: Set[str], slots: Sequence[Slot] = ()) -> None:
        self._values = values
        self._slots = slots
        self._left = _LOOKED
        self._told: dict[str, bool] = {}

    def __contains__(self, value: str) -> bool:
        """Whether the request held this value, or one of its values in another grouping or case, or as a part."""
        return value in self._values or self._is_part(value) or self._is_written(value)

    def _is_written(self, value: str) -> bool:
        """Whether a text of the request has this value as a word of its own; False if there is too much to look at."""
        told = self._told.get(value)
        if told is None:
            told = self._told[value] = self._looked_up(value)
        return told

    def _looked_up(self, value: str) -> bool:
        for slot in self._slots:
            if self._left <= 0:
                return False
            if self._stands(value, slot.text):
                return True
        return False

    def _stands(self, value: str, text: str) -> bool:
        self._left -= len(text) + _STEP
        spend((len(text) >> _SPEED) + 1)
        at = text.find(value)
        while at >= 0 and self._left > 0:
            end = at + len(value)
            if not (text[at - 1 : at].isalnum() or text[end : end + 1].isalnum()):
                return True
            self._left -= _STEP
            at = text.find(value, at + 1)
        return False

    def _is_part(self, value: str) -> bool:
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
