"""Every dialect is served, configurable, documented and under test."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from formats.wires import WIRES
from gateway.config.grammar import Provider
from gateway.dialects.routes import ROUTES

CLIENTS = Path(__file__).parents[2] / "docs" / "clients.md"
NO_STREAM = {"openai_embeddings", "anthropic_count"}
"""Codecs whose answers do not stream; these have tests of their own."""


def test_every_codec_that_streams_is_under_the_contract() -> None:
    """The contract suite knows the wire format of each."""
    served = {codec.name for codec in ROUTES.values()}
    assert len(served) == len(ROUTES), "two codecs of dialects/routes.py have the same name"
    missing = served - NO_STREAM - {wire.codec.name for wire in WIRES}
    assert not missing, f"write a case in tests/formats/wires.py for {sorted(missing)}"


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
    missing = [path for path in ROUTES if f"| `{path}` |" not in page]
    assert not missing, f"docs/clients.md, Paths: write a row for {missing}"
