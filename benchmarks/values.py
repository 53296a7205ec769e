"""True and false values of national numbers, for the sentences of `benchmarks.national`.

A true value comes from Faker if Faker generates such numbers, or from the check digits as their authorities publish
them (Luhn, Verhoeff, weighted sums, ISO 7064); otherwise values of the written form are drawn until one passes the
checksum of Presidio's recognizer. False values are other numbers in texts: orders, times, digests, accounts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as sre_parser  # type: ignore[attr-defined]
from typing import Any, Final

import regex
from faker import Faker

from gateway.detect.personal.identities import IDENTITIES
from gateway.detect.personal.number_kind import Identity

_TRIES: Final = 200_000
_CAPITALS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def digits(count: int, first: str = "0123456789") -> str:
    """A number of random digits."""
    return random.choice(first) + "".join(random.choices("0123456789", k=count - 1))


def luhn(stem: str) -> str:
    """The stem with its Luhn check digit, as in payment cards and some national numbers."""
    doubled = [int(d) * 2 if at % 2 == 0 else int(d) for at, d in enumerate(reversed(stem))]
    return stem + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def weighted(value: str, weights: Sequence[int]) -> int:
    """The weighted sum of the digits."""
    return sum(int(d) * w for d, w in zip(value, weights, strict=True))


def _fits(make: Callable[[], str], holds: Callable[[str], bool]) -> str:
    return next(value for value in (make() for _ in range(_TRIES)) if holds(value))


def _iso7064(stem: str) -> str:
    """MOD 11,10."""
    product = 10
    for digit in stem:
        total = (int(digit) + product) % 10 or 10
        product = total * 2 % 11
    return stem + str((11 - product) % 10)


def _tax_id() -> str:
    """Ten digits of which exactly one occurs twice, and a check digit."""
    while True:
        kept = random.sample("0123456789", 9)
        kept.insert(random.randrange(10), random.choice(kept))
        if kept[0] != "0":
            return _iso7064("".join(kept))


def _verhoeff(stem: str) -> str:
    """Aadhaar's check digit: the dihedral group of order ten, permuted by place."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 + (5 if b >= 5 else 0)
        return (a - b) % 5 + (0 if b >= 5 else 5)

    step = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    total = 0
    for at, char in enumerate(reversed(stem), 1):
        digit = int(char)
        for _ in range(at % 8):
            digit = step[digit]
        total = times(total, digit)
    return stem + str(next(d for d in range(10) if times(total, d) == 0))


def _turkish() -> str:
    stem = [int(d) for d in digits(9, "123456789")]
    tenth = (7 * sum(stem[::2]) - sum(stem[1::2])) % 10
    return "".join(map(str, [*stem, tenth, (sum(stem) + tenth) % 10]))


def _grouped(value: str, *sizes: int, by: str) -> str:
    parts, at = [], 0
    for size in sizes:
        parts.append(value[at : at + size])
        at += size
    return by.join(parts)


def _faker(locale: str, name: str) -> Callable[[], str]:
    fake = Faker(locale)
    return lambda: str(getattr(fake, name)())


def _thai() -> str:
    stem = digits(12, "12345678")
    value = stem + str((11 - weighted(stem, range(13, 1, -1)) % 11) % 10)
    return _grouped(value, 1, 4, 5, 2, 1, by="-")


def _korean_business() -> str:
    stem = digits(9, "123456789")
    total = weighted(stem, (1, 3, 7, 1, 3, 7, 1, 3, 5)) + int(stem[8]) * 5 // 10
    return _grouped(stem + str(-total % 10), 3, 2, 5, by="-")


def _medicare() -> str:
    stem = digits(8, "23456")
    return stem + str(weighted(stem, (1, 3, 7, 9, 1, 3, 7, 9)) % 10) + digits(1, "123456789")


def _uruguayan() -> str:
    while True:
        stem = f"{random.randint(1, 21):02}{digits(6, '123456789')}001"
        check = -weighted(stem, (4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2)) % 11
        if check < 10:
            return stem + str(check)


