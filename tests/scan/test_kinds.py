"""The types of personal data with their own modules, one by one: found values, and values that are left alone."""

from __future__ import annotations

import pytest

from gateway.detect.core.index import Expression, HyperscanIndex
from gateway.detect.personal.scanner import PiiScanner

FOUND = (
    ("accounts", "pay DE89-3704-0044-0532-0130-00", "IBAN_CODE", "DE89-3704-0044-0532-0130-00"),
    ("addresses", "I live at 12 Main Street now", "STREET_ADDRESS", "12 Main Street"),
    ("births", "She was born on 3 March 1981.", "DATE_OF_BIRTH", "3 March 1981"),
    ("births", "DOB: 1981-03-12", "DATE_OF_BIRTH", "1981-03-12"),
    ("cards", "card 4111.1111.1111.1111 it is", "CREDIT_CARD", "4111.1111.1111.1111"),
    ("links", "ftp://anna:s3cretpw@files.example.com/x", "URL_CREDENTIALS", "ftp://anna:s3cretpw@files.example.com"),
    ("spelled", "to maria [at] example [dot] com please", "EMAIL", "maria [at] example [dot] com"),
    ("telephones", "call me on 12 34 567 89 tonight", "PHONE", "12 34 567 89"),
    ("wallets", "send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "CRYPTO", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
)
ALONE = (
    ("accounts", "pay DE89-3704-0044-0532-0130-01", "IBAN_CODE"),
    ("births", "released on 3 March 1981", "DATE_OF_BIRTH"),
    ("cards", "row 4111111111111112", "CREDIT_CARD"),
    ("spelled", "look at [dot] com", "EMAIL"),
    ("telephones", "at 03:24:06.484955 sharp", "PHONE"),
    ("wallets", "send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb", "CRYPTO"),
)


@pytest.mark.parametrize(("module", "text", "entity", "value"), FOUND)
def test_found(pii: PiiScanner, module: str, text: str, entity: str, value: str) -> None:
    """The whole value is found under its type."""
    found = [(one.entity, text[one.start : one.end]) for one in pii.scan(text)]
    assert (entity, value) in found, module


JOINED = (
    ("CREDIT_CARD", "4111 1111 1111 1111"),
    ("CREDIT_CARD", "4111-1111-1111-1111"),
    ("CRYPTO", "0x52908400098527886E0F7030069857D2E4169EE7"),
    ("CRYPTO", "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"),
    ("CRYPTO", "bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq"),
    ("IBAN_CODE", "DE89 3704 0044 0532 0130 00"),
    ("IBAN_CODE", "DE89370400440532013000"),
    ("MAC_ADDRESS", "00:1A:2B:3C:4D:5E"),
    ("MAC_ADDRESS", "001a.2b3c.4d5e"),
)


@pytest.mark.parametrize("form", ["of_{}", "{}_of", "_{}_", "__{}__", "a_{}_b.txt", "{}_2024"])
@pytest.mark.parametrize(("entity", "value"), JOINED)
def test_underscores_around_a_value(pii: PiiScanner, form: str, entity: str, value: str) -> None:
    """A value whose form leaves no doubt is found in a name, and where it is emphasized."""
    text = form.format(value)
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == [(entity, value)]


@pytest.mark.parametrize("text", ["of_4111111111111111", "4111111111111111_of", "a_4111111111111111_b", "_41_11111111"])
def test_digits_of_a_name(pii: PiiScanner, text: str) -> None:
    """One row of digits in a name is one of many ids, and no card, unless the name says so."""
    assert pii.scan(text) == []
    assert [one.entity for one in pii.scan("card_4111111111111111")] == ["CREDIT_CARD"]
    assert [one.entity for one in pii.scan("so _4111111111111111_ is")] == ["CREDIT_CARD"]


@pytest.mark.parametrize(
    ("text", "entity", "value"),
    [
        ("ssn_219-09-9999", "US_SSN", "219-09-9999"),
        ("export ssn_219-09-9999_x.txt", "US_SSN", "219-09-9999"),
        ("so _219-09-9999_ it is", "US_SSN", "219-09-9999"),
        ("cpf_111.444.777-35.pdf", "BR_CPF", "111.444.777-35"),
        ("pesel_44051401359_2024", "PL_PESEL", "44051401359"),
        ("219-09-9999_ssn.txt", "US_SSN", "219-09-9999"),
        ("nino_AB123456C", "UK_NINO", "AB123456C"),
        ("so _AB123456C_ is", "UK_NINO", "AB123456C"),
        ("AB123456C_nino", "UK_NINO", "AB123456C"),
        ("dni_12345678Z.pdf", "ES_NIF", "12345678Z"),
        ("codice_fiscale_RSSMRA85T10A562S", "IT_FISCAL_CODE", "RSSMRA85T10A562S"),
        ("pan_ABCPE1234F.pdf", "IN_PAN", "ABCPE1234F"),
        ("company_HRB 786135_x", "DE_HANDELSREGISTER", "HRB 786135"),
        ("kennzeichen_B-XY 123", "DE_KFZ", "B-XY 123"),
        ("my_plate_AB12 CDE_1", "UK_VEHICLE_REGISTRATION", "AB12 CDE"),
        ("plaka_04-LR-432.png", "TR_LICENSE_PLATE", "04-LR-432"),
        ("part_HRB 786135", "", ""),
        ("build_AB12CDE_x", "", ""),
        ("x_ABCPE1234F", "", ""),
        ("run_04-LR-432", "", ""),
        ("file_12345678Z", "", ""),
        ("12345678Z_file", "", ""),
        ("part_AB123456C_b", "", ""),
        ("219-09-9999_a", "", ""),
        ("order_219-09-9999", "", ""),
        ("id_44051401359", "", ""),
        ("txn_2190999998_a", "", ""),
    ],
)
def test_national_numbers_beside_underscores(pii: PiiScanner, text: str, entity: str, value: str) -> None:
    """With their name before the underscore, or emphasized; other names are those of ids."""
    expected = [(entity, value)] if entity else []
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == expected


BESIDE = (
    ("PHONE", "212-555-0123", ("tel_{}", "home_phone_{}.vcf", "{}_home", "_{}_", "__{}__", "call_{}_now")),
    ("PHONE", "+44 7700 900461", ("mobile_{}", "{}_home", "_{}_", "x_{}")),
    ("PHONE", "020 7946 0958", ("fax_{}", "{}_home", "_{}_")),
    ("PHONE", "2125550123", ("tel_{}", "phone_{}_x")),
    ("IP_ADDRESS", "203.0.113.77", ("ip_{}", "client_ip_{}_log", "host_{}", "{}_backup", "_{}_", "__{}__")),
    ("IP_ADDRESS", "10.1.2.3", ("ip_{}", "addr_{}.log")),
    ("IP_ADDRESS", "192.168.7.31", ("ip_{}", "host_{}.log")),
    ("IP_ADDRESS", "2001:db8:85a3::8a2e:370:7334", ("ip_{}", "host_{}", "{}_x", "_{}_")),
)


@pytest.mark.parametrize(("entity", "value", "form"), [(it[0], it[1], form) for it in BESIDE for form in it[2]])
def test_numbers_beside_underscores(pii: PiiScanner, entity: str, value: str, form: str) -> None:
    """After a word that names their kind, emphasized, and before any word."""
    text = form.format(value)
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == [(entity, value)]


@pytest.mark.parametrize(
    "text",
    [
        "node_10_2_3_4",
        "v_1.2.3.4",
        "client_1.2.3.4.tar.gz",
        "dns_9.18.24.1_amd64",
        "release_84.12.93.201",
        "lib_1.2.3.4.so",
        "1.2.3.4_amd64",
        "img_2024_01_15_123456",
        "build_2024-01-15",
        "2024-01-15_10",
        "sms_20240115120000",
        "x_212-555-0123",
        "order_212-555-0123",
        "row_123456789",
        "number_2125550123",
        "2125550123_a",
        "ts_1700000000",
        "tel_1",
        "phone_123456_7",
        "call_2125550123",
        "range_100-200-3000",
        "mask_255.255.255.0",
        "ip_127.0.0.1",
        "ip_::1",
        "std::_a::b1_c",
        "a_12:30:45_b",
        "0.5_0.25_10",
        "area_12.5-13.7",
    ],
)
def test_figures_of_identifiers(pii: PiiScanner, text: str) -> None:
    """Versions, days, counters and ids with underscores are no values."""
    assert pii.scan(text) == []


@pytest.mark.parametrize("text", ["ann@example.org_2024.pdf", "_ann@example.org_", "to ann@example.org_x"])
def test_addresses_before_an_underscore(pii: PiiScanner, text: str) -> None:
    """The address ends where its host does."""
    (one,) = pii.scan(text)
    assert (one.entity, text[one.start : one.end].lstrip("_")) == ("EMAIL", "ann@example.org")


@pytest.mark.parametrize(("module", "text", "entity"), ALONE)
def test_left_alone(pii: PiiScanner, module: str, text: str, entity: str) -> None:
    """Texts that only look like a value are not found."""
    assert entity not in [one.entity for one in pii.scan(text)], module


def test_what_a_pattern_needs_and_where_it_begins() -> None:
    """A pattern is matched where its sign is; a pattern with a sign at its end is reported from its beginning."""
    pytest.importorskip("hyperscan")  # where it has no wheel, patterns are asked as they stand
    first = Expression(r"\w{1,8}@\w+", needs="@")
    second = Expression(r"\w{1,8}#\d+", whole=r"#\d+", back=8)
    index = HyperscanIndex([first, second], None)
    assert index.hits("nothing here") == []
    assert {number for number, *_ in index.hits("mail me@home")} == {0}
    assert any(low <= 4 and high == 10 for _, low, high in index.hits("see room#7 ok"[:10]))
