"""Keys that name personal numbers: their words are the context of the values below them (`{"ssn": "219099998"}`).

A value is judged after the words of its key, or of the nearest key above that names a number, if all keys between them
are neutral (`{"ssn": {"value": ...}}`). Keys of counts, prices and times name no numbers, whatever their other words.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any, Final, NamedTuple

import regex

from gateway.budget import once
from gateway.detect.personal.births import BIRTH
from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.phone_words import NAMES
from gateway.dialects import terms


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


Keys = tuple[Any, Any] | tuple[()]
"""The keys above a value: the nearest one, and the keys above that; () at the top."""

_LEVELS: Final = 8  # maximum keys above a value that are looked at
_LONGEST: Final = 64  # characters of a key that are read
MOST: Final = 160
"""Maximum characters of a value that may need words before it: context reaches no further."""
_PHRASE: Final = 4  # maximum words of a name
_SHORTEST: Final = 5  # letters of a name that needs no list: shorter names are also names of other things
DIGITS: Final = re.compile(r"\d(?:\D{0,3}\d){3}").search
"""Whether a text has digits as a number, a phone number or a date has them."""
_BESIDE: Final = ("name", "key", "field", "label", "type", "title")
"""Keys of what names the value under `value` in the same object."""
_VALUE: Final = frozenset({"value", "values", "Value", "answer", "val", "data"})
_LABEL: Final = 40  # maximum characters of such a name
ORDINARY: Final = _words(
    """
    content text type role name description id title messages tools tool_calls function functions parameters
    properties arguments input args source items required enum choices message delta metadata system command
    query url path file_path old_string new_string pattern thinking reasoning reasoning_content
    """
)
"""Frequent keys that name no numbers: at the top, values under them are not looked at."""
_PLURAL: Final = re.compile(r"(?<=[A-Z]{2})s(?![a-z])")
_WORDS: Final = regex.compile(r"\p{Lu}+(?!\p{Ll})|\p{Lu}?[\p{Ll}\p{M}]+|[\p{Lo}\p{M}]+")
_PHONES: Final = re.compile(r"tel(?!egram)|phone|mobi|fax|rufnummer|gsm|handy|cellular|celular|[^\x00-\u024f]")
_ENDINGS: Final = re.compile(r"(?:numbers?|num|nums|no|nos|nr|nummer|code|id)\Z")
_GENERIC: Final = _words(
    """
    account accounts address alberta amtsgericht beneficiary canada certificate checking company contribuinte
    documento elector epic extranjero medical motorbike ontario patente permit physician plate postcode
    preauthorization prescriber provider quebec referral registergericht registration truck vehicle voter
    finanzamt handelsregister
    """
)
"""Names of five letters or more that are also names of other things."""
_SHORT: Final = _words(
    """
    cpr cvr cuil egn hkid insz niss nik nin nip oib pps ppsn utr vrn vkn tckn amka afm emso jmbg cnp ruc rrn
    hetu idnr kvnr svnr rvnr ustid ustidnr gst btw rnc uen mbi cnic nipc
    """
)
"""Shorter names that are names of nothing else."""
_THINGS: Final = _words(
    """
    account acct bank card cc credit debit phone mobile cell tel telephone handy member patient insurance
    personal medicare license licence
    """
)
"""Names of numbers that are also names of things with many fields: only neutral keys below them have their number."""
_NEUTRAL: Final = _words(
    """
    value values val number numbers num nr no text content raw full formatted original current previous old new
    primary secondary main default data detail details info item items list string plain input home work private
    business office local international national digits entry answer response result field
    """
)
_MEASURES: Final = _words(
    """
    count counts total totals sum amount amounts balance limit limits price prices cost costs fee fees rate
    rates version versions revision build size sizes length len width height offset index idx position page
    pages seq sequence rank hash digest checksum status state type types kind format mask regex pattern score
    percent percentage ratio currency ms millis seconds secs minutes hours duration age attempts retries usage
    quota uuid guid url uri path file filename epoch schema enum minimum maximum min max tokens bytes usd eur
    gbp payment payments model level priority order invoice ticket tracking sku port pid seed line lines row
    rows column lat lng lon latitude longitude created updated modified expires expiry expiration issued
    """
)
"""Last words of keys whose values are counts, prices, times and the like."""
_TIMES: Final = _words(
    """
    date dates time times timestamp at on day days month months year years
    """
)
"""The same, except of a birth."""
_IDS: Final = frozenset({"id", "ids", "key", "ref", "reference"})
_IDENTIFIED: Final = frozenset({"tax", "national", "identity", "fiscal", "citizen", "government"})
"""Names whose id is the number itself (`{"tax": {"id": ...}}`), not that of a record."""
_KINDS: Final = frozenset({"id", "number", "no", "nr", "code"})
_BORN: Final = frozenset(word for phrase in BIRTH for word in phrase.lower().split() if len(word) > 2) - {"date", "day"}


def _names() -> frozenset[str]:
    """The names of personal numbers, in lower case, with one blank between their words."""
    said = {word.lower() for identity in IDENTITIES for word in identity.words}
    names = {one for one in said if (" " in one or len(one) >= _SHORTEST or not one.isascii()) and one not in _GENERIC}
    names |= {one for one in NAMES if _PHONES.search(one)}
    names |= {
        *terms.KINDS,
        *_SHORT,
        "credit card",
        "debit card",
        "dob",
        "born",
        *(one for one in BIRTH if len(one) >= _SHORTEST or not one.isascii()),
    }
    return frozenset(" ".join(regex.findall(r"[\p{L}\p{M}]+", one.lower())) for one in names)


_NAMES: Final = _names()
_JOINED: Final = {one.replace(" ", ""): one for one in sorted(_NAMES) if len(one) >= _SHORTEST}
"""The names written together."""


class _Key(NamedTuple):
    """A key: the words that name a number ("" if none), whether it is the name of a thing, and its last word."""

    lead: str
    thing: bool
    last: str


@once
def _read(key: str) -> _Key:
    words = _WORDS.findall(" ".join(map(_apart, _WORDS.findall(_PLURAL.sub("", key[:_LONGEST])))))
    lower = [word.lower() for word in words]
    last = lower[-1] if lower else ""
    if last in _MEASURES or (last in _TIMES and _BORN.isdisjoint(lower)):
        return _Key("", False, last)
    for at in range(len(lower)):
        for size in range(min(_PHRASE, len(lower) - at), 0, -1):
            name = " ".join(lower[at : at + size])
            if name in _NAMES or (size == 1 and name.removesuffix("s") in _NAMES):
                return _Key(f"{' '.join(words[at:])} ", name.split()[-1].removesuffix("s") in _THINGS, last)
    return _Key("", False, last)


def _apart(word: str) -> str:
    """A word as the names and endings that are written together in it: `passportnumber`, `taxid`."""
    lower = word.lower()
    if lower in _NAMES or len(lower) < _SHORTEST:
        return word
    whole = _JOINED.get(lower)
    if whole is not None:
        return whole
    ending = _ENDINGS.search(lower)
    bare = lower[: ending.start()] if ending is not None else ""
    return f"{_JOINED.get(bare, bare)} {lower[len(bare) :]}" if bare in _NAMES or bare in _JOINED else word


def of(key: object, above: Keys = ()) -> str:
    """The words before a value for scanners, with a blank at the end: of its key, or of a key above; "" if none."""
    below: list[str] = []
    for _ in range(_LEVELS):
        if isinstance(key, str):
            read = _read(str(key))
            if read.lead:
                kind = f"{below[0]} " if below and below[0] in _KINDS else ""  # `tax` and `id`, `passport` and `number`
                return f"{read.lead}{kind}" if _passes(read, below) else ""
            below.append(read.last)
        if not above:
            break
        key, above = above
    return ""


def _passes(named: _Key, below: list[str]) -> bool:
    """Whether the number that a key names may be under these keys below it."""
    if named.thing:
        return all(last in _NEUTRAL for last in below)
    words = set(named.lead.lower().split())
    barred = _MEASURES
    if _IDENTIFIED.isdisjoint(words):
        barred |= _IDS
    if _BORN.isdisjoint(words):
        barred |= _TIMES
    return barred.isdisjoint(below)


def within(node: Any, key: object, above: Keys) -> str:
    """The same for a value of a dict or list, which may also be named beside it (`{"name": "ssn", "value": ...}`)."""
    if type(node) is dict and key in _VALUE:
        for beside in _BESIDE:
            name = node.get(beside)
            if type(name) is str and len(name) <= _LABEL and _read(name).lead:
                return of(key, (name, above))
    return of(key, above)


def may_need(value: str) -> bool:
    """Whether a value is short and has digits as numbers have them, so that words before it may decide."""
    return 6 < len(value) <= MOST and DIGITS(value) is not None


def along(path: str) -> str:
    """The same for the path of a running text, such as `delta:customer.ssn[]`."""
    if path.isalpha() and len(path) < _LONGEST:
        return of(path)
    above: Keys = ()
    names = [name for name in re.split(r"[.:\[\]]+", path) if name and not name.isdigit()]
    for one, _ in pairwise(names[-_LEVELS:]):
        above = (one, above)
    return of(names[-1], above) if names else ""
