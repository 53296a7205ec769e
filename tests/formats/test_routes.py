"""Every dialect is served, configurable, documented and under test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from formats.wires import WHOLES, WIRES, Whole
from gateway.config.accounts import Provider
from gateway.dialects.base import TRACEPARENT
from gateway.dialects.routes import ROUTES, shown
from gateway.errors import Refusal

CLIENTS = Path(__file__).parents[2] / "docs" / "clients.md"
SECURITY = CLIENTS.with_name("security.md")


def _streams(wire: Whole) -> bool:
    """Whether a request of this dialect may ask for a stream."""
    try:
        return wire.codec.parse(wire.request(("user", "hi"), stream=True, max_tokens=9)).stream
    except Refusal:
        return False


def test_every_codec_is_under_the_contract() -> None:
    """The contract suite knows the wire format of each: of its whole answers and, if it streams, of its streams."""
    served = {codec.name for codec in ROUTES.values()}
    assert len(served) == len({*ROUTES.values()}), "two codecs of dialects/routes.py have the same name"
    missing = served - {wire.codec.name for wire in WHOLES}
    assert not missing, f"write a case in tests/formats/wires.py, in WHOLES, for {sorted(missing)}"
    missing = {wire.codec.name for wire in WHOLES if _streams(wire)} - {wire.codec.name for wire in WIRES}
    assert not missing, f"these stream: move the case in tests/formats/wires.py to WIRES for {sorted(missing)}"
    assert all(map(_streams, WIRES))


def test_the_headers_that_are_forwarded_are_documented() -> None:
    """Headers are not judged: each needs a form in which no value can hide, and a word to operators."""
    said = re.search(r"Of the caller's headers, only ((?:`[a-z-]+`(?:, | and ))+`[a-z-]+`) are", SECURITY.read_text())
    assert said is not None
    forwarded = {name.decode() for codec in ROUTES.values() for name in codec.passes}
    assert forwarded == set(re.findall("[a-z-]+[a-z]", said[1])) - {"and"}


@given(
    st.text("0123456789abcdef", min_size=32, max_size=32),
    st.text("0123456789abcdef", min_size=16, max_size=16),
    st.integers(0, 255),
)
def test_no_number_is_an_id_of_a_trace(trace: str, parent: str, flags: int) -> None:
    """Digits alone may be a card, or the number of an account; tracers draw such ids almost never."""
    for one, other in ((trace, parent), (str(int(trace, 16))[:32].zfill(32), parent), (trace, "4111111111111111")):
        random = not one.isdecimal() and not other.isdecimal()
        assert bool(TRACEPARENT.fullmatch(f"00-{one}-{other}-{flags:02x}".encode())) is random


def test_providers_have_the_formats_that_codecs_speak() -> None:
    """A codec is of use only if a provider may be configured that speaks its dialect."""
    formats = set(get_args(Provider.model_fields["format"].annotation))
    spoken = {name for codec in ROUTES.values() for name in codec.formats}
    assert spoken == formats, "Provider.format in config/accounts.py, and the formats of the codecs"
    for codec in ROUTES.values():
        assert "demo" in codec.formats, f"{codec.name}: the demo provider answers in every dialect"


def test_every_path_is_documented() -> None:
    """docs/clients.md has a row for each."""
    page = CLIENTS.read_text("utf-8")
    missing = [path for path in map(shown, ROUTES) if f"| `{path}` |" not in page]
    assert not missing, f"docs/clients.md, Paths: write a row for {missing}"
