"""The list of rules for personal data, collected from the modules for each kind.

Presidio's recognizers decide, except for the entities in `LEFT_OUT`. Where its patterns miss usual spellings or have
false positives, the rules are our own: `cards`, `accounts`, `addresses`, `births`, `ip_addresses`, `mac_addresses`,
`telephones`, `wallets`. Where national numbers count is described in `identities`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
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


def pii_rules(regions: Sequence[str], countries: Collection[str] | None = None) -> Sequence[Rule | Family]:
    """The rules for personal data.

    Phone numbers have a form of `regions` (ISO 3166) or a country code; national numbers are those of `countries`
    (None: all that are supported).
    """
    return _rules(tuple(regions), None if countries is None else frozenset(countries))


@lru_cache(4)  # a reload of the configuration mostly has the same
def _rules(regions: tuple[str, ...], countries: frozenset[str] | None) -> Sequence[Rule | Family]:
    numbers, phones = national.families(countries), telephones.rules(regions)
    return (
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
    )
