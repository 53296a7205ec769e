"""What a start compiles: the same patterns in every process, so that the second start finds them in the cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("hyperscan", reason="Hyperscan has no wheel for this platform")

TESTS = Path(__file__).parent
# Starts a gateway that uses every kind of pattern, compiles nothing, and prints what would be looked up in the cache.
STARTS = """
import hashlib, pathlib, sys
import hyperscan
import line
from gateway.detect.core import index

looked_up = []

def kept(patterns, cache_dir, compile_, flags):
    looked_up.append(hashlib.sha256(repr((list(patterns), flags)).encode()).hexdigest())
    nothing = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    nothing.compile(expressions=[b"a"], ids=[0], elements=1, flags=[0])
    return nothing

index.kept = kept
settings = line.config(
    pathlib.Path(sys.argv[1]),
    "http://127.0.0.1:9",
    policy={"path": "policies"},
    output={"secrets": "block", "pii": "redact", "sql": ["select"]},
)
with line.running(pathlib.Path(sys.argv[1]), settings):
    print(*sorted(looked_up), sep="\\n")
"""


def _looked_up(folder: Path, seed: str) -> list[str]:
    folder.mkdir()
    environment = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": f"{TESTS}{os.pathsep}{TESTS.parent}"}
    command = [sys.executable, "-c", STARTS, str(folder)]
    ran = subprocess.run(command, env=environment, cwd=TESTS.parent, capture_output=True, text=True, check=True)
    return ran.stdout.split()


def test_patterns_do_not_depend_on_the_hash_seed(tmp_path: Path) -> None:
    """Each process has another order of sets: a pattern made from one would be compiled, and kept, at every start."""
    first = _looked_up(tmp_path / "first", "1")
    assert len(first) > 5
    assert _looked_up(tmp_path / "second", "2") == first
