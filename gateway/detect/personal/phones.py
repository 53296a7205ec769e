"""Phone numbers, as Presidio's recognizer finds them with the configured regions, at a fraction of its cost.

phonenumbers reads the whole text once for each region, 40 us for every number in it. Here it reads only islands of
digits, and parses only what fits the numbering plan of a region: years, prices and counts are rejected by one regular
expression made from those plans (libphonenumber's metadata). phonenumbers decides on the rest, for the first 256
numbers of a text; in a longer list each stretch that fits a plan counts without parsing.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from phonenumbers import Leniency, PhoneMetadata, PhoneNumberMatcher, phonenumbermatcher, phonenumberutil

from gateway.budget import spend
from gateway.detect.core.expressions import plain

_PUNCTUATION: Final = phonenumberutil._VALID_PUNCTUATION
# The text between a number and its extension: phonenumbers' own pattern, without the extension.
_LABEL: Final = re.sub(r"\(\\d\{1,\d+\}\)(?:#\??)?", "", phonenumberutil._EXTN_PATTERNS_FOR_MATCHING)
_LEAD: Final = phonenumbermatcher._LEAD_CLASS
_ABROAD: Final = re.compile(r"[^+＋\d]*[+＋]")
_NOT_PLAIN: Final = re.compile(r"[^\d\W]|[#＃;,~～+＋]")  # extensions and plus signs: not for a plan to judge
_NOT_DIGITS: Final = re.compile(r"\D+")
_BEYOND: Final = 3  # phonenumbers looks at ":59" after a number, to tell a time from it

_MANY: Final = 256  # numbers that are parsed in one text; for the others the plans decide
_WALKED: Final = 20  # microseconds in which phonenumbers reaches a candidate
_WHOLE: Final = 400  # digits that phonenumbers takes for one candidate at least
_KINDS: Final = (  # the types of `phonenumberutil._number_type_helper`
    *("fixed_line", "mobile", "toll_free", "premium_rate", "shared_cost"),
    *("personal_number", "voip", "uan", "pager", "voicemail"),
)

Slot = tuple[int, int]


def island(fewest: int, punctuation: str = "{0,4}") -> str:
    """A pattern for stretches of at least `fewest` digits outside of which no candidate of phonenumbers reaches.

    `punctuation` is how much of it may stand between two digits: no more than phonenumbers takes, or any (`*`), which
    reaches further but is a fraction of the size.
    """
    between = f"[{_PUNCTUATION}]{punctuation}"
    more = rf"(?:(?:{between}|{_LABEL})\d){{{fewest - 1},}}"
    # What is looked at beyond the island stands as a lookahead: see `rewrite.prefixes`.
    return rf"(?:{_LEAD}{between}){{0,2}}\d{more}#?(?=(?:[:,]\d\d?)?)"


class Phones:
    """Finds phone numbers in islands, for the regions given."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._plans = {region: _Plan(region) for region in regions}
        self._any = plain("|".join(f"(?:{plan.pattern})" for plan in self._plans.values()))
        self._local = threading.local()
        self._fewest = min(min(_metadata(region).general_desc.possible_length) for region in regions)

    def find(self, text: str, start: int, end: int) -> list[Slot]:
        """The phone numbers in the island [start, end) of `text`: everything phonenumbers accepts for some region."""
        if end - start < self._fewest:
            return []
        low = start - 1 if start and not text[start - 1].isdigit() else start  # a stream may have been cut in a number
        part = text[low : end + _BEYOND]
        inside = text[start:end]
        if len(inside) > _WHOLE and inside.isdigit():
            return []  # no number has so many
        walk = _Attempts(part, next(iter(self._plans), ""))
        attempts = [inside] if len(inside) < _WHOLE and inside.isdigit() else walk.all()
        rooms = _Rooms(self._any, self._plans)
        if not any(map(rooms.any, attempts)):
            return []
        if self._many(text):
            return [(start, end)]
        found: set[Slot] = set()
        for region in self._plans:
            # One region at a time: most numbers are complete in the first region that they fit.
            if not any(rooms.at(attempt, region) for attempt in attempts):
                continue
            matches = _Matcher(part, region, rooms, walk.abroad)
            found_here = ((_behind_bracket(text, match.start + low, start), match.end + low) for match in matches)
            slots = [(at, to) for at, to in found_here if start <= at and to <= end]
            found.update(slots)
            if len(slots) == 1 and _all_digits(text, start, end, *slots[0]):
                break  # the other regions can only find the same or a part of it
        return sorted(found)

    def _many(self, text: str) -> bool:
        """Whether enough numbers of this text were parsed, at half a millisecond each."""
        asked, last = getattr(self._local, "asked", (0, ""))
        asked = asked + 1 if last is text else 1
        self._local.asked = (asked, text if len(text) > _MANY else "")
        return asked > _MANY


