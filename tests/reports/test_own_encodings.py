"""A secret of the gateway's own is found in each encoding, with separators, and in pieces; words beside it are not."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.detect.secrets.literals import Literals
from gateway.detect.secrets.own import HIDDEN, OwnSecrets
from gateway.detect.secrets.public import is_public
from gateway.errors import Refusal

KEY = "zQ/corp&key+7f3.Kp29xW_e"
OWN = OwnSecrets([KEY])
CALL: Any = None


def _lines(encoded: str, columns: int, end: str = "\n") -> str:
    return end.join(encoded[at : at + columns] for at in range(0, len(encoded), columns))


def _each(shape: str, sign: str = "") -> Callable[[str], str]:
    return lambda value: sign.join(shape.format(byte) for byte in value.encode())


def _padded(encode: Callable[[bytes], bytes], before: int) -> Callable[[str], str]:
    return lambda value: encode(b"k" * before + value.encode() + b"!?").decode()


FORMS: dict[str, Callable[[str], str]] = {
    **{f"base64 behind {n}": _padded(base64.b64encode, n) for n in range(4)},
    **{f"base64 for URLs behind {n}": _padded(base64.urlsafe_b64encode, n) for n in range(3)},
    **{f"base32 behind {n}": _padded(base64.b32encode, n) for n in range(6)},
    "base64, 76 columns": lambda value: _lines(_padded(base64.b64encode, 50)(value), 76),
    "base64, 64 columns": lambda value: _lines(_padded(base64.b64encode, 41)(value), 64, "\r\n"),
    "base64, escaped ends of lines": lambda value: _lines(_padded(base64.b64encode, 50)(value), 64, "\\r\\n"),
    "base64, quoted lines": lambda value: _lines(_padded(base64.b64encode, 5)(value), 20, '" +\n "'),
    "upper case": str.upper,
    "lower case": str.lower,
    "with blanks": " ".join,
    "with hyphens": "-".join,
    "over lines": lambda value: _lines(value, 7),
    "backwards": lambda value: value[::-1],
    "hexadecimal": _each("{:02x}"),
    "hexadecimal, capitals": _each("{:02X}"),
    "hexadecimal, colons": _each("{:02x}", ":"),
    "hexadecimal, blanks": _each("{:02X}", " "),
    "hexadecimal, a list": _each("0x{:02x}", ", "),
    "hexadecimal, strings": _each('"{:02x}"', ", "),
    "backslash x": _each("\\x{:02x}"),
    "octal": _each("\\{:03o}"),
    "percent": _each("%{:02X}"),
    "quoted-printable": _each("={:02X}"),
    "entities": lambda value: "".join(f"&#{ord(one)};" for one in value),
    "entities, hexadecimal": _each("&#x{:x};"),
    "numbers": _each("{}", ", "),
    "JSON": lambda value: json.dumps(value),
    "JSON throughout": lambda value: "".join(f"\\u{ord(one):04X}" for one in value),
    "HTML": html.escape,
    "partly JSON": lambda value: f"\\u{ord(value[0]):04x}{value[1:9]}\\u{ord(value[9]):04X}{value[10:]}",
    "partly percent": lambda value: f"{value[:2]}%{ord(value[2]):02x}{value[3:9]}%{ord(value[9]):02X}{value[10:]}",
    "partly entities": lambda value: f"&#{ord(value[0])};{value[1:9]}&#x{ord(value[9]):x};{value[10:]}",
}


@pytest.mark.parametrize("form", FORMS)
def test_a_text_with_an_encoded_secret(form: str) -> None:
    """Whole: it is refused in a text and in bytes, and a log has the text without it."""
    said = FORMS[form](KEY)
    for text in (said, f"the key: {said}, keep it"):
        with pytest.raises(Refusal):
            OWN.text(CALL, text)
        in_text_only = "partly" in form or "\n" in said or "\\n" in said
        assert in_text_only or OWN.holds(json.dumps({"a": text}).encode())
    hidden = OWN.hide(f"Größe — {said} — ü")
    assert hidden.count(HIDDEN) == 1
    assert (hidden[:8], hidden[-4:]) == ("Größe — ", " — ü")
    assert not OWN.holds(hidden.encode())


@pytest.mark.parametrize("form", FORMS)
@given(cuts=st.lists(st.integers(0, 400), max_size=12))
def test_an_encoded_secret_in_pieces(form: str, cuts: list[int]) -> None:
    """However a stream is cut, no more than three letters or digits of the form leave."""
    before, said = "so . ", FORMS[form](KEY)
    text = f"{before}{said} after"
    guard, out, at = OWN.guard(CALL), "", 0
    with pytest.raises(Refusal):  # noqa: PT012  (any of the pieces may be the one)
        for cut in [*sorted(cuts), len(text)]:
            out += guard.feed(text[at:cut])
            at = max(at, min(cut, len(text)))
    if "partly" in form:
        assert len(out) <= len(before) + 3 * len("&#122;")
    elif "behind" not in form and "base64," not in form:  # these begin with other text
        assert sum(map(str.isalnum, out)) <= len("so") + 3


@pytest.mark.parametrize("key", ["clé/de-notre-maison-é7xq9", "ключ-от-дома-Kp29xW-7f3"])
@pytest.mark.parametrize("form", ["entities", "numbers", "JSON", "JSON throughout", "percent"])
def test_a_secret_beyond_ascii(key: str, form: str) -> None:
    """Its place in a text is told in characters."""
    own = OwnSecrets([key])
    hidden = own.hide(f"ü {FORMS[form](key)} ü")
    assert HIDDEN in hidden
    assert (hidden[:2], hidden[-2:]) == ("ü ", " ü")
    assert not own.holds(hidden.encode())


@given(
    st.lists(
        st.sampled_from(["z", "zQ", "/corp", "&key", "7a", "7A:51:", " ", "\n", "\\n", "é", "0x", ","]), max_size=30
    )
)
def test_other_text_leaves_as_it_was(pieces: list[str]) -> None:
    """What looks like the beginning of a form is held back, and given in the end."""
    guard = OWN.guard(CALL)
    assert "".join(map(guard.feed, pieces)) + guard.close() == "".join(pieces)


@pytest.mark.parametrize("value", ["correct-horse-battery", "summer-2024-release", "Our Shop And More"])
def test_words_as_a_password(value: str) -> None:
    """A secret of words is found as it is and encoded, but not where a text has the same words."""
    own = OwnSecrets([value])
    assert own.holds(f"it is {value}.".encode())
    assert own.holds(base64.b64encode(value.encode()))
    assert own.holds(value.encode().hex(":").encode())
    words = value.replace("-", " ") if "-" in value else value.lower()
    assert not own.holds(f"The {words} came.".encode())


@given(
    st.lists(st.binary(min_size=5, max_size=9), min_size=1, max_size=4),
    st.integers(1, 4),
    st.lists(st.integers(0, 3), max_size=4),
    st.data(),
)
def test_literals(strings: list[bytes], least: int, order: list[int], data: st.DataObject) -> None:
    """As the plain search of each string tells it: whether, where, and how much of the end is a beginning."""
    literals = Literals(strings, least)
    parts = [strings[at % len(strings)] for at in order]
    cuts = [data.draw(st.integers(0, len(part))) for part in parts]
    text = b"".join(part[:cut] for part, cut in zip(parts, cuts, strict=True))
    assert literals.holds(text) == any(one in text for one in strings)
    covered = {at for low, high in literals.spans(text) for at in range(low, high)}
    expected = {
        place
        for one in strings
        for at in range(len(text))
        if text.startswith(one, at)
        for place in range(at, at + len(one))
    }
    assert covered == expected
    begun = [size for one in strings for size in range(least, len(one)) if text.endswith(one[:size])]
    assert literals.begun(text) == max(begun, default=0)


@pytest.mark.parametrize(
    "value",
    [
        *("2023-06-01", "application/json", "text/html, */*;q=0.9", "https://shop.example/", "us-east-1", "v1.2.3"),
        *("prompt-caching-2024-07-31,extended-cache-ttl-2025-04-11", "assistants=v2, more=v1", "My Application"),
        *("acme-gateway/1.0 (X11; Linux x86_64) AppleWebKit/537.36", "gzip, deflate, br", "Größe und Qualität", ""),
        *("Qwen2.5-Coder-32B-Instruct", "Mixtral-8x7B-Instruct-v0.1", "gpt-4o-mini-2024-07-18", "v1beta features"),
    ],
)
def test_what_anybody_may_see(value: str) -> None:
    """Words, dates, versions and abbreviations are no credentials."""
    assert is_public(value)


@pytest.mark.parametrize(
    "value",
    [
        *("7f3a9c0e51b24d", "550e8400-e29b-41d4-a716-446655440000", "QxZkPwvTrLmNbVcX", "123456789012"),
        *("a8f3-9d2k-77zq-p0x1", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIx.c2ln", "org-Ab3kZ91xQ"),
    ],
)
def test_what_may_be_a_credential(value: str) -> None:
    """Digits among letters, letters that no language has beside each other, long numbers."""
    assert not is_public(value)
