"""The rules for personal data: which there are, put together from the modules that know one kind each.

Presidio's recognizers give the verdict wherever it has one, less the entities in `LEFT_OUT`. Where its patterns miss
what people write, or take what they do not, the rules are of this house: `cards`, `accounts`, `addresses`, `births`,
`ip_addresses`, `mac_addresses`, `telephones`, `wallets`. When a national number may speak is in `identities`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from gateway.detect.core.rules import Family, Rule
from gateway.detect.personal import (
    accounts,
    addresses,
    births,
    broken,
    cards,
    emails,
    ip_addresses,
    mac_addresses,
    national,
    telephones,
    wallets,
)

LEFT_OUT: Final = {
    "URL": "an address of a web page is not personal data",
    "DATE_TIME": "a date by itself is not personal data; a date of birth is, as DATE_OF_BIRTH",
    "UUID": "tools, traces and tool calls go by them, and nothing about them is personal",
    "DE_PLZ": "five digits beside a word like Ort: towns with their postcode belong to STREET_ADDRESS",
}


def pii_rules(regions: Sequence[str], countries: Collection[str] | None = None) -> list[Rule | Family]:
    """The rules for personal data.

    Phone numbers as in `regions` (ISO 3166), or anywhere with a country code; national numbers of `countries` (None:
    of all that there are).
    """
    numbers, phones = national.families(countries), telephones.rules(regions)
    return [
        cards.rule(),
        *emails.email_rules(),
        emails.credentials_rule(),
        *wallets.rules(),
        accounts.rule(),
        *ip_addresses.rules(),
        *mac_addresses.rules(),
        births.rule(),
        *addresses.rules(),
        *numbers,
        *phones,
        broken.family(phones, [one for one in numbers if one.expression is national.DIGITS]),
    ]
