"""Disguises are removed, findings are mapped back to the original text, and other texts are left alone."""

from __future__ import annotations

import base64
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from budgets import examples
from gateway.detect.core.window import StreamScanner, Window
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner
from gateway.detect.unmask import disguise
from gateway.texts import Finding

MAIL, CARD, KEY = "maria.lopez@example.com", "4111111111111111", "sk-ant-api03-a8Fj3kL9sQ2xZ7mNbV5cR1tY"
TAGS = "".join(chr(0xE0000 + ord(char)) for char in MAIL)


def between(value: str, joint: str) -> str:
    """The characters of a value with something between each two."""
    return joint.join(value)


def based(text: str) -> str:
    """In base64."""
    return base64.b64encode(text.encode()).decode()


DISGUISES = {
    "zero-width spaces": (between(CARD, "\u200b"), "CREDIT_CARD"),
    "word joiners": (between(MAIL, "\u2060"), "EMAIL"),
    "byte order marks": (between(CARD, "\ufeff"), "CREDIT_CARD"),
    "soft hyphens": (between(MAIL, "\u00ad"), "EMAIL"),
    "variation selectors": (between(CARD, "\ufe0f"), "CREDIT_CARD"),
    "tags between": (between(CARD, "\U000e0041"), "CREDIT_CARD"),
    "tags alone": (TAGS, "EMAIL"),
    "marks upon digits": (between(CARD, "\u0336"), "CREDIT_CARD"),
    "full-width digits": ("４１１１１１１１１１１１１１１１", "CREDIT_CARD"),
    "full-width address": ("ｍａｒｉａ＠ｅｘａｍｐｌｅ．ｃｏｍ", "EMAIL"),
    "mathematical digits": ("".join(chr(0x1D7CE + int(digit)) for digit in CARD), "CREDIT_CARD"),
    "mathematical letters": ("𝐦𝐚𝐫𝐢𝐚@example.com", "EMAIL"),
    "enclosed digits": ("".join(chr(0x245F + int(digit)) for digit in CARD), "CREDIT_CARD"),
    "Cyrillic letters": ("mаriа@exаmрle.com", "EMAIL"),
    "Greek letters": ("mαriα@εxample.com".replace("ε", "e"), "EMAIL"),
    "no-break spaces": ("4111\u00a01111\u00a01111\u00a01111", "CREDIT_CARD"),
    "en dashes": ("4111\u20131111\u20131111\u20131111", "CREDIT_CARD"),
    "figure dashes": ("4111\u20121111\u20121111\u20121111", "CREDIT_CARD"),
    "percent-encoding": ("maria%2Elopez%40example%2ecom", "EMAIL"),
    "percent, all of it": ("".join(f"%{ord(char):02x}" for char in CARD), "CREDIT_CARD"),
    "percent, twice": ("maria%2540example.com", "EMAIL"),
    "decimal entities": (between(MAIL, "").replace("@", "&#64;"), "EMAIL"),
    "hexadecimal entities": ("".join(f"&#x{ord(char):x};" for char in CARD), "CREDIT_CARD"),
    "named entities": ("maria&commat;example&period;com", "EMAIL"),
    "entities, twice": ("maria&amp;#64;example.com", "EMAIL"),
    "JSON escapes": ("".join(f"\\u{ord(char):04x}" for char in CARD), "CREDIT_CARD"),
    "JSON escapes, twice": ("maria\\\\u0040example.com", "EMAIL"),
    "an escaped zero-width space": ("41111111\\u200b11111111", "CREDIT_CARD"),
    "Chinese around": (f"联系{MAIL}谢谢", "EMAIL"),
    "Chinese around digits": (f"卡号{CARD}有效", "CREDIT_CARD"),
    "Japanese around": (f"メールは{MAIL}です", "EMAIL"),
    "Korean around": (f"메일은{MAIL}으로", "EMAIL"),
    "Thai around": (f"อีเมล{MAIL}ครับ", "EMAIL"),
    "base64": (based(f"card {CARD}, please"), "CREDIT_CARD"),
    "base64 for URLs": (base64.urlsafe_b64encode(f"??>>{MAIL}".encode()).decode().rstrip("="), "EMAIL"),
    "base64 of base64": (based(based(f"write to {MAIL}")), "EMAIL"),
    "base64 of entities": (based("write to maria&#64;example.com"), "EMAIL"),
    "hexadecimal": (MAIL.encode().hex(), "EMAIL"),
    "a key": (between(KEY, "\u200d"), "SECRET_ANTHROPIC_KEY"),
    "a key in base64": (based(f"key {KEY}"), "SECRET_ANTHROPIC_KEY"),
    "a key with a Cyrillic letter": (KEY.replace("a", "а", 1), "SECRET_ANTHROPIC_KEY"),
}
HARMLESS = (
    "Zero\u200bwidth in a wo\u00adrd, an emoji 👩‍👩‍👧 and 1️⃣, pages 12–30, 10\u00a0000 units, café, naïve; 5 · 10³ m².",
    "今天我们卖了1200台，平均价格19.99元。会议在2024年11月21日14:30开始，使用Python 3。版本2.0.1，编号20241121001。",
    "昨日の会議は2024年11月21日でした。参加者は12人、予算は3500000円です。",
    "Мы продали 1200 единиц за 2024 год, а iPhone'ы ещё нет; это не всё.",
    "https://example.com/a%20b/c?d=e%2Ff&amp;g=100%25&copy;#top and 50%-60% of &nbsp; &#8212; them",
    "def f(s): return s.replace('\\n', '\\t') + '\\u00e9' + '\\x41' + r'C:\\users\\x64'",
    '{"id": "550e8400-e29b-41d4-a716-446655440000", "sha256": "' + "3f2a9c71d0b84e65" * 4 + '"}',
    "data:image/png;base64,"
    + based("".join(map(chr, range(200))))
    + " "
    + based("just some words, nothing else in it"),
    "commit 3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c by internationalization/team_members-of-the-month",
    "",
)


