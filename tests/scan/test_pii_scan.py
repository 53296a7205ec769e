"""Personal data: the findings of Presidio, with Hyperscan and without, and what is deliberately different."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from budgets import examples
from gateway.detect.core import index
from gateway.detect.core.context import REACH
from gateway.detect.core.rules import Rule, RuleSet
from gateway.detect.personal import ip_addresses, mac_addresses, phone_forms
from gateway.detect.personal.cards import is_card
from gateway.detect.personal.national import NAMED
from gateway.detect.personal.patterns import LEFT_OUT
from gateway.detect.personal.phones import Phones
from gateway.detect.personal.scanner import ALIASES, PiiScanner, canonical, entities
from gateway.texts import Finding
from scan_reference import Reference, Words, by_context, by_spacy, presidio
from scan_samples import REGIONS, texts

DATA = Path(__file__).parents[3] / "shared" / "data" / "pii_dev.jsonl"

# Every deliberate difference from Presidio's own findings. What it finds beyond these is found here, too.
DEVIATIONS = {
    "entities": "URL, DATE_TIME, UUID and DE_PLZ are not looked for: see patterns.LEFT_OUT for each reason",
    "names": "EMAIL_ADDRESS is called EMAIL, PHONE_NUMBER is called PHONE; either is taken in the configuration",
    "overlaps": "of overlapping findings one is kept (best score, longest, first): a stretch is replaced only once",
    "phone regions": "those of the configuration, not the eight that Presidio has built in",
    "phones without a word": "need a plus sign and a country code, or the form in which their region writes them; "
    "dates, times, versions, decimals, ranges and digits within words are none",
    "phones in words": "beside a word like call, or with a plus sign, a form that no region allows is a number, too",
    "context words": "of national numbers whole words and phrases count, not substrings (us in just, lic in public), "
    "and the nearest word decides; 160 characters back at most",
    "national numbers": "those of all countries that Presidio ships, not those of one language; digits with a single "
    "check digit, or none, speak beside a word that names them, whatever "
    "pii.score is: one number in ten passes by chance",
    "scores": "a national number scores by how near its word is, where Presidio gives 1 to every checksum",
    "DEA numbers": "are words of their own, not the end of a longer one, and need a word that names them",
    "machines": "loopback, unspecified and multicast addresses, networks and netmasks are nobody's; versions, "
    "names with colons between and addresses of private networks need a word beside them",
    "hardware": "a run of more than six pairs is a fingerprint or a key; zero, broadcast and multicast addresses are "
    "nobody's; digits alone need a word",
    "cards": "the issuer's prefix decides how long a number is: what no network gives out is no card; 12 to 19 digits "
    "with any separator are, Presidio has 13 to 16 with blanks and dashes; groups that no card has, and those in a "
    "row of further ones, need a word",
    "IBANs": "small letters and any separators are taken, and the length is the country's",
    "wallets": "of Bitcoin's kin, Ethereum, Tron, Ripple and Monero as well; an address within a longer word is none",
    "e-mail": "quoted local parts and the names of private networks are taken; the password of a URL is no local part",
    "suffix list": "the one that tldextract brings along: nothing is fetched at run time",
    "newest digits": "a card in digits that Python's int() does not know is no card, where Presidio raises ValueError",
}
CALLED = re.compile(r"\b(?:phone|call)[: ]{1,2}\Z")
SURE = frozenset({"CREDIT_CARD", "CRYPTO", "EMAIL", "IBAN_CODE", "IP_ADDRESS", "MAC_ADDRESS", "PHONE"})


def missed(text: str, theirs: Sequence[Finding], ours: Sequence[Finding]) -> list[Finding]:
    """Findings that Presidio is sure of and the scanner misses, without the known deviations."""
    return [
        one
        for one in theirs
        if one.entity in SURE
        and not any(other.start <= one.start and one.end <= other.end for other in ours)
        and not any(other.start < one.end and one.start < other.end and other.score >= one.score for other in ours)
        and not (one.entity == "PHONE" and not dialled(text, one))
        and not (one.entity == "IP_ADDRESS" and not ip_addresses.telling(text, one.start, one.end))
        and not (one.entity == "MAC_ADDRESS" and not mac_addresses.telling(text, one.start, one.end))
        and not (one.entity == "CREDIT_CARD" and not is_card("".join(filter(str.isdigit, text[one.start : one.end]))))
        and not (
            one.entity == "CRYPTO"
            and any(map(str.isalnum, text[max(0, one.start - 1) : one.start] + text[one.end : one.end + 1]))
        )
    ]


def dialled(text: str, one: Finding) -> bool:
    """Whether a phone number directly follows a word that names one, and has no other form."""
    return bool(CALLED.search(text, 0, one.start)) and not phone_forms.is_other(text, one.start, one.end)


@pytest.fixture(scope="module")
def slow(pii: PiiScanner) -> RuleSet:
    """The same rules where Hyperscan has no wheel."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "hyperscan", None)
        return RuleSet(pii.rules, pii.score)


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Presidio alone, with words split as here: all but the splitting is compared."""
    return presidio(by_context())


def samples() -> list[str]:
    if not DATA.is_file():
        pytest.skip(f"{DATA.name} is not there: development samples lie beside the checkout, in shared/data")
    return [json.loads(line)["text"] for line in DATA.read_text().splitlines()]


@pytest.mark.slow
def test_all_of_presidio_on_the_samples(pii: PiiScanner) -> None:
    """On all development samples, findings that Presidio is sure of (with spaCy's English tokenizer) are found here."""
    reference = presidio(by_spacy())
    lost = {text: missed(text, reference(text), pii.scan(text)) for text in samples()}
    assert not {text: found for text, found in lost.items() if found}


def test_same_without_hyperscan_on_the_samples(pii: PiiScanner, slow: RuleSet) -> None:
    """The slower path finds the same in all development samples."""
    texts_ = samples()
    assert [slow.scan(text) for text in texts_] == [pii.scan(text) for text in texts_]


@pytest.mark.slow
@settings(max_examples=examples(83, nightly=2500), deadline=None)
@example(text="4111 1111 1111 1111.0")
@example(text="4111-1111 1111 1111")
@example(text="DE89 3704 0044 0532 0130 00_")
@given(text=texts(most=6))
def test_all_of_presidio(pii: PiiScanner, reference: Reference, text: str) -> None:
    """Values of all types, whole and damaged, amid noise: findings that Presidio is sure of are found here."""
    assert missed(text, reference(text), pii.scan(text)) == []


@settings(max_examples=examples(200, nightly=5000), deadline=None)
@given(text=texts(most=8))
def test_what_is_left_out_is_no_finding(pii: PiiScanner, text: str) -> None:
    """Stretches of a whole text that no rule is asked about hold nothing: asked about all, rules find the same."""
    rules = pii.prepared()
    hits = rules._index.hits(text)
    assert rules.settle(text, rules.matches(text, hits, whole=True)) == rules.settle(text, rules.matches(text, hits))


@settings(max_examples=examples(50, nightly=1500), deadline=None)
@example(text="212-555-1234 _0aria.lopez@example.com")
@example(text="0001:db8::8a2e:370:7334_")
@example(text="_0001:db8::8a2e:370:7334_ ssn_219-09-9999_ nino_AB123456C_")
@given(text=texts())
def test_same_without_hyperscan(pii: PiiScanner, slow: RuleSet, text: str) -> None:
    """The slower path finds the same."""
    assert slow.scan(text) == pii.scan(text)


@pytest.mark.parametrize(
    ("text", "value", "entity"),
    [
        ("write to maria@example.com, please", "maria@example.com", "EMAIL"),
        ("call (212) 555-1234 now", "(212) 555-1234", "PHONE"),
        ("Tel. +49 30 901820", "+49 30 901820", "PHONE"),
        ("card 4111-1111-1111-1111.", "4111-1111-1111-1111", "CREDIT_CARD"),
        ("to DE89 3704 0044 0532 0130 00 by Monday", "DE89 3704 0044 0532 0130 00", "IBAN_CODE"),
        ("my ssn is 460-89-9847", "460-89-9847", "US_SSN"),
        ("host 192.168.1.77 is down", "192.168.1.77", "IP_ADDRESS"),
        ("at 00:1A:2B:3C:4D:5E", "00:1A:2B:3C:4D:5E", "MAC_ADDRESS"),
        ("pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa_now", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO"),
        ("pay 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO"),
        ("日本語のメール🙂 maria@example.com です", "maria@example.com", "EMAIL"),
        ("my driver license is A1234567", "A1234567", "US_DRIVER_LICENSE"),
    ],
)
def test_finds(pii: PiiScanner, text: str, value: str, entity: str) -> None:
    """The value is found at its place, in characters, after any text."""
    start = text.index(value)
    assert [finding[:3] for finding in pii.scan(text)] == [(start, start + len(value), entity)]


def test_phones_behind_one_with_a_plus_sign(pii: PiiScanner) -> None:
    """A number with a country code ends where all regions agree, and a card after it is a card."""
    text = "+49 30 90182- 01-00000.4111 1111 1111 1111"
    found = [(finding.entity, text[finding.start : finding.end]) for finding in pii.scan(text)]
    assert found == [("PHONE", "+49 30 90182- 01"), ("CREDIT_CARD", "4111 1111 1111 1111")]


@pytest.mark.parametrize(
    ("text", "value", "entity"),
    [
        ("It says 4295 9035 9049 on the form.", "4295 9035 9049", "IN_AADHAAR"),
        ("เลขประจำตัวประชาชน 3-7745-88741-17-7", "3-7745-88741-17-7", "TH_TNIN"),
        ("my nino is AB12 34 56 C", "AB12 34 56 C", "UK_NINO"),
        ("company HRB63, Bonn", "HRB63", "DE_HANDELSREGISTER"),
        ("deutscher reisepass NLHXYP5P9", "NLHXYP5P9", "DE_PASSPORT"),
        ("uk postcode E5 0RD", "E5 0RD", "UK_POSTCODE"),
        ("postcode E50RD", "E50RD", "UK_POSTCODE"),
    ],
)
def test_finds_national_numbers(pii: PiiScanner, text: str, value: str, entity: str) -> None:
    """In pieces of any size, with any breaks."""
    assert (entity, value) in [(finding.entity, text[finding.start : finding.end]) for finding in pii.scan(text)]


@pytest.mark.parametrize(
    "text",
    [
        "took 760 s at 2008-09-23T03:24:06.484955.",
        "done 04:22:09.241398 later",
        "bumps version 0.11.10.",
        "event 1705121234567 was late",
        "in 2024 we sold 1200 units at 19.99 each, 12:30 to 14:45",
        "see https://example.com/a?b=c on 2024-11-21",
        "id 550e8400-e29b-41d4-a716-446655440000 at version 1.22.333",
        "commit 3f2a9c71d0b84e65f1a2c3d4e5b6a7f8091a2b3c",
        "def f(x): return x[0] * 1_000_000 + 0x7fff",
        "",
    ],
)
def test_leaves_alone(pii: PiiScanner, text: str) -> None:
    """Numbers, addresses of pages, dates, digests and code are not personal data."""
    assert pii.scan(text) == []


def test_context_raises_weak_matches(pii: PiiScanner) -> None:
    """Nine digits are a passport number only shortly after a word for it."""
    assert pii.scan("order C12345678") == []
    assert pii.scan("passport C12345678") == [Finding(9, 18, "US_PASSPORT", NAMED)]
    assert pii.scan("passport" + " the" * (REACH // 4) + " C12345678") == []


@pytest.mark.slow
def test_score_decides(pii: PiiScanner) -> None:
    """A higher threshold drops what a lower one finds."""
    text = "call 212-555-1234, card 4111111111111111"
    strict = PiiScanner(["US"], 0.9)
    assert [finding.entity for finding in pii.scan(text)] == ["PHONE", "CREDIT_CARD"]
    assert [finding.entity for finding in strict.scan(text)] == ["CREDIT_CARD"]


@pytest.mark.slow
def test_regions_decide() -> None:
    """A number without a country code is a phone number only in its own region."""
    text = "suite 020 7946 0958"
    assert [finding.entity for finding in PiiScanner(["GB"], 0.4).scan(text)] == ["PHONE"]
    assert PiiScanner(["US"], 0.4).scan(text) == []
    with pytest.raises(ValueError, match="'XX' is not a region"):
        Phones(["XX"])


def test_names(pii: PiiScanner) -> None:
    """Both spellings of a name are accepted; the entities of all rules are known, and no others."""
    assert canonical("email_address") == canonical("EMAIL") == "EMAIL"
    assert set(ALIASES.values()) < entities()
    rules = [one for rule in pii.rules for one in ([rule] if isinstance(rule, Rule) else rule.members)]
    assert {rule.entity for rule in rules} == entities()
    assert not entities() & set(LEFT_OUT)
    assert set(DEVIATIONS) > {"entities", "names"}


def test_surrogates_and_newest_digits(pii: PiiScanner) -> None:
    """Halves of a surrogate pair and digits that Python does not know neither raise nor shift the offsets."""
    unknown = next(chr(code) for code in range(0x11F50, 0x11F5A) if not unicodedata.name(chr(code), ""))
    assert pii.scan(f"\ud83d maria@example.com {'4' + unknown * 15}")[0][:3] == (2, 19, "EMAIL")


def test_no_quadratic_time(pii: PiiScanner) -> None:
    """A hundred thousand characters that look like the beginning of an address are scanned in linear time."""
    text = "a." * 50_000 + "@-" + "x@y.com"
    assert [finding.entity for finding in pii.scan(text)] == ["EMAIL"]


def test_words_engine_is_presidios() -> None:
    """The engine of the reference splits words (a blank engine would disable context)."""
    engine = by_spacy()
    assert isinstance(engine, Words)
    assert engine.process_text("my passport", "en").keywords == ["passport"]
    assert REGIONS


def test_a_list_of_numbers_is_bounded(pii: PiiScanner) -> None:
    """Of thousands of phone numbers each is found, those beyond the first few hundred without being parsed."""
    numbers = [f"212-555-{number}" for number in range(1000, 2000)]
    text = "; ".join(numbers) + "; " + "7" * 50_000
    found = [text[finding.start : finding.end] for finding in pii.scan(text)]  # some pass for another number, too
    assert found == numbers
