"""Every dialect is served, configurable, documented and under test."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from formats.wires import WHOLES, WIRES, Whole
from gateway.config.grammar import Provider
from gateway.dialects.routes import ROUTES, shown
from gateway.errors import Refusal

CLIENTS = Path(__file__).parents[2] / "docs" / "clients.md"


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


def test_providers_have_the_formats_that_codecs_speak() -> None:
    """A codec is of use only if a provider may be configured that speaks its dialect."""
    formats = set(get_args(Provider.model_fields["format"].annotation))
    spoken = {name for codec in ROUTES.values() for name in codec.formats}
    assert spoken == formats, "Provider.format in config/grammar.py, and the formats of the codecs"
    for codec in ROUTES.values():
        assert "demo" in codec.formats, f"{codec.name}: the demo provider answers in every dialect"


def test_every_path_is_documented() -> None:
    """docs/clients.md has a row for each."""
    page = CLIENTS.read_text("utf-8")
    missing = [path for path in map(shown, ROUTES) if f"| `{path}` |" not in page]
    assert not missing, f"docs/clients.md, Paths: write a row for {missing}"