@pytest.fixture(scope="module")
def scanner(pii: PiiScanner) -> StreamScanner:
    return StreamScanner(pii, SecretScanner(), {})


def streamed(scanner: StreamScanner, pieces: list[str], limit: int = 4096) -> tuple[str, list[Finding]]:
    """The output of a window, with findings relative to the whole text."""
    window: Window = scanner.window(limit)
    text, findings = "", list[Finding]()
    for piece in [*pieces, None]:
        segment = window.close() if piece is None else window.feed(piece)
        findings += [one._replace(start=one.start + len(text), end=one.end + len(text)) for one in segment.findings]
        text += segment.text
    return text, findings


@pytest.mark.parametrize("name", DISGUISES)
@pytest.mark.parametrize(("before", "after"), [("", ""), ("Write to ", ", please."), ("é (", ") – ok")])
def test_undone(scanner: StreamScanner, name: str, before: str, after: str) -> None:
    """The finding covers the disguise; streamed a character, or three, at a time it is the same."""
    value, entity = DISGUISES[name]
    text = before + value + after
    [finding] = scanner.scan(text)
    assert finding.entity == entity
    found = text[finding.start : finding.end]
    assert found in value
    assert len(found) >= min(12, len(value))
    for size in (1, 3):
        assert streamed(scanner, [text[at : at + size] for at in range(0, len(text), size)]) == (text, [finding])


@pytest.mark.parametrize("mail", ["ann@exampl.com", "anna@exampl.com", "annas@exampl.com"])
@pytest.mark.parametrize("padded", [True, False])
def test_base64_is_decoded_from_twenty_characters_on(scanner: StreamScanner, mail: str, padded: bool) -> None:
    """Without the padding: 15 letters and more; what is shorter is mostly a word."""
    text = based(mail) if padded else based(mail).rstrip("=")
    found = [one.entity for one in scanner.scan(f"see {text} there")]
    assert found == (["EMAIL"] if len(text.rstrip("=")) >= 20 else [])


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless(scanner: StreamScanner, text: str) -> None:
    """Typography, code, digests, images and scripts without spaces are left alone."""
    assert scanner.scan(text) == []
    assert streamed(scanner, list(text)) == (text, [])


