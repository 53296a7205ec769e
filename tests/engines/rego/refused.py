"""The errors that OPA reports for a module, and those that the compiler reports."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from engines import opa_server
from gateway.policy.engines.rego import RegoError, compile_bundle

Found = set[tuple[str, str, int, int]]
"""Code, message, line and column of each error."""


def by_opa(folder: Path, sources: Sequence[str], *options: str) -> list[Found]:
    """The errors that `opa check` reports for each module."""
    for index, source in enumerate(sources):
        (folder / f"m{index}.rego").write_text(source)
    command = [opa_server.program(), "check", "--format", "json", "--max-errors", "100000", *options, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: list[Found] = [set() for _ in sources]
    for error in json.loads(done.stderr or "{}").get("errors", ()):
        at = error["location"]
        found[int(Path(at["file"]).stem[1:])].add((error["code"], error["message"], at["row"], at["col"]))
    return found


def by_compiler(source: str, *, strict: bool = False) -> Found:
    """The errors that the compiler reports."""
    try:
        compile_bundle({"m.rego": source}, strict=strict)
    except RegoError as error:
        return {(one.code, one.message, one.at.row, one.at.column) for one in error.problems}
    return set()
