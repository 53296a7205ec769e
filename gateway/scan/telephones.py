"""Phone numbers: what phonenumbers finds in the configured regions, and what the words around a number call one.

Presidio, and phonenumbers with it, finds a number without a country code only if it is valid in a region it was told.
Beside a word like "call" or "Telefon" the form is enough here, as it is for a plus sign with a country code, or for an
area code in brackets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import phonenumbers
import regex

from gateway.budget import spend
from gateway.scan.context import ContextWords
from gateway.scan.index import Expression
from gateway.scan.near import Near
from gateway.scan.phones import Phones, island
from gateway.scan.rules import Rule
from gateway.scan.slim import predefined_recognizers

_CALLED: Final = 0.7
_FORMED: Final = 0.5
_NEAR: Final = 6  # words that may stand between
_PHONE: Final = (
    *(
        "phone",
        "telephone",
        "tel",
        "mobile",
        "mob",
        "cell",
        "cellphone",
        "cellular",
        "fax",
        "call",
        "dial",
        "ring",
        "sms",
    ),
    *(
        "text",
        "message",
        "messages",
        "whatsapp",
        "signal",
        "telegram",
        "viber",
        "hotline",
        "landline",
        "reach",
        "contact",
    ),
    *("phone number", "my number", "his number", "her number", "your number", "their number", "called", "calling"),
    *("voicemail", "pager", "extension", "registered", "t", "m", "p", "f", "ph", "callback", "reached"),
    *("telefon", "telefonnummer", "handy", "handynummer", "mobil", "mobilnummer", "anrufen", "rufnummer", "durchwahl"),
    *(
        "téléphone",
        "portable",
        "appelez",
        "appeler",
        "joindre",
        "numéro de téléphone",
        "télécopie",
        "teléfono",
        "móvil",
    ),
    *("celular", "llamar", "llame", "llámame", "telefone", "telemóvel", "ligue", "ligar", "telefono", "cellulare"),
    *("chiamare", "chiamami", "telefoon", "telefoonnummer", "mobiel", "bellen", "telefonnumber", "mobilnummer", "ring"),
    *(
        "puhelin",
        "puhelinnumero",
        "telefonszám",
        "komórka",
        "zadzwoń",
        "numer telefonu",
        "telefonu",
        "cep",
        "telefon no",
    ),
    *(
        "телефон",
        "тел",
        "моб",
        "мобильный",
        "звоните",
        "τηλέφωνο",
        "κινητό",
        "電話",
        "携帯",
        "电话",
        "手机",
        "전화",
        "휴대폰",
    ),
    *("โทร", "โทรศัพท์", "điện thoại", "telepon", "फोन", "मोबाइल"),
)
_OTHER: Final = (
    *(
        "order",
        "invoice",
        "ticket",
        "tracking",
        "serial",
        "sku",
        "isbn",
        "account",
        "card",
        "ssn",
        "passport",
        "license",
    ),
    *(
        "licence",
        "id",
        "reference",
        "ref",
        "version",
        "date",
        "born",
        "dob",
        "iban",
        "zip",
        "postcode",
        "price",
        "total",
    ),
    *("amount", "usd", "eur", "gbp", "code", "pin", "error", "port", "bestellnummer", "rechnungsnummer", "vat", "tax"),
)
# Digits in groups, brackets around some; what phonenumbers would walk through, and no more.
_LOOSE: Final = regex.compile(
    r"(?<![\w.,/:-])(?:[+＋] ?)?(?:\(\+?\d{1,5}\)[ .\u00a0/-]{0,2})?\d(?:[ .\u00a0/()–‐‑-]{0,3}\d){4,14}"
    r"(?: ?(?:ext|Ext|EXT|x|#|доб)\.? ?\d{1,6})?(?![\w%€$£])(?![.,:]\d)"
)
_BRACKETS: Final = regex.compile(r"\(0?\d{1,4}\) ?\d{3,5}[ -]\d{3,4}")
_NOT_ONE: Final = regex.compile(  # dates, times, addresses of machines, decimals
    r"(?:19|20)\d{2}[./-]\d{1,2}[./-]\d{1,2}.*|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d{2}.*|\d{1,3}(?:\.\d{1,3}){3}"
    r"|(?:19|20)\d{2}[ –-]{1,3}(?:19|20)\d{2}|\d+\.\d+"
)
_VERSION: Final = regex.compile(r"\d{1,3}(?:\.\d{1,3}){2}")  # three numbers with dots
_CLOCK: Final = regex.compile(r"\d:\Z")
_LOOKED: Final = 20  # microseconds that a number takes
_FEWEST: Final = 6
_MOST: Final = 15


def _doubtful(text: str, start: int, end: int) -> bool:
    """Whether a number dialled somewhere looks like something else: plain digits, seconds of a time, a version."""
    value = text[start:end]
    return (
        value.isdigit()
        or _VERSION.fullmatch(value) is not None
        or _CLOCK.search(text, max(0, start - 4), start) is not None
    )


def _international(value: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(value, None))
    except phonenumbers.NumberParseException:
        return False


def rules(regions: Sequence[str]) -> list[Rule]:
    """The rules for phone numbers; those without a country code as in `regions` (ISO 3166), or called so."""
    recognizer: Any = predefined_recognizers.PhoneRecognizer()
    phones = Phones(regions)
    near = Near({"phone": _PHONE, "other": _OTHER})

    def called(text: str, start: int) -> bool:
        keys = near.keys(text, start)
        back = keys.get("phone", _NEAR + 1)
        return back <= _NEAR and back <= keys.get("other", back)

    def find(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        spans = phones.find(text, start, end)
        # Digits without a break are an order, a row, a count, unless a word says otherwise.
        spend(_LOOKED * len(spans))
        spans = [(low, high) for low, high in spans if not _doubtful(text, low, high) or called(text, low)]
        found = [(start, end, 0.0), *((low, high, float(recognizer.SCORE)) for low, high in spans)]
        if not spans and end - start >= _FEWEST:
            found += loose(text, start, end)
        return found

    def loose(text: str, start: int, end: int) -> list[tuple[int, int, float]]:
        found = []
        for match in _LOOSE.finditer(text, start, end):
            spend(_LOOKED)
            value = match.group()
            digits = sum(map(str.isdigit, value))
            if not _FEWEST <= digits <= _MOST + 6 or _NOT_ONE.fullmatch(value):
                continue
            if (value[0] in "+＋" and _international(value)) or called(text, match.start()):
                found.append((*match.span(), _CALLED))
            elif _BRACKETS.fullmatch(value):
                found.append((*match.span(), _FORMED))
        return found

    expression = Expression(island(3), regex.IGNORECASE, begun=island(1, "*"))
    return [Rule("PHONE", recognizer.name, expression, find, ContextWords(recognizer.context), yields=True)]