class _Rooms:
    """The regions whose plans fit what phonenumbers would try to parse in one island."""

    def __init__(self, some: re.Pattern[str], plans: Mapping[str, _Plan]) -> None:
        self._some = some
        self._plans = plans
        self._first = next(iter(plans), "")
        self._digits: dict[str, str | None] = {}  # attempt -> its digits; "" if no plan can tell, None if none has room
        self._known: dict[tuple[str, str], bool] = {}

    def any(self, attempt: str) -> bool:
        """Whether an attempt may fit the plan of any region."""
        return self._of(attempt) is not None

    def at(self, attempt: str, region: str) -> bool:
        """Whether an attempt may fit the plan of this region."""
        digits = self._of(attempt)
        if not digits:
            # With a plus and a country code every region judges alike, so the first one does.
            return digits is not None and (region == self._first or not _ABROAD.match(attempt))
        known = self._known.get((attempt, region))
        if known is None:
            known = self._known[attempt, region] = self._plans[region].fits(digits)
        return known

    def _of(self, attempt: str) -> str | None:
        if attempt in self._digits:
            return self._digits[attempt]
        digits: str | None = ""
        if not _ABROAD.match(attempt) and not _NOT_PLAIN.search(attempt):
            digits = _NOT_DIGITS.sub("", attempt)
            if not digits.isascii():
                digits = phonenumberutil.normalize_digits_only(digits)
            if not self._some.fullmatch(digits):
                digits = None
        self._digits[attempt] = digits
        return digits


Abroad = dict[tuple[str, int], Any]
"""Verdicts on candidates with a plus sign, which are the same for all regions."""


class _Attempts(PhoneNumberMatcher):
    """Lists what the matcher would try to parse, instead of parsing it.

    All but numbers with a plus sign: a walk goes on behind what it finds, and these every region finds.
    """

    def __init__(self, text: str, first: str) -> None:
        super().__init__(text, first, leniency=Leniency.VALID)
        self._tried: list[str] = []
        self.abroad: Abroad = {}

    def all(self) -> list[str]:
        for _ in self:
            pass
        return self._tried

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        spend(_WALKED)
        self._tried.append(candidate)
        if not _ABROAD.match(candidate):
            return None
        match = self.abroad[candidate, offset] = super()._parse_and_verify(candidate, offset)
        return match


class _Matcher(PhoneNumberMatcher):
    """The matcher of a region, which parses only what fits its numbering plan."""

    def __init__(self, text: str, region: str, rooms: _Rooms, abroad: Abroad) -> None:
        super().__init__(text, region, leniency=Leniency.VALID)
        self.region = region
        self._rooms = rooms
        self._abroad = abroad

    def _parse_and_verify(self, candidate: str, offset: int) -> Any:
        spend(_WALKED)
        if (candidate, offset) in self._abroad:
            return self._abroad[candidate, offset]
        if not self._rooms.at(candidate, self.region):
            return None
        return super()._parse_and_verify(candidate, offset)


def _metadata(region: str) -> Any:
    data = PhoneMetadata.metadata_for_region(region, None)
    if data is None:
        raise ValueError(f"{region!r} is not a region of phonenumbers; use ISO 3166 codes such as US or DE")
    return data


class _Plan:
    """Decides from digits alone whether they could be a valid number when dialled in a region."""

    def __init__(self, region: str) -> None:
        data = _metadata(region)
        code, prefix = data.country_code, data.national_prefix_for_parsing or ""
        self._formats = _metadata(phonenumberutil.region_code_for_country_code(code)).number_format
        numbers = "|".join(_numbers(code))
        ways = [rf"{code}(?:{prefix})?(?:{numbers})"]
        if prefix:
            ways.append(rf"(?:{prefix})(?:{numbers})")
        if data.national_prefix_transform_rule:  # the prefix may carry digits of the number itself
            ways.append(rf"(?:{code})?(?:{prefix})\d*")
        if data.international_prefix:
            ways.append(rf"(?:{data.international_prefix})\d+")
        self._prefixed = plain("|".join(ways))
        self._bare = plain(numbers)
        self.pattern = f"{numbers}|{self._prefixed.pattern}"

    def fits(self, digits: str) -> bool:
        if self._prefixed.fullmatch(digits):
            return True
        return bool(self._bare.fullmatch(digits)) and not self._wants_prefix(digits)

    def _wants_prefix(self, digits: str) -> bool:
        """True for numbers that nobody writes without the national prefix (leniency VALID asks for it)."""
        form = phonenumberutil._choose_formatting_pattern_for_number(self._formats, digits)
        rule = form.national_prefix_formatting_rule if form else None
        if form is None or not rule or form.national_prefix_optional_when_formatting:
            return False
        return not phonenumberutil._formatting_rule_has_first_group_only(rule)


def _numbers(country_code: int) -> Iterator[str]:
    """Patterns of the numbers that are valid under a country code: those of some known type."""
    for region in phonenumberutil.region_codes_for_country_code(country_code):
        data = _metadata(region)
        for kind in _KINDS:
            description = getattr(data, kind)
            if description is not None and description.national_number_pattern:
                yield description.national_number_pattern


def _all_digits(text: str, start: int, end: int, low: int, high: int) -> bool:
    return not any(char.isdigit() for char in text[start:low] + text[high:end])


def _behind_bracket(text: str, at: int, start: int) -> int:
    """The start of a number: phonenumbers includes a bracket before the number, which is not part of the island."""
    return start if at == start - 1 and text[at] in "([（［" else at