def _curp() -> str:
    signs = "0123456789ABCDEFGHIJKLMNÑOPQRSTUVWXYZ"
    name = random.choice("BCDFG") + random.choice("EIOU") + "".join(random.choices("LMNRST", k=2))
    state = random.choice(("AS", "BC", "CS", "CM", "DF", "JC", "NL", "OC", "VZ", "YN"))
    stem = f"{name}{_day()}{random.choice('HM')}{state}{''.join(random.choices('BCDFGLMNRST', k=3))}0"
    return stem + str(-sum(signs.index(sign) * (18 - at) for at, sign in enumerate(stem)) % 10)


def _day() -> str:
    return f"{random.randint(0, 99):02}{random.randint(1, 12):02}{random.randint(1, 28):02}"


def _belgian() -> str:
    """A day of birth, a number of that day, and 97 less the rest; the number of the century counts from 2000 on."""
    born = random.choice(("", "2"))
    year = f"{random.randint(0, 25) if born else random.randint(30, 99):02}"
    stem = f"{year}{random.randint(1, 12):02}{random.randint(1, 28):02}{random.randint(1, 997):03}"
    value = f"{stem}{97 - int(born + stem) % 97:02}"
    way = random.choice(("{}", "{0[0]}{0[1]}.{0[2]}{0[3]}.{0[4]}{0[5]}-{0[6]}{0[7]}{0[8]}.{0[9]}{0[10]}"))
    return way.format(value)


MADE: Final[dict[str, Callable[[], str]]] = {
    "AU_ABN": lambda: _fits(
        lambda: digits(11, "123456789"),
        lambda v: (weighted(v, (10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19)) - 10) % 89 == 0,
    ),
    "AU_ACN": lambda: (s := digits(8)) + str(-weighted(s, range(8, 0, -1)) % 10),
    "AU_MEDICARE": _medicare,
    "AU_TFN": lambda: _fits(lambda: digits(9), lambda v: weighted(v, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0),
    "BE_NATIONAL_NUMBER": _belgian,
    "CA_SIN": lambda: _grouped(luhn(digits(8, "1234567")), 3, 3, 3, by=random.choice(("", " ", "-"))),
    "FI_PERSONAL_IDENTITY_CODE": _faker("fi_FI", "ssn"),
    "FR_SIRET": lambda: luhn(luhn(digits(8, "123456789")) + digits(4)),
    "DE_SOCIAL_SECURITY": _faker("de_DE", "rvnr"),
    "DE_TAX_ID": _tax_id,
    "DE_VAT_ID": lambda: "DE" + _iso7064(digits(8, "123456789")),
    "IN_AADHAAR": lambda: _grouped(_verhoeff(digits(11, "23456789")), 4, 4, 4, by=random.choice((" ", ""))),
    "IT_FISCAL_CODE": _faker("it_IT", "ssn"),
    "IT_VAT_CODE": lambda: luhn(digits(7, "01234567") + f"{random.randint(1, 100):03}"),
    "KR_BRN": _korean_business,
    "KR_RRN": _faker("ko_KR", "ssn"),
    "MX_CURP": _curp,
    "PL_PESEL": _faker("pl_PL", "pesel"),
    "ES_NIE": _faker("es_ES", "nie"),
    "ES_NIF": _faker("es_ES", "nif"),
    "SE_PERSONNUMMER": _faker("sv_SE", "ssn"),
    "SE_ORGANISATIONSNUMMER": _faker("sv_SE", "org_id"),
    "TH_TNIN": _thai,
    "TR_NATIONAL_ID": _turkish,
    "PH_UMID": _faker("en_PH", "umid"),
    "UK_NHS": lambda: _grouped(
        _fits(lambda: digits(10, "4679"), lambda v: weighted(v, range(10, 0, -1)) % 11 == 0), 3, 3, 4, by=" "
    ),
    "ABA_ROUTING_NUMBER": _faker("en_US", "aba"),
    "US_NPI": lambda: luhn("80840" + digits(9, "12"))[5:],
    "US_SSN": _faker("en_US", "ssn"),
    "US_ITIN": _faker("en_US", "itin"),
    "US_PROVIDER_TAX_ID": _faker("en_US", "ein"),
    "UY_RUT": _uruguayan,
    "ZA_ID_NUMBER": lambda: luhn(f"{_day()}{digits(4)}{random.choice('01')}8"),
}
"""Entity -> a generator that is independent of the recognizer under test."""


def true_values(identity: Identity) -> Iterator[str]:
    """An endless series of values in one form of an identity."""
    made = MADE.get(identity.entity)
    forms = forms_of(identity)
    patterns = [regex.compile(form, regex.IGNORECASE) for form in forms]
    judge = identity.judge()
    while True:
        if made is not None:
            value = made()
            if identity.alone and not any(p.fullmatch(value) for p in patterns):
                continue  # a value of another form
            yield value
        else:
            value = shaped(random.choice(forms))
            if judge.validate_result(value) is not False and not judge.invalidate_result(value):
                yield value


def forms_of(identity: Identity) -> list[str]:
    """The patterns of one form of an identity."""
    return list(identity.patterns) or [one.regex for one in identity.judge().patterns]


@cache
def _parsed(pattern: str) -> tuple[Any, Any]:
    """The tree and the compiled form of a pattern, of which many values are drawn until one has its check digits."""
    return sre_parser.parse(pattern.replace("(?i)", "")), regex.compile(pattern)


def shaped(pattern: str) -> str:
    """A random text of a pattern's form, without its lookarounds."""
    tree, compiled = _parsed(pattern)
    while True:
        groups: dict[int, str] = {}
        value = "".join(_node(node, groups) for node in tree)
        if compiled.fullmatch(value):
            return value


def _node(node: tuple[Any, Any], groups: dict[int, str]) -> str:
    kind, what = node
    if kind is sre.LITERAL:
        return chr(what)
    if kind is sre.IN:
        return random.choice(_members(what))
    if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT):
        low, high, inner = what
        return "".join(_node(one, groups) for _ in range(random.randint(low, min(high, low + 12))) for one in inner)
    if kind is sre.BRANCH:
        return "".join(_node(one, groups) for one in random.choice(what[1]))
    if kind is sre.SUBPATTERN:
        groups[what[0]] = value = "".join(_node(one, groups) for one in what[3])
        return value
    if kind is sre.GROUPREF:
        return groups[what]
    return ""  # an assertion


