"""Distinguishes terms of a dialect and counts from values that may be personal data.

A string under a structural key is a term only if it has the form of a term. A number is a value if its digits are a
card number, or if its key names a kind of number (`ssn`, `account_number`); counters, times and ids are no values.
"""

from __future__ import annotations

import re
from typing import Final

# Terms are short and plain. Not: seven digits in a row, an address of four numbers, the form of an IBAN or of a key.
_TERM: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,127}")
_LONGEST: Final = 128
_DATE: Final = re.compile(r"(?<![0-9])(?:19|20)[0-9]{2}([-_.]?)(?:0[1-9]|1[0-2])\1(?:0[1-9]|[12][0-9]|3[01])(?![0-9])")
_VALUE: Final = re.compile(
    r"[0-9](?:[-_.:/]?[0-9]){6}|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]|\b[A-Z]{2}[0-9]{2}[A-Z0-9]{11}"
    r"|(?:\b|_)(?:sk-|pk-|gh[oprsu]_|github_pat_|glpat-|xox[a-z]-|AKIA|ASIA|AIza|eyJ|hf_|npm_|pypi-|mg-|SG\.)"
)
# At least four of its digits are letters, as of all but one of a thousand: else the digits may be a number.
_UUID: Final = re.compile(
    r"(?<![0-9A-Za-z])(?=[0-9A-Fa-f-]{36}(?![0-9A-Za-z-]))(?=(?:[0-9-]*+[A-Fa-f]){4})"
    r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[1-8][0-9A-Fa-f]{3}-[89ABab][0-9A-Fa-f]{3}-[0-9A-Fa-f]{12}"
)


def is_term(value: str) -> bool:
    """Whether a string under a structural key has the form of a term. A UUID is one, whatever its digits are."""
    if _is_plain(value):
        return True
    return "-" in value and len(value) <= _LONGEST and _is_plain(_UUID.sub("u", value))


def _is_plain(value: str) -> bool:
    if _TERM.fullmatch(value) is None:
        return False
    return _VALUE.search(value) is None or _VALUE.search(_DATE.sub("-", value)) is None


KINDS: Final = {
    "ssn": 9, "social": 9, "itin": 9, "sin": 9, "aba": 9, "routing": 9, "bsn": 9, "nhs": 10, "cpf": 11, "pesel": 11,
    "tax": 0, "tin": 0, "ein": 0, "vat": 0, "nino": 0, "passport": 0, "licence": 0, "license": 0, "account": 0,
    "acct": 0, "iban": 0, "bank": 0, "card": 0, "cc": 0, "pan": 0, "credit": 0, "debit": 0, "phone": 0, "tel": 0,
    "telephone": 0, "telefon": 0, "mobile": 0, "cell": 0, "fax": 0, "msisdn": 0, "whatsapp": 0, "handy": 0, "cnpj": 0,
    "dni": 0, "nie": 0, "nif": 0, "aadhaar": 0, "aadhar": 0, "npi": 0, "abn": 0, "acn": 0, "tfn": 0, "medicare": 0,
    "steuer": 0, "steuernummer": 0, "steuerid": 0, "identity": 0, "national": 0, "personal": 0, "personnummer": 0,
    "fiscal": 0, "codice": 0, "insurance": 0, "member": 0, "patient": 0, "dob": 0, "birth": 0, "ahv": 0, "avs": 0,
    "curp": 0, "rfc": 0, "rut": 0, "cuit": 0, "nir": 0, "siren": 0, "siret": 0, "inn": 0, "snils": 0, "nric": 0,
}  # fmt: skip
"""Names of personal numbers in keys (see `leads`), and their minimum number of digits: JSON drops leading zeros."""
LONG: Final = 1_000_000  # a smaller number has too few digits to be a value
_MOST: Final = 7 * 10**18


def _least(lead: str) -> int:
    """The minimum digits of the number that words name."""
    for word in lead.lower().split():
        found = KINDS.get(word, KINDS.get(word.removesuffix("s")))
        if found is not None:
            return found
    return 0


def digits(lead: str, value: float) -> str:
    """A number as text for scanners; "" for a number that is no value. `lead`: words that name the number, if any."""
    value = abs(value)
    if value >= _MOST or value != value // 1:
        return ""
    said = str(int(value))
    if lead:
        return said.zfill(_least(lead))
    return said if _is_card(said) else ""


def _is_card(said: str) -> bool:
    """13 to 19 digits that begin with 2 to 6, with a valid check digit (Luhn)."""
    if not 13 <= len(said) <= 19 or said[0] not in "23456":
        return False
    doubled = sum(sum(divmod(2 * int(digit), 10)) for digit in said[-2::-2])
    return (doubled + sum(map(int, said[-1::-2]))) % 10 == 0


def grouped(values: list[object]) -> str:
    """The digits of a card whose groups are the numbers of a list; "" if there is none."""
    if not 3 <= len(values) <= 5:
        return ""
    groups: list[str] = []
    for at, value in enumerate(values):
        if type(value) is not int or not 0 <= value < 1_000_000:
            return ""
        groups.append(str(value) if at == 0 or len(values) == 3 else str(value).zfill(min(4, 19)))
    if len(groups) == 3:
        groups[1:] = [groups[1].zfill(6), groups[2].zfill(5)]
    return " ".join(groups) if _is_card("".join(groups)) else ""
