"""Numbers in code that are not personal data, and values hidden by control characters."""

from __future__ import annotations

import pytest

from gateway.detect.core.window import StreamScanner
from gateway.detect.personal.scanner import PiiScanner
from gateway.detect.secrets.scanner import SecretScanner


@pytest.fixture(scope="module")
def secrets() -> SecretScanner:
    return SecretScanner()


CARD = ("4111", "1111", "1111", "1111")


@pytest.mark.parametrize(
    "text",
    [
        "[.42DC.0020.0011.0001]", "[.42DC.0020.0011]", "[*0020.0011.0001]", "0000.42DC.0020.0011",
        "call -2147483648", "phone 2147483647", "call glob 3 2023-02-05", "tel: glob 3 2023-02-05",
        "f, err := os.OpenFile(p, os.O_CREATE, 0644)", "os.Exit 1", "os.Create, 0755",
    ],
)  # fmt: skip
def test_left_alone(pii: PiiScanner, text: str) -> None:
    """Weights of collation, the bounds of integers, manual pages and the modes of files."""
    assert [(one.entity, text[one.start : one.end]) for one in pii.scan(text)] == []


@pytest.mark.parametrize("text", ["42dc.0020.0011", "The MAC is 42DC.0020.0011.", "[42dc.0020.0011]"])
def test_a_mac_with_dots_is_found(pii: PiiScanner, text: str) -> None:
    """Three groups by themselves."""
    assert [one.entity for one in pii.scan(text)] == ["MAC_ADDRESS"]


@pytest.mark.parametrize("around", ["{}", "caf\u00e9 {}", "\u0438 {} \u4e2d"])
@pytest.mark.parametrize("code", [*(set(range(0x20)) - set(b"\t\n\r")), 0x7F, 0x80, 0x9F])
def test_control_characters_hide_nothing(pii: PiiScanner, secrets: SecretScanner, around: str, code: int) -> None:
    """A card and a key with a control character within, whole and in pieces of any size."""
    for value, entity in ((chr(code).join(CARD), "CREDIT_CARD"), ("AKIA" + chr(code) + "Q3EGRIXJ4TLWZ7PM", "AWS")):
        text = around.format(value)
        found = [*pii.scan(text), *secrets.scan(text)] if entity == "AWS" else list(pii.scan(text))
        assert any(entity in one.entity and value in text[one.start : one.end] for one in found)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 100])
@pytest.mark.parametrize("control", ["\0", "\x1f", "\x7f"])
def test_control_characters_hide_nothing_in_streams(pii: PiiScanner, control: str, size: int) -> None:
    """No part of a card leaves before it is found."""
    text = f"pay {control.join(CARD)} now"
    window, found, seen = StreamScanner(pii, None, {}).window(), [], 0
    for at in range(0, len(text), size):
        segment = window.feed(text[at : at + size])
        found += [text[seen + one.start : seen + one.end] for one in segment.findings]
        seen += len(segment.text)
    segment = window.close()
    found += [text[seen + one.start : seen + one.end] for one in segment.findings]
    assert found == [control.join(CARD)]
