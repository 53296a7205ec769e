"""The entries of the lists of national numbers, and the English words that name such numbers."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from gateway.detect.personal.presidio import recognizer
from gateway.detect.personal.sums import Sum

ID: Final = (
    *(
        "national id",
        "national identity",
        "national identification",
        "id number",
        "id card",
        "id no",
        "identity number",
    ),
    *("identity card", "identity code", "identification number", "personal id", "personal number", "citizen id"),
    *("government id", "identifier number", "national number", "personal identity"),
)
TAX: Final = (
    "tax id",
    "tax number",
    "tax no",
    "tax identification",
    "taxpayer",
    "taxpayer id",
    "tin",
    "tax file",
    "tax code",
)
VAT: Final = ("vat", "vat number", "vat id", "vat no", "tax invoice", "tax id", "value added tax")
PASS: Final = ("passport", "passport number", "passport no", "travel document")
DRIVER: Final = (
    *("driver license", "driver's license", "drivers license", "driving license", "driving licence", "driver licence"),
    *("driver's licence", "drivers licence", "licence number", "license number", "license no", "driving permit"),
    *("driver's permit", "dl number", "dl no", "dl", "driver id"),
)
PLATE: Final = (
    *("plate", "number plate", "license plate", "licence plate", "plate number", "registration", "vehicle", "car"),
    *("vehicle registration", "registration number", "reg", "vrn", "van", "truck", "motorbike"),
)
COMPANY: Final = ("company number", "business number", "company registration", "registration number", "company")
HEALTH: Final = ("health insurance", "insurance number", "medicare", "health card")
DOCTOR: Final = ("physician", "doctor number", "prescriber", "practice number")


class Identity(NamedTuple):
    """One kind of number. `recognizer`: Presidio's class, or an argument of `sums.Sum`. `patterns` replace its own."""

    entity: str
    country: str  # ISO 3166
    recognizer: str
    words: tuple[str, ...]
    alone: bool = False
    patterns: tuple[str, ...] = ()  # each either of digits or with letters, not both
    checked: bool = True  # whether Presidio's checksum is used
    capitals: bool = False  # in lower case these are ordinary words

    def judge(self) -> Any:
        """The recognizer that judges values, with the interface of Presidio's recognizers."""
        if "." in self.recognizer:
            return Sum(self.recognizer)
        return recognizer(self.recognizer)
