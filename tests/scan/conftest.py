"""The scanner that most of these tests look at; compiled once."""

from __future__ import annotations

import pytest
from scan_reference import REGIONS

from gateway.scan.pii import PiiScanner


@pytest.fixture(scope="session")
def pii(tmp_path_factory: pytest.TempPathFactory) -> PiiScanner:
    return PiiScanner(REGIONS, 0.4, tmp_path_factory.mktemp("patterns"))
