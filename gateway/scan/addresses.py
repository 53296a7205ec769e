"""Postal addresses, as far as patterns reach: a street with its number, a post box, a town with its postcode.

What says that it is a street decides: "Street" after the name in English, "rue" or "via" before it, "-straße" or
"-gatan" in it. Names are capitalized; a street without such a word, or a town alone, is left to what finds names.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import regex

from gateway.budget import spend
from gateway.scan.index import Expression
from gateway.scan.rules import Rule

SCORE: Final = 0.6
_LONGEST: Final = 120
_JUDGED: Final = 30  # microseconds that one takes
_GAP: Final = r"[ \t\u00a0]"
# Written out: a range beyond ASCII would stand for digits, too, in the index.
_UPPER: Final = "A-ZÀÁÂÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÖØÙÚÛÜÝÞĆČĐĞİŁŃŘŚŞŠŹŻŽ"
_NAME: Final = rf"[{_UPPER}][\w'’.-]*"
_NUMBER: Final = r"\d{1,5}(?:[-–/]\d{1,5})?(?: ?[A-Za-z])?(?![\w])"
_TYPES: Final = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Square|Sq|Terrace|Ter|"
    r"Trail|Trl|Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Grove|Gardens|Mews|Alley|Row|Hill|Walk|Loop|Plaza|Path|Pass|"
    r"Run|Ridge|Pike|Point|Cove|Heights|Hts|Expressway|Freeway|Turnpike|Bypass|Crossing|Junction|Meadows?|Valley|View|Vista|"
    r"Manor|Landing|Creek|Bend|Branch|Bridge|Brook|Camp|Canyon|Center|Centers|Cliffs?|Common|Corners?|Course|Curve|Dale|Dam|"
    r"Divide|Estates?|Extensions?|Falls|Ferry|Fields?|Flats?|Fords?|Forest|Forges?|Forks?|Fort|Gateway|Glens?|Greens?|"
    r"Groves|Harbors?|Haven|Hills|Hollow|Inlet|Islands?|Isle|Keys?|Knolls?|Lakes?|Light|Locks?|Lodge|Mall|Mill|Mills|"
    r"Mission|Motorway|Mount|Mountains?|Neck|Orchard|Oval|Overpass|Park|Parks|Parkways|Passage|Pine|Pines|Plain|Plains|Port|"
    r"Ports|Prairie|Radial|Ramp|Ranch|Rapids?|Rest|River|Roads|Route|Rue|Shoals?|Shores?|Skyway|Springs?|Spurs?|Squares|"
    r"Station|Stravenue|Stream|Streets|Summit|Throughway|Trace|Track|Trafficway|Tunnel|Underpass|Unions?|Village|Ville|"
    r"Walks|Wall|Ways|Wells?|Drives|Islands|Circles|Courts|Brooks|Parkway|Villages|Stravenue)"
)
_ENDINGS: Final = (
    r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|ring|ufer|damm|steig|straat|laan|plein|gracht|kade|singel|dreef|dijk|"
    r"gatan|vägen|gränd|stigen|gata|veien|vegen|gate|vej|gade|stræde|allé|katu|tie|kuja|polku)"
)
_BEFORE: Final = (
    r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]d|[Pp]lace|[Aa]llée|[Cc]hemin|[Ii]mpasse|[Qq]uai|[Cc]ours|[Rr]oute|"
    r"[Ss]quare)"
)
_SOUTH: Final = (
    r"(?:Via|Viale|Piazza|Piazzale|Corso|Largo|Vicolo|Strada|Borgo|Contrada|Calle|"
    r"Avenida|Avda\.?|Av\.|Plaza|Paseo|Pasaje|Camino|Ronda|Rambla|Cuesta|Callej[oó]n|Glorieta|"
    r"Rua|Travessa|Praça|Alameda|Estrada|Ladeira|C/|ul\.|al\.|pl\.|Ulica|Aleja)"
)
_LINK: Final = (
    r"(?:(?:de|du|des|la|le|les|del|della|dei|degli|delle|di|da|do|dos|das|las|los|el|d['’]|l['’]|y|e|et)[ \t]?)"
)
_PLACE: Final = rf"{_LINK}{{0,2}}{_NAME}(?:[ \t-]{_LINK}{{0,2}}{_NAME}){{0,3}}"

_WORDS: Final = rf"(?:(?:{_NAME}|[a-z'’]{{1,5}})[ \t-]?)+"


class _Form(NamedTuple):
    """How a street is written. `whole` begins as it does and matches at least where it begins, `begun` is as long."""

    source: str
    whole: str = ""
    begun: str = ""


_STREETS: Final = (
    _Form(  # 221b Baker Street
        rf"\d{{1,6}}[A-Za-z]?,?{_GAP}(?:[NSEW]{{1,2}}\.?{_GAP}|(?:North|South|East|West){_GAP})?"
        rf"(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)){_GAP}){{1,4}}{_TYPES}\b\.?"
        rf"(?:{_GAP}(?:[NSEW]{{1,2}}|North|South|East|West)\b)?",
        rf"\d{{1,6}}[A-Za-z]?,?{_GAP}(?:{_NAME}|\d{{1,3}}[a-z]{{2}}){_GAP}[A-Z]\w",
        rf"\d{{1,6}}[A-Za-z]?,?{_GAP}(?:(?:{_NAME}|\d{{1,3}}[a-z]{{2}}){_GAP}){{1,6}}{_NAME}",
    ),
    _Form(  # Hauptstraße 5, Breite Straße 5
        rf"{_NAME}(?:{_ENDINGS}|[ -](?:Stra(?:ß|ss)e|Str\.|Platz|Allee|Weg|Ring|Gasse|Damm|Ufer)){_GAP}{_NUMBER}",
        rf"{_NAME}(?:[ -](?:Stra(?:ß|ss)e|Str\.|Platz|Allee|Weg|Ring|Gasse|Damm|Ufer))?{_GAP}\d",
        rf"{_NAME}(?:[ -](?:Stra(?:ß|ss)e|Str\.|Platz|Allee|Weg|Ring|Gasse|Damm|Ufer))?{_GAP}{_NUMBER}",
    ),
    _Form(  # 12 bis, rue de la Paix
        rf"\d{{1,4}}(?:{_GAP}?(?:bis|ter))?,?{_GAP}{_BEFORE}{_GAP}{_PLACE}",
        rf"\d{{1,4}}(?:{_GAP}?(?:bis|ter))?,?{_GAP}{_BEFORE}{_GAP}",
        rf"\d{{1,4}}(?:{_GAP}?(?:bis|ter))?,?{_GAP}{_BEFORE}{_GAP}{_WORDS}",
    ),
    _Form(  # Via Roma, 12
        rf"{_SOUTH}{_GAP}?{_PLACE},?{_GAP}(?:n[.º°]?{_GAP}?)?{_NUMBER}",
        rf"{_SOUTH}{_GAP}?\w",
        rf"{_SOUTH}[\w'’.,º°\u00a0 \t/–-]*",
    ),
    _Form(
        r"(?:P\.? ?O\.? ?Box|Post Office Box|Postfach|Apartado(?: de Correos)?|Boîte postale|Casella postale|Postbus|"
        rf"Postboks|PSC \d{{1,5}},? Box|Unit \d{{1,5}} Box){_GAP}#?\d{{1,6}}",
    ),
)
_STATES: Final = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|V[AIT]|"
    r"W[AIVY]|A[AEP]|AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|NSW|VIC|QLD|TAS|ACT|NT)"
)
_PARTS: Final = (
    _Form(rf"{_STATES}{_GAP}{{1,2}}\d{{5}}(?:-\d{{4}})?(?![\w-])"),  # IL 62704
    _Form(r"(?:Apt\.?|Apartment|Suite|Ste\.?)[ \t]?#?[ \t]?\d{1,5}[A-Za-z]?(?![\w.-])"),
)


def _rule(form: _Form) -> Rule:
    edge = r"\b(?<!\w)"
    whole, begun = (rf"\b(?:{outline})" if outline else "" for outline in (form.whole, form.begun))
    pattern = regex.compile(edge + form.source)

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        spend(_JUDGED)
        # An outline says where one begins; its end may lie beyond.
        return [
            (*match.span(), SCORE)
            for match in pattern.finditer(text, start, min(len(text), end + _LONGEST))
            if match.start() < end
        ]

    return Rule("STREET_ADDRESS", "Addresses", Expression(edge + form.source, 0, whole, begun, "words"), find)


def rules() -> list[Rule]:
    """The rules for postal addresses."""
    return [_rule(form) for form in (*_STREETS, *_PARTS)]
