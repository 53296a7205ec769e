"""Check digits by name, for custom recognizers: a number whose check digits are wrong is not reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from gateway.detect.personal import accounts, cards

_SHORTEST: Final = 2
# Verhoeff: the value of a digit at each place; powers of one permutation, which repeat after eight places.
_STEP: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _digits(value: str) -> str:
    """The digits of a value as ASCII; empty if this version of Python does not know the value of a digit."""
    try:
        return "".join(str(int(char)) for char in value if char.isdecimal())
    except ValueError:
        return ""


def _together(one: int, other: int) -> int:
    """The product of two elements of the dihedral group of order ten: rotations are 0 to 4, reflections 5 to 9."""
    turn = other % 5 if one < 5 else -(other % 5)
    return (one + turn) % 5 + (5 if (one < 5) != (other < 5) else 0)


def _verhoeff(digits: str) -> bool:
    state = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        moved = digit
        for _ in range(place % 8):
            moved = _STEP[moved]
        state = _together(state, moved)
    return state == 0


def _weighed(weights: Sequence[int], digits: str) -> int:
    return sum(weight * int(digit) for weight, digit in zip(weights, reversed(digits), strict=False))


def _mod11(digits: str) -> bool:
    return _weighed(range(1, len(digits) + 1), digits) % 11 == 0


def _on_digits(holds: Callable[[str], bool]) -> Callable[[str], bool]:
    def check(value: str) -> bool:
        digits = _digits(value)
        return len(digits) >= _SHORTEST and holds(digits)

    return check


def _mod97(value: str) -> bool:
    signs = "".join(char for char in value if char.isascii() and char.isalnum())
    return len(signs) > 4 and accounts.mod97(signs)


CHECKS: Final[dict[str, Callable[[str], bool]]] = {
    "luhn": _on_digits(cards.luhn),
    "mod11": _on_digits(_mod11),
    "mod97": _mod97,
    "verhoeff": _on_digits(_verhoeff),
}
"""luhn: cards, and most numbers of customers and devices. mod11: weights 1, 2, 3 ... from the last digit. mod97:
letters and digits in the order of an IBAN. verhoeff: Aadhaar. Separators do not count; the check digit is the last."""
