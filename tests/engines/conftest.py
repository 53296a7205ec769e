"""The shipped bundle, and a real OPA that serves it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engines import opa_server
from engines.bundles import Write
from engines.opa_server import serve
from gateway.policy.engines.compiled import compiled
from gateway.policy.engines.wasm import Wasm

SHIPPED = Path(__file__).parents[2] / "policies"


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of the shipped policies."""
    return SHIPPED


@pytest.fixture(scope="session")
def opa_url() -> Iterator[str]:
    """An OPA server with the shipped policies, for the whole test run."""
    with serve(SHIPPED) as url:
        yield url


@pytest.fixture(scope="session")
def wasm_engine() -> Wasm:
    """The shipped policies, compiled, for the whole test run."""
    opa_server.program()
    return Wasm(compiled(SHIPPED), timeout=30)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """A function that writes the files of a bundle (name -> content) into a new folder."""

    def put(files: Mapping[str, str]) -> Path:
        for name, content in files.items():
            path = tmp_path / "bundle" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path / "bundle"

    return put
