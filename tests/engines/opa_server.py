"""The reference for comparisons: the program `opa`, as a server and for single evaluations."""

from __future__ import annotations

import contextlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from needs import need
from servers import free_port, process

PACKAGE = "OPA 1.x (go install github.com/open-policy-agent/opa@latest)"


def program() -> str:
    """The path of `opa`; skips the test if `opa` is not installed."""
    return need("opa", PACKAGE)


@contextlib.contextmanager
def serve(bundle: Path, *options: str) -> Iterator[str]:
    """Run an OPA server with a bundle; yields its URL."""
    url = f"http://127.0.0.1:{free_port()}"

    def ready() -> bool:
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{url}/health?bundles").status_code == 200
        return False

    command = [program(), "run", "--server", "--addr", url.removeprefix("http://"), "--log-level", "error"]
    with process([*command, *options, "--bundle", str(bundle)], ready):
        yield url


def evaluate(folder: Path, module: str, document: object, query: str = "data.g") -> Any:
    """The result of `opa eval` for a query; None if undefined."""
    (folder / "m.rego").write_text(module)
    (folder / "input.json").write_text(json.dumps(document))
    command = [program(), "eval", "-f", "json", "-d", str(folder / "m.rego"), "-i", str(folder / "input.json"), query]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout).get("result")
    return result[0]["expressions"][0]["value"] if result else None
