"""Sample texts for scanners: values of many kinds, complete and damaged, with noise close to them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st

VALUES = (
    "maria.lopez@example.com",
    "jörg@bücher.de",
    "a.b+c@sub.example.co.uk",
    "x@y.zz",
    "4111 1111 1111 1111",
    "4111-1111-1111-1111",
    "378282246310005",
    "5105105105105100",
    "4111111111111112",
    "1234567890123",
    "DE89 3704 0044 0532 0130 00",
    "GB26YVOK09234647792923",
    "de89370400440532013000",
    "212-555-1234",
    "(212) 555-1234",
    "+49 30 901820",
    "+1 (650) 253-0000 ext. 1234",
    "020 7946 0958",
    "06 12 34 56 78",
    "030/901820",
    "460-89-9847",
    "460.89.9847",
    "9999-12345",
    "912-70-1234",
    "123456789",
    "12345678",
    "943 476 5919",
    "192.168.1.77",
    "10.0.0.1/24",
    "2001:db8::8a2e:370:7334",
    "fe80::1%eth0",
    "::ffff:10.1.2.3",
    "::",
    "00:1A:2B:3C:4D:5E",
    "0012.3456.789A",
    "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
    "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq",
    "BB1388568",
    "A1234567",
    "C12345678",
    "2024-11-21 08:15",
    "3/10/2011",
    "1200.50",
    "٤١١١١١١١١١١١١١١١",
    "4111 1111 1111 1111",
    "212–555–1234",
    "＋４９ ３０ ９０１８２０",
)
WORDS = (
    *("card", "credit", "my passport is", "bank account", "ssn", "phone", "call", "email", "ip", "nhs", "wallet"),
    *("driver license", "the", "of", "is", "not", "we sold", "units", "ext.", "x", "IBAN", "e-mail:", "no"),
)
NOISE = st.text(st.sampled_from(list(" \n\t.,:;-_/()+#@%$'\"<>=aZ09é中ß\u0301ſ\u00a0–x٣")), max_size=6)
DIGITS = st.text(st.sampled_from(list("0123456789 -.")), max_size=18)


def _damaged(value: str, at: int, char: str) -> str:
    at %= len(value)
    return value[:at] + char + value[at + 1 :]


PIECES = st.one_of(
    st.sampled_from(VALUES),
    st.sampled_from(WORDS),
    NOISE,
    DIGITS,
    st.builds(_damaged, st.sampled_from(VALUES), st.integers(0, 60), st.sampled_from(list("0 -aé."))),
)
JOINTS = st.sampled_from(("", " ", " ", " ", "\n", ", ", ": ", "-", "_"))


@st.composite
def texts(draw: st.DrawFn, pieces: st.SearchStrategy[str] = PIECES, most: int = 9) -> str:
    """Pieces, joined by common separators and sometimes directly."""
    return "".join(draw(pieces) + draw(JOINTS) for _ in range(draw(st.integers(0, most))))


@st.composite
def cuts(draw: st.DrawFn, text: str) -> list[str]:
    """The text in pieces, cut anywhere."""
    places = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)))
    edges = [0, *places, len(text)]
    return [text[low:high] for low, high in pairwise(edges)]


REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "CA", "AU", "BR", "MX", "NL", "SE", "CH", "AT", "PL", "JP")
