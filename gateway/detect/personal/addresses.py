"""Postal addresses with a regular form: a street with its number, a post box, a town with its postcode.

A word for a street decides: "Street" after the name in English, "rue" or "via" before it, "-straße" or "-gatan" in it.
A finding is extended over the rest of the address: unit, quarter, town, state, postcode, country. An address without
such a word counts if its postcode is in the right place: "Graben 21, 1010 Wien". Names are capitalized; a town alone is
left to the search for names. The forms are in `address_forms`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import regex

from gateway.budget import spend
from gateway.detect.core.expressions import compiled
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Rule
from gateway.detect.personal import address_forms as forms
from gateway.detect.personal.address_forms import Form

SCORE: Final = 0.6
_WHOLE: Final = 0.85  # with a postcode: more than the score of a postcode alone with a context word
_DOUBTFUL: Final = 0.3
_NEAR: Final = 5  # maximum words between a word such as "lives" and the street
_FAR: Final = 99
_near: Final = Near(
    {
        "there": (
            *(
                "live",
                "lives",
                "lived",
                "living",
                "located",
                "address",
                "addresses",
                "ship",
                "deliver",
                "delivered",
                "send",
            ),
            *(
                "sent",
                "meet",
                "moved",
                "return",
                "office",
                "offices",
                "restaurant",
                "home",
                "reside",
                "resides",
                "visit",
            ),
            *("stop", "corner", "mail", "house", "street", "residence", "station", "arrived", "stay", "enter", "at"),
            *("adresse", "anschrift", "wohne", "wohnt", "wohnhaft", "lieferadresse", "habite", "dirección", "vivo"),
            *("indirizzo", "abito", "endereço", "moro", "adres", "woon", "mieszkam", "cím", "lakik", "bydlím"),
            *("adresa", "adrese", "adresas", "aadress", "adress", "naslov", "bor", "osoite", "domicilio"),
        )
    }
)
_LONGEST: Final = 160
_BEFORE: Final = 40  # characters before a year in which another year is searched for
_LED: Final = 30  # characters of the text before an address
_JUDGED: Final = 30  # microseconds per candidate
_GROWN: Final = compiled(forms.GROWN)
_EDGE: Final = r"\b(?<!\w)"  # how all patterns begin
_BEGINNING: Final = regex.compile(r"(?<!\w)\w")

# `os.O_CREATE, 0644`: a name with an underscore, an attribute of the module, a mode of a file.
_CODE: Final = regex.compile(r"\w_|\Aos\.\S|[, ]0\d{2,}\Z")
# Names with a number that are not streets, and years in the place of a postcode.
_THING: Final = regex.compile(
    r"\A(?:Tables?|Figures?|Fig\.|Chapter|Section|Sec\.|Versions?|Pages?|Steps?|Levels?|Part|Windows|Python|Java|Node|"
    r"Release|Issue|Volume|Vol\.|No\.|Room|Gate|Port|Line|Lines|Row|Column|Class|Grade|Type|Model|Test|Day|Week|Month|"
    r"Article|Art\.|Kapitel|Seite|Tabelle|Abbildung|Abschnitt|Absatz|Artikel|Bild|Teil|Band|Jahr|Phase|Stage|Round|"
    r"Game|Episode|Season|Item|Case|Example|Exercise|Question|Answer|Note|Rule|Appendix|Annex|USB|HTTP|Copyright|Bits?|"
    r"Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|"
    r"Nov(?:ember)?|Dec(?:ember)?|(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?|Apollo|World War|"
    r"COVID|Boeing|Airbus|iPhone|Debian|Ubuntu|Engineering|Spring|Summer|Autumn|Fall|Winter|Via (?:USB|HTTP))\b"
)
# Numbers of issues, players of a game, lines of a drawing: `PR 27456`, `R.Gould 26`, `303 280 L 368 280`.
_NO_STREET: Final = regex.compile(r"PR (?!00[679])\d|\d[\d. ]* [A-Z] \d[\d. ]*\Z|[A-Z]\.[A-Z][a-z]+\.?,? ?\d{1,2}\Z")
_DECIMAL: Final = regex.compile(r"\d\.\Z")  # USB 2.0 Flash Drive
# Licences contain the public address of an office; the address and its parts are not personal data.
_LICENCE: Final = regex.compile(
    r"(?:Foundation(?:,|\s|Inc\.?|<br>|[#*/;.\\\"-]){1,24}|Creative\s+Commons,\s+)"
    r"(?:(?:51|59|675|31|171)\s[^!?:@]{1,80})?\Z"
)
_OFFICE: Final = 150  # characters around a finding in which the office is searched for
_YEAR: Final = regex.compile(r"(?:19[5-9]|20[0-3])\d(?!\d)")
_YEARS: Final = regex.compile(r"(?:\b(?:19[5-9]|20[0-3])\d\b|\([Cc]\)|©|[Cc]opyright)")


def _rule(form: Form, *, grows: bool = False) -> Rule:
    lead = forms.LEAD if grows else ""
    whole = form.whole if form.back or not form.whole else rf"\b(?:{form.whole})"
    begun = rf"\b(?:{form.begun})" if form.begun else ""
    source = f"{_EDGE}{lead}{form.source}"
    pattern = compiled(source)
    holds = compiled(form.holds) if form.holds else None
    if grows:
        begun = (begun or source) + forms.GROWING

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        spend(_JUDGED)
        # An outline matches the beginning of an address; the address may end later.
        found = []
        limit = min(len(text), end + _LONGEST)
        if holds is not None and holds.search(text, start, limit) is None:
            return []
        for match in _beginning(pattern, text, start, end, limit):
            spend(_JUDGED)
            low, high = match.span()
            code = match.groupdict().get("code")
            if grows:
                grown = _GROWN.match(text, high, min(len(text), high + forms.LONGEST_GROWN))
                if grown:
                    high, code = grown.end(), grown["code"]
            thing = form.named and _THING.match(match.group())
            found.append((low, high, 0.0 if thing else _score(text, match, high, code)))
        return found

    back = form.back + (_LED if grows and whole else 0)
    return Rule("STREET_ADDRESS", "Addresses", Expression(source, 0, whole, begun, "words", back=back), find)


def _beginning(pattern: regex.Pattern[str], text: str, start: int, end: int, limit: int) -> Iterator[regex.Match[str]]:
    """The matches of a pattern that begin in [start, end) and end at `limit` at most; each begins with a word.

    A search up to `limit` would try all the words behind `end`, too.
    """
    for word in _BEGINNING.finditer(text, start, end):
        at = word.start()
        if at >= start:
            match = pattern.match(text, at, limit)
            if match is not None:
                yield match
                start = max(match.end(), at + 1)


def _score(text: str, match: regex.Match[str], end: int, code: str | None) -> float:
    """Lower if the word for a street is an ordinary word, nothing follows, and no word such as "lives" precedes."""
    start = match.start()
    if _CODE.search(match.group()) or _dated(text, match) or _NO_STREET.match(match.group()):
        return 0.0
    if _DECIMAL.search(text, max(0, start - 2), start) or _LICENCE.search(text, max(0, start - _OFFICE), start):
        return 0.0
    weak = match.groupdict().get("weak")
    if code and not (weak and _YEAR.fullmatch(code)):
        return _WHOLE if not _YEAR.fullmatch(code) or "\n" in match.group() else SCORE
    if not weak or end > match.end() or _near.keys(text, match.start()).get("there", _FAR) <= _NEAR:
        return SCORE
    return _DOUBTFUL


def _dated(text: str, match: regex.Match[str]) -> bool:
    """Whether the number is a year after another year or a word of copyright: 2019 Ann Lane, 2021 Bo Hill."""
    if not _YEAR.match(match.group()):
        return False
    return _YEARS.search(text, max(0, match.start() - _BEFORE), match.start()) is not None


def rules() -> list[Rule]:
    """The rules for postal addresses."""
    return [
        *(_rule(form, grows=True) for form in (*forms.STREETS, forms.HUNGARIAN)),
        *(_rule(form) for form in (*forms.PARTS, *forms.BLOCKS, forms.CORNERS, forms.PLACED)),
    ]