def _members(items: Sequence[tuple[Any, Any]]) -> str:
    found = ""
    for kind, what in items:
        if kind is sre.LITERAL:
            found += chr(what)
        elif kind is sre.RANGE:
            found += "".join(map(chr, range(what[0], what[1] + 1)))
        elif kind is sre.CATEGORY:
            found += "0123456789" if what is sre.CATEGORY_DIGIT else " "
    return found


def false_values(fake: Faker, like: str) -> Iterator[str]:
    """An endless series of other numbers in texts; one in seven has as many digits as `like`."""
    length = max(6, sum(map(str.isdigit, like)))
    makers: tuple[Callable[[], str], ...] = (
        lambda: digits(length, "123456789"),
        lambda: f"ORD-{fake.random_number(8, True)}",
        lambda: str(int(fake.date_time().timestamp() * random.choice((1, 1000)))),
        lambda: fake.iso8601(),
        lambda: fake.md5()[: random.choice((7, 12, 32))],
        lambda: fake.iban()[2:],
        lambda: fake.uuid4(),
    )
    while True:
        for make in makers:
            yield make()


def same_shape(identity: Identity) -> str:
    """A random text of the form, which is a true number only by chance."""
    return shaped(random.choice(forms_of(identity)))


def entities() -> dict[str, list[Identity]]:
    """The forms of each entity."""
    found: dict[str, list[Identity]] = {}
    for identity in IDENTITIES:
        found.setdefault(identity.entity, []).append(identity)
    return found
