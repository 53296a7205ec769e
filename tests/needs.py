"""Programs that a test needs. A missing program skips the test; with MESHGATE_REQUIRE_SERVERS=1 the test fails."""

from __future__ import annotations

import os
import shutil

import pytest


def need(program: str, package: str) -> str:
    """The path of an installed program; skips (or fails) if it is missing, with what to install."""
    path = shutil.which(program)
    if path is None:
        message = f"{program} is not installed: install {package}"
        if os.environ.get("MESHGATE_REQUIRE_SERVERS") == "1":
            pytest.fail(message)
        pytest.skip(message)
    return path
