"""Recall of phone numbers in many regions, formats and languages: a section of `benchmarks.detection`.

Numbers are made from the examples of libphonenumber's metadata (the last digits are drawn until the number is valid),
in the format of their region or with other separators, and put into sentences. There are two halves of sentences: rules
are tuned on one half, and the results are those of the other.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from gateway.config.sections import Pii
from gateway.detect.personal.scanner import PiiScanner

ROOT: Final = Path(__file__).parents[1]
REGIONS: Final = [
    "US",
    "GB",
    "DE",
    "FR",
    "ES",
    "IT",
    "IN",
    "CA",
    "AU",
    "BR",
    "MX",
    "NL",
    "SE",
    "CH",
    "AT",
    "PL",
    "PT",
    "DK",
    "NO",
    "FI",
    "BE",
    "IE",
    "CZ",
    "SK",
    "HU",
    "RO",
    "GR",
    "TR",
    "RU",
    "UA",
    "JP",
    "KR",
    "CN",
    "TW",
    "HK",
    "SG",
    "MY",
    "ID",
    "TH",
    "VN",
    "PH",
    "ZA",
    "NG",
    "KE",
    "EG",
    "SA",
    "AE",
    "IL",
    "AR",
    "CL",
    "CO",
    "PE",
    "NZ",
    "BG",
    "HR",
    "SI",
    "EE",
    "LV",
    "LT",
    "IS",
    "LU",
]
_TYPES: Final = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE, PhoneNumberType.TOLL_FREE)
NAMED: Final[dict[str, tuple[str, ...]]] = {
    "tune": (
        "Phone: {}", "Tel. {}", "My mobile is {}.", "Call me on {} tonight", "Fax {}", "phone={}", '{{"phone": "{}"}}',
        "You can reach me at {}", "Telefon: {}", "Meine Handynummer lautet {}", "Tél. : {}", "appelez le {} demain",
        "Mi teléfono es {}", "llámame al {}", "Il mio cellulare è {}", "Bel mij op {}", "Ring mig på {}",
        "Zadzwoń pod {}", "Telefonszám: {}", "Volejte {}", "Telefone: {}", "Puhelin {}", "телефон {}", "電話：{}",
        "Name: Ann\nMobile:\n{}\nCity: X", "WhatsApp {}", "my number is {}", "Contact: {}", "+ please text {} asap",
        "home phone {}", "| Tel | {} |", "<td>Phone</td><td>{}</td>",
    ),
    "held": (
        "Telephone {}", "Mob: {}", "cell {}", "Give us a call at {} if you have questions", "Fax: {}", "tel:{}",
        "'mobile': '{}',", "She can be reached on {}", "Tel.-Nr. {}", "Rufen Sie mich unter {} an", "Handy {}",
        "Téléphone : {}", "mon numéro de portable est le {}", "Móvil: {}", "Llame al {} de 9 a 5", "Telefono {}",
        "chiamami al {}", "Telefoonnummer {}", "Mobilnummer: {}", "Tlf. {}", "numer telefonu {}", "tel. {}",
        "Hívjon a {} számon", "Telefonní číslo: {}", "Telemóvel {}", "Soita numeroon {}", "Звоните по номеру {}",
        "手机号 {}", "전화: {}", "Phone number: {}", "my cell is {}", "customer_phone,{}", "Dial {} now", "Cep: {}",
        "SMS to {}", "Phone\t{}", "Emergency contact {}", "**Phone**: {}", "The client left {} as a callback number",
    ),
}  # fmt: skip
ALONE: Final[dict[str, tuple[str, ...]]] = {
    "tune": ("Anna, {}, Berlin", "- {}", "Try {} or come by."),
    "held": ("Bob Smith {}", "{}", "bob@example.com | {}", "Ask at {}, please"),
}


def number(region: str, chance: random.Random) -> phonenumbers.PhoneNumber:
    """A valid number of a region."""
    while True:
        example = phonenumbers.example_number_for_type(region, chance.choice(_TYPES))
        if example is None:
            continue
        digits = phonenumbers.national_significant_number(example)
        for _ in range(50):
            keep = max(2, len(digits) - 6)
            drawn = digits[:keep] + "".join(chance.choices("0123456789", k=len(digits) - keep))
            try:
                made = phonenumbers.parse(f"+{example.country_code}{drawn}")
            except phonenumbers.NumberParseException:
                continue
            if phonenumbers.is_valid_number_for_region(made, region):
                return made
        return example


def _national(made: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(made, PhoneNumberFormat.NATIONAL)


def _international(made: phonenumbers.PhoneNumber) -> str:
    return phonenumbers.format_number(made, PhoneNumberFormat.INTERNATIONAL)


WRITINGS: Final[dict[str, Callable[[phonenumbers.PhoneNumber, random.Random], str]]] = {
    "international": lambda made, _: _international(made),
    "E.164": lambda made, _: phonenumbers.format_number(made, PhoneNumberFormat.E164),
    "00 and separators": lambda made, chance: (
        _international(made).replace("+", "00").replace(" ", chance.choice(" -."))
    ),
    "abroad, separators": lambda made, chance: _international(made).replace(" ", chance.choice("-./")),
    "national": lambda made, _: _national(made),
    "national, separators": lambda made, chance: _national(made).replace(" ", chance.choice("-./")),
    "national, plain": lambda made, _: "".join(filter(str.isdigit, _national(made))),
    "extension": lambda made, chance: (
        f"{_national(made)}{chance.choice((' x', ' ext. ', ' ext ', 'x'))}{chance.randrange(10, 9999)}"
    ),
}  # fmt: skip


def found(scanner: PiiScanner, text: str, value: str) -> bool:
    """Whether nine tenths of the value are in findings."""
    at = text.index(value)
    covered = {
        place for one in scanner.scan(text) for place in range(max(one.start, at), min(one.end, at + len(value)))
    }
    return 10 * len(covered) >= 9 * len(value)


def recall(
    scanner: PiiScanner, templates: Sequence[str], size: int, seed: int, regions: Sequence[str] = REGIONS
) -> dict[str, tuple[float, list[str]]]:
    """For each format: the share found, and the texts in which the number was not found."""
    rates = {}
    for writing, write in WRITINGS.items():
        chance = random.Random(f"{seed}{writing}")
        missed = []
        for at in range(size):
            value = write(number(regions[at % len(regions)], chance), chance)
            text = chance.choice(templates).format(value)
            if not found(scanner, text, value):
                missed.append(f"{regions[at % len(regions)]} {text!r}")
        rates[writing] = (1 - len(missed) / size, missed)
    return rates


def section(size: int, seed: int) -> list[str]:
    """The table as lines of Markdown, for sentences on which no rule was tuned."""
    config = Pii()
    scanner = PiiScanner(config.regions, config.score, ROOT / "var")
    named = recall(scanner, NAMED["held"], 4 * size, seed)
    alone = recall(scanner, ALONE["held"], 4 * size, seed, config.regions)
    lines = [f"## Phone numbers of {len(REGIONS)} regions: recall by writing", ""]
    lines += ["| writing | beside a word | without, configured regions |", "|---|---|---|"]
    lines += [f"| {writing} | {named[writing][0]:.2f} | {alone[writing][0]:.2f} |" for writing in WRITINGS]
    every = sum(rate for rate, _ in named.values()) / len(named)
    return [*lines, "", f"Beside a word, all writings: {every:.3f}.", ""]


if __name__ == "__main__":
    part, size = (*sys.argv[1:], "240")[:2] if sys.argv[1:] else ("tune", "240")
    config_ = Pii()
    scanner_ = PiiScanner(config_.regions, config_.score, ROOT / "var")
    for title, templates, regions in (("named", NAMED, REGIONS), ("alone", ALONE, config_.regions)):
        for writing, (rate, missed) in recall(scanner_, templates[part], int(size), 20, regions).items():
            print(f"{title:6} {writing:22} {rate:.3f}", *missed[:9], sep="\n    ")
