"""Phone numbers: valid numbers in a usual form, and numbers after a word for a phone number.

Without such a word a number needs a plus sign and a country code, or the usual form of its region
(`phone_forms.SURE`), and phonenumbers must accept it for one of the configured regions. After a word like "call" or
"Telefon" the form alone is enough. Digits whose form or nearest word indicates something else are rejected.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import phonenumbers
import regex

from gateway.budget import spend
from gateway.detect.core.context import ContextWords
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Rule
from gateway.detect.personal import phone_forms, phone_words, underscores
from gateway.detect.personal.phones import Phones, island
from gateway.detect.personal.presidio import recognizer

_CALLED: Final = 0.7
_FORMED: Final = 0.5
_NAMED: Final = 6  # maximum words between a word that names a number, and the number
_HINTED: Final = 4  # the same for a word that only suggests a number
_OTHER: Final = 3  # maximum words between a name of other numbers and a number that it rules out
_NOWHERE: Final = 99
_FEWEST: Final = 6
_HINTED_FEWEST: Final = 7
_PREFIX: Final = 4
_PLAIN: Final = 9  # minimum digits without a separator, after a word that only suggests a number
_LONE: Final = 9  # minimum digits in groups, without a word
_MOST: Final = 15
_EXTENSION: Final = 6
_LOOKED: Final = 20  # microseconds per number
_CLOSED: Final = re.compile(r"[0-9]*\)")  # the end of a name with a number: (PHONE_2)
_SIGNS: Final = regex.compile(r"[./]")
_NEVER: Final = re.compile(  # the most frequent of `phone_forms.NEVER`: decimals, dates with an hour
    r"(?:0|[1-9][0-9]*)\.[0-9]+|(?:19|20)[0-9]{2}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])(?: [0-9]{2})?"
)
_ISLAND: Final = regex.compile(island(3), regex.IGNORECASE)


class _Beside(NamedTuple):
    """How many words lie between a number and the nearest word of each kind."""

    name: int
    hint: int
    other: int

    @property
    def named(self) -> bool:
        return self.name <= _NAMED and self.name <= self.other

    @property
    def hinted(self) -> bool:
        return self.hint <= _HINTED and self.hint <= self.other


def _possible(value: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(value, None))
    except phonenumbers.NumberParseException:
        return False


class Telephones:
    """Finds phone numbers in islands of digits. Immutable, shared between threads."""

    def __init__(self, regions: Sequence[str], score: float) -> None:
        self._phones = Phones(regions)
        self._regions = tuple(regions)
        self._score = score
        self._near = Near({"name": phone_words.NAMES, "hint": phone_words.HINTS, "other": phone_words.OTHERS})

    def find(self, text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        """The numbers in a stretch of the index, and the stretch itself (score 0), because its digits are consumed."""
        if "_" in text[start:end]:  # for the index, an underscore may be part of a number
            islands = [match.span() for match in _ISLAND.finditer(text, start, end)]
            return [(start, end, 0.0), *(one for low, high in islands for one in self.find(text, low, high))]
        found = self._find(text, start, end)
        if underscores.beside(text, start, end) and end - start >= _FEWEST:
            found += self._joined(text, start, end)
        return found

    def _joined(self, text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        """The numbers of a stretch beside an underscore: after a word that names one, emphasized, or before a word."""
        keys, value = self._near.keys(text, start), text[start:end]
        named, plain = keys.get("name") == 0, value.isdigit()
        if text[start - 1 : start] == "_" and not underscores.emphasized(text, start):
            called = named or (keys.get("hint") == 0 and not plain) or value[0] in "+＋"
            if not called or _CLOSED.match(value):
                return []
        piece, low = underscores.apart(text, start, end)
        # Digits without a separator are a counter or a day, unless they have the length of a valid number.
        if plain and not (named and end - start >= _PLAIN and any(self._valid(piece, start - low, end - low))):
            return []
        return [(at + low, to + low, score) for at, to, score in self._find(piece, start - low, end - low) if score]

    def _find(self, text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        consumed = (start, end, 0.0)
        if end - start < _FEWEST or _NEVER.fullmatch(text, start, end) is not None:
            return [consumed]
        part = text[start:end]
        if part.isdigit():
            beside = self._beside(text, start)
            if not (beside.named or (beside.hinted and end - start >= _HINTED_FEWEST)):
                return [consumed]  # what needs no word has a sign or a separator
        if part.isascii():
            return [consumed, *self._island(text, start, end)]
        # For the index, any letter beyond ASCII may be part of a number.
        islands = [match.span() for match in _ISLAND.finditer(text, start, end)]
        return [consumed, *(one for low, high in islands for one in self._island(text, low, high))]

    def _island(self, text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for row in phone_forms.ROW.finditer(text, start, end):
            found += self._numbers(text, start, row.start())
            found += [(*span, self._score) for span in row.spans("number") if self._dialled(text[slice(*span)])]
            start = row.end()
        return found + self._numbers(text, start, end)

    def _numbers(self, text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        if end - start < _FEWEST or phone_forms.is_other(text, start, end):
            return []
        beside = self._beside(text, start)
        if beside.named:
            found = [(low, high, max(score, _CALLED)) for low, high, score in self._named(text, start, end)]
        elif beside.hinted:
            found = list(self._hinted(text, start, end))
        elif phone_forms.STANDARD.fullmatch(text, start, end):
            return []
        else:
            found = []
        return found or list(self._alone(text, start, end, beside))

    def _beside(self, text: str, start: int) -> _Beside:
        keys = self._near.keys(text, start)
        return _Beside(*(keys.get(key, _NOWHERE) for key in ("name", "hint", "other")))

    def _valid(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, float]]:
        for low, high in self._phones.find(text, start, end):
            spend(_LOOKED)
            if not phone_forms.is_other(text, low, high):
                yield low, high, self._score

    def _named(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, float]]:
        """Numbers after a word that names a phone number."""
        loose = [match.span() for match in phone_forms.LOOSE.finditer(text, start, end)]
        valid = list(self._valid(text, start, end))
        for low, high, score in valid:
            # A trunk prefix or the digits of a carrier, which no plan knows, belong to the number.
            wider = [one for one in loose if one[0] <= low and high <= one[1]]
            at, to = (
                wider[0] if wider and _digits(text, *wider[0]) - _digits(text, low, high) <= _PREFIX else (low, high)
            )
            yield at, to, score
        if valid:
            return
        for low, high in loose:
            if _FEWEST <= _digits(text, low, high) <= _MOST + _EXTENSION and not phone_forms.is_other(text, low, high):
                yield low, high, _CALLED

    def _hinted(self, text: str, start: int, end: int) -> Iterator[tuple[int, int, float]]:
        """Numbers after a word that may also precede other numbers."""
        if _digits(text, start, end) < _HINTED_FEWEST:
            return
        for low, high, score in self._named(text, start, end):
            if _digits(text, low, high) < _HINTED_FEWEST:
                continue
            if text[low:high].isdigit() and (high - low < _PLAIN or phone_forms.is_epoch(text, low, high)):
                continue
            if score == self._score or phone_forms.is_grouped(text, low, high):
                yield low, high, score

    def _alone(self, text: str, start: int, end: int, beside: _Beside) -> Iterator[tuple[int, int, float]]:
        """Numbers without a word: their forms have a sign or a separator."""
        if text[start:end].isdigit():
            return
        for match in phone_forms.ABROAD.finditer(text, start, end):
            value = match.group()
            if phone_forms.is_other(text, *match.span()):
                continue
            if phone_forms.is_former(value):
                yield *match.span(), _CALLED
                continue
            valid = list(self._valid(text, *match.span()))
            if valid:
                yield from ((low, high, max(score, _CALLED)) for low, high, score in valid)
            elif not value[1:].isdigit() and _possible(value):
                yield *match.span(), _CALLED
        if beside.other <= _OTHER:
            return
        for match in phone_forms.SURE.finditer(text, start, end):
            if phone_forms.is_other(text, *match.span()):
                continue
            if any(self._valid(text, *match.span())):
                yield *match.span(), self._score
            elif match.group()[0] == "(":
                yield *match.span(), _FORMED
            elif match.group().startswith("00") and _possible(f"+{match.group()[2:]}"):
                yield *match.span(), _CALLED
        for match in phone_forms.WRITTEN.finditer(text, start, end):
            if not phone_forms.in_row(text, match.start()) and self._dialled(match.group()):
                yield *match.span(), self._score
        for match in phone_forms.LONE.finditer(text, start, end):
            if (
                _digits(text, *match.span()) >= _LONE
                and not phone_forms.is_other(text, *match.span())
                and not phone_forms.in_row(text, match.start())
                and not phone_forms.in_figures(text, *match.span())
                and not phone_forms.COLOUR.fullmatch(match.group())
                and any(self._valid(text, *match.span()))
            ):
                yield *match.span(), self._score

    def _dialled(self, value: str) -> bool:
        """Whether a number is valid in one of the regions; phonenumbers' `find` takes some separators for fractions."""
        plain = _SIGNS.sub(" ", value)
        for region in self._regions:
            spend(_LOOKED)
            with contextlib.suppress(phonenumbers.NumberParseException):
                if phonenumbers.is_valid_number(phonenumbers.parse(plain, region)):
                    return True
        return False


def _digits(text: str, start: int, end: int) -> int:
    return sum(map(str.isdigit, text[start:end]))


def rules(regions: Sequence[str]) -> list[Rule]:
    """The rules for phone numbers. Without a country code, a number needs a form of `regions` (ISO 3166) or a word."""
    presidio = recognizer("PhoneRecognizer")
    find = Telephones(regions, presidio.score).find
    expression = Expression(island(3), regex.IGNORECASE, begun=island(1, "*"))
    return [Rule("PHONE", presidio.name, expression, find, ContextWords(presidio.context), yields=True, least=_FEWEST)]