SIGNS = list("a1 @.%&#;\\ux64=20-+/а中で。\u200b\ufe0f\u00a0\u2013\u0336①４ａ\U000e0041é👩")
MIXED = st.lists(
    st.one_of(
        st.sampled_from([value for value, _ in DISGUISES.values()]),
        st.sampled_from(HARMLESS),
        st.text(st.sampled_from(SIGNS), max_size=8),
        st.sampled_from([MAIL, CARD, " ", ", ", "\n", "passport C12345678 "]),
    ),
    max_size=5,
).map("".join)


@pytest.mark.slow
@settings(max_examples=examples(83, nightly=2500), deadline=None)
@given(st.data())
def test_any_cut_gives_the_findings_of_the_whole(scanner: StreamScanner, data: st.DataObject) -> None:
    """With any cut, a text with disguises gives the findings of a scan of the whole."""
    text = data.draw(MIXED)
    places = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=12)))
    pieces = [text[low:high] for low, high in pairwise([0, *places, len(text)])]
    assert streamed(scanner, pieces) == (text, scanner.scan(text))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(MIXED)
def test_character_by_character(scanner: StreamScanner, text: str) -> None:
    """The same for single characters."""
    assert streamed(scanner, list(text)) == (text, scanner.scan(text))


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(MIXED, st.integers(8, 64))
def test_little_is_held(scanner: StreamScanner, text: str, limit: int) -> None:
    """With a limit that disguises exceed, the text still comes out whole and no more than the limit is held."""
    window, out = scanner.window(limit), 0
    for fed, char in enumerate(text, 1):
        out += len(window.feed(char).text)
        assert fed - out <= limit
    assert out + len(window.close().text) == len(text)


@settings(max_examples=examples(100, nightly=3000), deadline=None)
@given(st.text(st.sampled_from(SIGNS), max_size=40))
def test_places(text: str) -> None:
    """Every character of the plain text comes from one range of the text, in order; only tokens changed."""
    plain = disguise.undo(text, disguise.kinds(text))
    if plain is None:
        return
    places = [plain.place(at, at + 1) for at in range(len(plain.text))]
    assert all(low[1] <= high[0] for low, high in pairwise(places))
    inside = {at for low, high, _ in plain.tokens for at in range(low, high)}
    kept = [text[low] for low, high in places if low not in inside]
    assert "".join(kept) == "".join(char for at, char in enumerate(text) if at not in inside)


def test_large_stretches_are_decoded_up_to_a_limit(scanner: StreamScanner) -> None:
    """An encoded text of a megabyte is looked into as far as the limit; a picture is not decoded at all."""
    text = based(f"{MAIL} " + "word " * 200_000 + MAIL)
    assert [finding.entity for finding in scanner.scan(text)] == ["EMAIL"]
    picture = base64.b64encode(bytes(range(256)) * 90).decode()
    assert not list(disguise.blobs(picture, disguise.kinds(picture)))


@pytest.mark.parametrize("unit", ["\\", "\\\\u", "%", "%25", "&", "&amp;", "&#"])
def test_escapes_that_never_end_are_read_in_time(scanner: StreamScanner, unit: str) -> None:
    """Repeated beginnings of escapes cost no more than as many letters; a value behind them is found."""
    found = scanner.scan(unit * 200_000 + f" {MAIL}")
    assert [one.entity for one in found] == ["EMAIL"]


@pytest.mark.parametrize("code", [0x00, 0x01, 0x08, 0x0B, 0x0E, 0x1F, 0x7F])
@pytest.mark.parametrize("form", ["%{:02x}", "%25{:02X}", "\\x{:02x}", "\\u{:04x}", "\\u{{{:02x}}}"])
@pytest.mark.parametrize("text", ["card 4539{0}1488{0}0343{0}6467 x", "mail ann{0}@exam{0}ple.org x"])
def test_escaped_control_characters_hide_nothing(pii: PiiScanner, text: str, form: str, code: int) -> None:
    """With any escapes: whoever decodes them sees the value. Tabs and line ends separate words."""
    written = text.format(form.format(code))
    ((start, end, *_),) = pii.scan(written)
    assert written[start:end] == written[5:-2]


@given(st.text(min_size=1))
def test_no_text_in_base64_begins_like_a_name(text: str) -> None:
    """What is not decoded, by its first character, is no text in any alphabet of base64."""
    data = text.encode(errors="ignore")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        assert encode(data).decode()[:1] not in disguise._NO_TEXT
