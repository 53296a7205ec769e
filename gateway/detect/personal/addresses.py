"""Postal addresses, as far as patterns reach: a street with its number, a post box, a town with its postcode.

What says that it is a street decides: "Street" after the name in English, "rue" or "via" before it, "-straße" or
"-gatan" in it. Names are capitalized; a street without such a word, or a town alone, is left to what finds names.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import regex

from gateway.budget import spend
from gateway.detect.core.index import Expression
from gateway.detect.core.neighbours import Near
from gateway.detect.core.rules import Rule

SCORE: Final = 0.6
_DOUBTFUL: Final = 0.3
_NEAR: Final = 5  # words between one that says that somebody is there, and the street
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
        )
    }
)
_LONGEST: Final = 120
_JUDGED: Final = 30  # microseconds that one takes
_GAP: Final = r"[ \t\u00a0]"
# Written out: a range beyond ASCII would stand for digits, too, in the index.
_UPPER: Final = "A-ZÀÁÂÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÖØÙÚÛÜÝÞĆČĐĞİŁŃŘŚŞŠŹŻŽ"
_NAME: Final = rf"[{_UPPER}][\w'’.-]*"
_NUMBER: Final = r"\d{1,5}(?:[-–/]\d{1,5})?(?: ?[A-Za-z])?(?![\w])"
_TYPES: Final = (
    r"(?:Street|St|Avenue|Ave|Av|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Circle|Cir|Way|Place|Pl|Square|Sq|"
    r"Terrace|Ter|"
    r"Trail|Trl|Parkway|Pkwy|Highway|Hwy|Crescent|Cres|Close|Grove|Gardens|Mews|Alley|Plaza|Expressway|Freeway|"
    r"Turnpike|Bypass|Streets|Roads)"
)
_ORDINARY: Final = (  # words that name streets, and other things as often
    r"(?:Row|Hill|Walk|Loop|Plaza|Path|Pass|"
    r"Run|Ridge|Pike|Point|Cove|Heights|Hts|Expressway|Freeway|Turnpike|Bypass|Crossing|Junction|Meadows?|Valley|View|"
    r"Vista|"
    r"Manor|Landing|Creek|Bend|Branch|Bridge|Brook|Camp|Canyon|Center|Centers|Cliffs?|Common|Corners?|Course|Curve|"
    r"Dale|Dam|"
    r"Divide|Estates?|Extensions?|Falls|Ferry|Fields?|Flats?|Fords?|Forest|Forges?|Forks?|Fort|Gateway|Glens?|Greens?|"
    r"Groves|Harbors?|Haven|Hills|Hollow|Inlet|Islands?|Isle|Keys?|Knolls?|Lakes?|Light|Locks?|Lodge|Mall|Mill|Mills|"
    r"Mission|Motorway|Mount|Mountains?|Neck|Orchard|Oval|Overpass|Park|Parks|Parkways|Passage|Pine|Pines|Plain|Plains|"
    r"Port|"
    r"Ports|Prairie|Radial|Ramp|Ranch|Rapids?|Rest|River|Roads|Route|Rue|Shoals?|Shores?|Skyway|Springs?|Spurs?|"
    r"Squares|"
    r"Station|Stravenue|Stream|Streets|Summit|Throughway|Trace|Track|Trafficway|Tunnel|Underpass|Unions?|Village|Ville|"
    r"Walks|Wall|Ways|Wells?|Drives|Islands|Circles|Courts|Brooks|Parkway|Villages|Stravenue)"
)
# What ends a name in English, too, counts only behind letters that it never follows there: "Spring", "Aggregate".
_ENDINGS: Final = (
    r"(?:stra(?:ß|ss)e|str\.|weg|platz|allee|gasse|(?:rr|[dlmsnrh]t|[dlnr]d|ll|nn|ss|[fghts]s)ring|ufer|damm|steig|"
    r"straat|laan|plein|gracht|(?<!De)kade|singel|dreef|dijk|gatan|vägen|gränd|stigen|gata|veien|vegen|vegur|braut|"
    r"stræti|straeti|[rlnskdtm]gate|vej|[rlnskdtm]gade|stræde|allé|katu|[nsr]tie|kuja|polku|terrasse)"
)
# Words of their own behind the name: Hungary, Slovenia, Czechia, Estonia, Greece, the German ones written apart.
_APART: Final = (
    r"(?:[Ss]tra(?:ß|ss)e|[Ss]tr\.|Platz|Allee|Weg|Ring|Gasse|Damm|Ufer|u\.|utca|út|útja|tér|krt\.|körút|rkp\.|köz|"
    r"sétány|"
    r"cesta|ulica|trg|ulice|třída|tee|põik|puiestee|maantee|tänav|mnt\.?|tn\.?|pst\.?|vej|gate|väg|gata|katu)"
)
_BEFORE: Final = (
    r"(?:[Rr]ue|[Aa]venue|[Bb]oulevard|[Bb]d|[Pp]lace|[Aa]llée|[Cc]hemin|[Ii]mpasse|[Qq]uai|[Cc]ours|[Rr]oute|"
    r"[Ss]quare)"
)
_SOUTH: Final = (
    r"(?:Via|Viale|Piazza|Piazzale|Corso|Largo|Vicolo|Strada|Borgo|Contrada|Calle|"
    r"Avenida|Avda\.?|Av\.|Plaza|Paseo|Pasaje|Camino|Ronda|Rambla|Cuesta|Callej[oó]n|Glorieta|"
    r"Rua|Rúa|Travessa|Praça|Alameda|Estrada|Ladeira|C/|ul\.|al\.|pl\.|os\.|nám\.|Ulica|Aleja|Osiedle|"
    r"Náměstí|Trg|Cesta|Rue|Avenue|Boulevard|Chemin|Impasse|Quai|Strada)"
)
_LINK: Final = (
    r"(?:(?:de|du|des|la|le|les|del|della|dei|degli|delle|di|da|do|dos|das|las|los|el|d['’]|l['’]|y|e|et)[ \t]?)"
)
_PLACE: Final = rf"{_LINK}{{0,2}}{_NAME}(?:[ \t-]{_LINK}{{0,2}}{_NAME}){{0,3}}"

_WORDS: Final = rf"(?:(?:{_NAME}|[a-z'’]{{1,5}})[ \t-]?)+"


_LEAD: Final = rf"(?:\d{{1,6}}{_GAP})?"  # a number of a house or a building before a street that has its own

_LED: Final = rf"(?:\d+{_GAP})?"


class _Form(NamedTuple):
    """How a street is written. `whole` begins as it does and matches at least where it begins, `begun` is as long."""

    source: str
    whole: str = ""
    begun: str = ""


_STREETS: Final = (
    _Form(  # 221b Baker Street
        rf"\d{{1,6}}[A-Za-z]?,?{_GAP}(?:[NSEW]{{1,2}}\.?{_GAP}|(?:North|South|East|West){_GAP})?"
        rf"(?:(?:{_NAME}|\d{{1,3}}(?:st|nd|rd|th)){_GAP}){{1,4}}(?:{_TYPES}|(?P<weak>{_ORDINARY}))\b\.?"
        rf"(?:{_GAP}(?:[NSEW]{{1,2}}|North|South|East|West)\b)?",
        rf"\d{{1,6}}[A-Za-z]?,?{_GAP}(?:{_NAME}|\d{{1,3}}[a-z]{{2}}){_GAP}[A-Z]\w",
        rf"\d{{1,6}}[A-Za-z]?,?{_GAP}(?:(?:{_NAME}|\d{{1,3}}[a-z]{{2}}){_GAP}){{1,6}}{_NAME}",
    ),
    _Form(  # Hauptstraße 5, Breite Straße 5
        rf"{_NAME}(?:{_ENDINGS}|[ -]{_APART}){_GAP}{_NUMBER}",
        rf"{_NAME}(?:[ -]{_APART})?{_GAP}\d",
        rf"{_NAME}(?:[ -]{_APART})?{_GAP}{_NUMBER}",
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
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|G[AU]|HI|I[ADLN]|K[SY]|LA|M[ADEHINOPST]|N[CDEHJMVY]|O[HKR]|P[AR]|RI|S[CD]|T[NX]|UT|"
    r"V[AIT]|"
    r"W[AIVY]|A[AEP]|AB|BC|MB|NB|NL|NS|ON|PE|QC|SK|NSW|VIC|QLD|TAS|ACT|NT)"
)
_PARTS: Final = (
    _Form(rf"(?<=[\w.],[ \n]){_STATES}{_GAP}{{1,2}}\d{{5}}(?:-\d{{4}})?(?![\w-])"),  # Boston, MA 02110
    _Form(rf"[AFD]PO{_GAP}A[AEP]{_GAP}\d{{5}}(?![\w-])"),
    _Form(r"(?:Apt\.?|Apartment|Suite|Ste\.?)[ \t]?#?[ \t]?\d{1,5}[A-Za-z]?(?![\w.-])"),
)

# What follows a street: the unit, the town, the state or the country, the postcode, on one line or several.
_SEP: Final = r"(?:[ \t]*,[ \t]*|[ \t]+|[ \t]*,?[ \t]*\r?\n[ \t>?]{0,6},?[ \t]*)"
_UNIT: Final = (
    r"(?:(?:Apt\.?|Apartment|Suite|Ste\.?|Unit|Flat|Floor|Room|Rm\.|Wohnung|Appt\.?|Bte|Box|"
    r"[Pp]iso)[ \t]?#?\d{1,5}[A-Za-z]?\b"
    r"|\d{1,2}[ºª°](?:[ \t][A-Z]\b)?|(?<=\d [A-H] )\d{1,3}\b|(?<=(?:Road|Route|Highway) )\d{1,4}\b(?=,))"
)
_TOWN: Final = (
    rf"{_NAME}(?:[ -](?:(?:on|upon|na|nad|pri|pod|ob|v|u|de|di|del|della|la|le|les|sur|sous|am|an|der|den|aan|i|do|da|"
    rf"dos)"
    rf"[ -]){{0,2}}{_NAME}){{0,4}}"
)
_POST: Final = (
    r"(?:(?:[A-Z]{1,2}-)?\d{4,6}(?:-\d{3,4})?|\d{3} \d{2}|\d{4} ?[A-Z]{2}|\d{2}-\d{3}|[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}|"
    r"[A-Z]\d[A-Z] ?\d[A-Z]\d)(?![\w-])"
)
_COUNTRY: Final = (
    r"(?:United Kingdom|United States(?: of America)?|USA|UK|England|Scotland|Wales|Ireland|Germany|Deutschland|France|"
    r"Spain|"
    r"España|Italy|Italia|Portugal|Netherlands|Belgium|Luxembourg|Switzerland|Schweiz|Austria|Österreich|Poland|Polska|"
    r"Czech Republic|Czechia|Slovakia|Slovenia|Hungary|Croatia|Romania|Bulgaria|Greece|Cyprus(?: \(Greek\))?|Denmark|"
    r"Norway|"
    r"Sweden|Finland|Iceland|Estonia|Latvia|Lithuania|Greenland(?:er)?|Canada|Mexico|Brazil|Argentina|Uruguay|Chile|"
    r"Tunisia|"
    r"South Africa|Australia|New Zealand|India|Japan|Turkey|Ukraine)\b"
)
_STATE: Final = r"(?:[A-Z]{1,3}|nan|\d{2})(?!\w)"
_GROWN: Final = regex.compile(
    rf"(?:{_SEP}{_UNIT}){{0,2}}(?:"
    rf"{_SEP}{_POST}[ \t]{_TOWN}(?:{_SEP}{_COUNTRY})?"
    rf"|{_SEP}{_TOWN}(?:{_SEP}{_STATE})?(?:{_SEP}{_COUNTRY})?{_SEP}{_POST}"
    rf"|{_SEP}{_TOWN}{_SEP}{_COUNTRY}"
    rf"|{_SEP}{_TOWN}{_SEP}{_STATE}"
    rf"|{_SEP}{_COUNTRY}(?:{_SEP}{_POST})?"
    rf"|,[ \t]{_TOWN}(?=[,.;!?\n]|\Z)"
    rf")?"
)
# The same and more in a form whose beginnings are few: capitalized words and numbers.
_GROWING: Final = rf"(?:[\s,>?.]+(?:[{_UPPER}0-9#(]|[a-z]+[ -][{_UPPER}])[\w.'’)#-]*)*[\s,>?.]*"
_LONGEST_GROWN: Final = 260


# `os.O_CREATE, 0644`: a name with an underscore, an attribute of the module, a mode of a file.
_CODE: Final = regex.compile(r"\w_|\Aos\.\S|[, ]0\d{2,}\Z")


def _rule(form: _Form, *, grows: bool) -> Rule:
    edge = r"\b(?<!\w)"
    lead = _LEAD if grows else ""
    whole, begun = (
        rf"\b(?:{_LED if grows else ''}{outline})" if outline else "" for outline in (form.whole, form.begun)
    )
    source = f"{edge}{lead}{form.source}"
    pattern = regex.compile(source)
    if grows:
        begun = (begun or source) + _GROWING

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        spend(_JUDGED)
        # An outline says where one begins; its end may lie beyond.
        found = []
        limit = min(len(text), end + _LONGEST)
        for match in pattern.finditer(text, start, limit):
            if match.start() >= end:
                break
            low, high = match.span()
            if grows:
                grown = _GROWN.match(text, high, min(len(text), high + _LONGEST_GROWN))
                high = grown.end() if grown else high
            found.append((low, high, 0.0 if _CODE.search(match.group()) else _score(text, match, high)))
        return found

    return Rule("STREET_ADDRESS", "Addresses", Expression(source, 0, whole, begun, "words"), find)


def _score(text: str, match: regex.Match[str], end: int) -> float:
    """Less where the word for a street is an ordinary one, nothing follows, and no word says that somebody is there."""
    weak = match.groupdict().get("weak")
    if not weak or end > match.end() or _near.keys(text, match.start()).get("there", _FAR) <= _NEAR:
        return SCORE
    return _DOUBTFUL


def rules() -> list[Rule]:
    """The rules for postal addresses."""
    return [*(_rule(form, grows=True) for form in _STREETS), *(_rule(form, grows=False) for form in _PARTS)]
