"""A provider of raw bytes, for the tests of what providers send."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from raw_provider import Raw


@pytest.fixture(scope="module")
def provider() -> Iterator[Raw]:
    """The provider, for the tests of a module."""
    made = Raw()
    yield made
    made.listener.close()


@pytest.fixture
def raw(provider: Raw) -> Raw:
    """The provider in its initial state, for each test."""
    provider.close, provider.calls, provider.status, provider.pieces = "", 0, "200 OK", 1
    return provider
