"""Check digits of national numbers: those of python-stdnum by name, and a few that python-stdnum does not have.

A module of python-stdnum is imported when the first of its numbers is judged, because most texts have none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from gateway.detect.personal import cards

_TAIWAN: Final = "ABCDEFGHJKLMNPQRSTUVXYWZIO"  # a letter stands for 10 and its place here
_PROVINCES: Final = frozenset(
    map(
        str,
        (*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82),
    )
)


class Sum:
    """Judges numbers of one kind, with the interface of Presidio's recognizers; `module` as in `identities_numbers`."""

    def __init__(self, module: str) -> None:
        self.name = f"stdnum.{module}"
        self._module = module
        self._holds: Callable[[str], bool] | None = None

    def validate_result(self, value: str) -> bool:
        """Whether the check digits are correct."""
        if self._holds is None:
            place, _, name = self._module.partition(".")
            self._holds = _OWN[name] if place == "sums" else import_module(f"stdnum.{self._module}").is_valid
        return self._holds(value)

    def invalidate_result(self, _value: str) -> bool:
        """False: no number is rejected for another reason."""
        return False


def _signs(value: str) -> str:
    return "".join(char for char in value if char.isascii() and char.isalnum())


def _weighed(value: str, weights: Sequence[int]) -> int:
    return sum(int(digit) * weight for digit, weight in zip(value, weights, strict=False))


def _luhn(value: str) -> bool:
    return cards.luhn(_signs(value))


def _chinese(value: str) -> bool:
    """GB 11643: a province, and ISO 7064 MOD 11-2. Counties change over time, so they are not checked."""
    total = sum((10 if sign == "X" else int(sign)) * pow(2, 17 - at, 11) for at, sign in enumerate(value))
    return value[:2] in _PROVINCES and total % 11 == 1


def _hong_kong(value: str) -> bool:
    """Letters count from 10, a missing first letter as 36; weights 9 to 1, modulo 11."""
    signs = _signs(value).rjust(9)
    parts = [36 if sign == " " else int(sign, 36) for sign in signs]
    return sum(part * weight for part, weight in zip(parts, range(9, 0, -1), strict=True)) % 11 == 0


def _taj(value: str) -> bool:
    digits = _signs(value)
    return _weighed(digits[:8], (3, 7) * 4) % 10 == int(digits[8])


def _hungarian_tax(value: str) -> bool:
    return _weighed(value[:9], range(1, 10)) % 11 == int(value[9])


def _iran(value: str) -> bool:
    digits = _signs(value)
    rest = _weighed(digits[:9], range(10, 1, -1)) % 11
    return len(set(digits)) > 1 and int(digits[9]) == (rest if rest < 2 else 11 - rest)


def _kazakh(value: str) -> bool:
    rest = _weighed(value[:11], range(1, 12)) % 11
    if rest == 10:
        rest = _weighed(value[:11], (*range(3, 12), 1, 2)) % 11
    return rest == int(value[11])


def _jmbg(value: str) -> bool:
    """The number of citizens in the states of former Yugoslavia."""
    rest = -_weighed(value[:12], (7, 6, 5, 4, 3, 2) * 2) % 11
    return 1 <= int(value[:2]) <= 31 and 1 <= int(value[2:4]) <= 12 and rest % 10 == int(value[12])


def _snils(value: str) -> bool:
    digits = _signs(value)
    return _weighed(digits[:9], range(9, 0, -1)) % 101 % 100 == int(digits[9:])


def _taiwan(value: str) -> bool:
    head = 10 + _TAIWAN.index(value[0])
    return (head // 10 + head % 10 * 9 + _weighed(value[1:9], range(8, 0, -1)) + int(value[9])) % 10 == 0


def _uruguay(value: str) -> bool:
    digits = _signs(value)
    return -_weighed(digits[:7], (2, 9, 8, 7, 6, 3, 4)) % 10 == int(digits[7])


_OWN: Final[dict[str, Callable[[str], bool]]] = {
    "luhn": _luhn,
    "chinese": _chinese,
    "hong_kong": _hong_kong,
    "taj": _taj,
    "hungarian_tax": _hungarian_tax,
    "iran": _iran,
    "kazakh": _kazakh,
    "jmbg": _jmbg,
    "snils": _snils,
    "taiwan": _taiwan,
    "uruguay": _uruguay,
}
